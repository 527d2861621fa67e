"""The judged questions for the triage: corpus/eval/{emergency,harm,situation}-{dev,test,blind}.jsonl and
follow_up-dev.jsonl, and examples.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from bot.errors import SignalsError

EVAL_DIR = Path("corpus") / "eval"
EXAMPLES_FILE = Path(__file__).parent / "examples.yaml"
Kind = Literal["emergency", "harm", "situation", "follow_up"]
KINDS: tuple[Kind, ...] = ("emergency", "harm", "situation", "follow_up")
# Learned from; plain wording, held out; indirect wording by another hand, held out.
SPLITS = ("dev", "test", "blind")


@dataclass(frozen=True, slots=True)
class JudgedText:
    """One judged question: `label` is true or false, or a situation; `history` holds the questions before it."""

    text_id: str
    language: str
    text: str
    label: bool | str
    history: tuple[str, ...] = ()


def read_judged(kind: Kind, split: str, directory: Path = EVAL_DIR) -> list[JudgedText]:
    """The judged questions of one kind and one of `SPLITS`.

    Raises:
        SignalsError: the file is missing, or a line is not as it should be.
    """
    path = directory / f"{kind}-{split}.jsonl"
    try:
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [
            JudgedText(
                str(r["id"]),
                str(r["lang"]),
                str(r["text"]),
                r["label"],
                tuple(r.get("history") or ()),
            )
            for r in records
        ]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise SignalsError(f"'{path}' is not as judged questions should be ({error!r}); restore it") from error


def read_examples(path: Path = EXAMPLES_FILE) -> Mapping[str, list[tuple[str, str]]]:
    """The example sentences by class, each with its language.

    Raises:
        SignalsError: the file cannot be read.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        return {
            str(name): [(str(language), str(s)) for language, group in by_language.items() for s in group]
            for name, by_language in data.items()
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise SignalsError(f"'{path}' is not as the examples should be ({error}); mend it") from error
