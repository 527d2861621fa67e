"""The judged questions in corpus/eval: what was asked, and which facts answer it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from bot.errors import BotError
from retrieval import load_yaml


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """One judged question. `facts` are the keys of sources of which any is a right citation; empty: not covered."""

    question_id: str
    language: str
    style: str
    question: str
    history: tuple[str, ...]
    facts: frozenset[str]
    contains: tuple[str, ...]


def read_questions(folder: Path, name: str) -> list[JudgedQuestion]:
    """The questions of `<folder>/<name>.jsonl`.

    Facts that the corpus tells from another source are widened by equivalents.yaml.

    Raises:
        BotError: the file is missing or malformed.
    """
    path = folder / f"{name}.jsonl"
    try:
        equivalents = load_yaml((folder / "equivalents.yaml").read_text("utf-8")) or {}
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [
            JudgedQuestion(
                question_id=record["id"],
                language=record["lang"],
                style=record["style"],
                question=record["question"],
                history=tuple(record.get("history") or ()),
                facts=frozenset(key for fact in record["facts"] for key in (fact, *equivalents.get(fact, ()))),
                contains=tuple(record.get("contains") or ()),
            )
            for record in records
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise BotError(f"'{path}' cannot be read as judged questions ({error!r})") from error


def fact_keys(source_keys: Iterable[str]) -> set[str]:
    """Source keys without the mark of a second source (`--2`)."""
    return {key.split("--")[0] for key in source_keys}


def holds_any(text: str, strings: Collection[str]) -> bool:
    """Whether one of `strings` stands in `text`; spaces and hyphens in numbers are passed over, numbers stand whole."""
    plain = re.sub(r"(?<=\d)[\s\-](?=\d)", "", text)
    for string in strings:
        wanted = re.sub(r"(?<=\d)[\s\-](?=\d)", "", string)
        pattern = re.escape(wanted)
        if wanted[:1].isdigit():
            pattern = r"(?<![\d.,])" + pattern
        if wanted[-1:].isdigit():
            pattern += r"(?!\d)"
        if re.search(pattern, plain, re.IGNORECASE):
            return True
    return False
