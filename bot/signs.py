"""The signs of a false offer, read from signs.yaml: data that an operator can add to without code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from bot.errors import SignsError
from bot.folding import FoldedText, fold_pattern
from bot.pay import PayRules
from retrieval import Span, load_yaml

SIGNS_PATH = Path(__file__).parent / "signs.yaml"
Strength = Literal["strong", "medium", "weak"]
Detector = Literal["pay", "places", "no-company"]

# Evidence shown for one sign; an advertisement that repeats itself needs no more.
MAX_SPANS = 3


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign. `pattern` is matched against folded text; `detector` names a rule in code that looks as well.

    `examples` are sentences for the embedding model; `articles` are ids of articles that describe the sign,
    `query` by language finds the sentence in them. With `is_abroad_only` the sign counts only beside words of
    a journey abroad.
    """

    sign_id: str
    strength: Strength
    labels: Mapping[str, str]
    explanations: Mapping[str, str]
    pattern: re.Pattern[str] | None
    is_abroad_only: bool = False
    examples: tuple[str, ...] = ()
    detector: Detector | None = None
    articles: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)

    def label(self, language: str) -> str:
        """The name of the sign in `language`, else in English."""
        return self.labels.get(language) or self.labels["en"]

    def explanation(self, language: str) -> str:
        """Why this is a sign, in `language`, else in English."""
        return self.explanations.get(language) or self.explanations["en"]


@dataclass(frozen=True, slots=True)
class Reassurance:
    """Something that ordinary hiring shows. It lowers the score a little and is never told as good news."""

    reassurance_id: str
    pattern: re.Pattern[str]
    names_employer: bool
    is_skill: bool


@dataclass(frozen=True, slots=True)
class SignList:
    """All of signs.yaml. `ordinary` are honest sentences, which the examples of signs are held against."""

    signs: tuple[Sign, ...]
    reassurances: tuple[Reassurance, ...]
    pay: PayRules
    abroad: re.Pattern[str]
    ordinary: tuple[str, ...]
    offer_words: re.Pattern[str]
    notices: Mapping[str, Mapping[str, str]]

    @classmethod
    def load(cls, path: Path = SIGNS_PATH) -> SignList:
        """The signs in the YAML file `path`.

        Raises:
            SignsError: the file is missing or a record is not as it should be; the message names the record.
        """
        return _load(path)

    def notice(self, key: str, language: str) -> str:
        """The fixed sentence `key` in `language`, else in English."""
        return self.notices[key].get(language) or self.notices[key]["en"]


def find_spans(pattern: re.Pattern[str] | None, folded: FoldedText) -> Iterator[Span]:
    """Where `pattern` matches, as spans of the text as typed, in order and none twice."""
    if pattern is None:
        return
    seen: set[Span] = set()
    for match in pattern.finditer(folded.folded):
        start, end = match.span()
        while start < end and folded.folded[start].isspace():
            start += 1
        while end > start and folded.folded[end - 1].isspace():
            end -= 1
        if start == end:
            continue
        span = folded.span(start, end)
        if span not in seen:
            seen.add(span)
            yield span


@lru_cache(maxsize=4)
def _load(path: Path) -> SignList:
    try:
        data = load_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SignsError(f"the list of signs '{path}' cannot be read; restore it") from error
    try:
        signs = tuple(_sign(record, path) for record in data["signs"])
        reassurances = tuple(_reassurance(record, path) for record in data["reassurances"])
        known = [sign.sign_id for sign in signs] + [r.reassurance_id for r in reassurances]
        repeated = sorted({key for key in known if known.count(key) > 1})
        if repeated:
            raise SignsError(f"'{path}': the id '{repeated[0]}' is used twice; rename one")
        return SignList(
            signs=signs,
            reassurances=reassurances,
            pay=PayRules(data["pay"]),
            abroad=_required(data["abroad"], "abroad", path),
            ordinary=tuple(str(text) for text in data.get("ordinary") or ()),
            offer_words=_required(data["offer_words"], "offer_words", path),
            notices={str(key): dict(texts) for key, texts in data["notices"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        parts = "signs, abroad, reassurances, pay, offer_words and notices"
        raise SignsError(f"'{path}' must hold {parts} ({error!r})") from error


def _sign(record: Any, path: Path) -> Sign:
    name = record.get("id", "?") if isinstance(record, dict) else str(record)[:40]
    try:
        sign = Sign(
            sign_id=str(record["id"]),
            strength=record["class"],
            labels={str(k): str(v) for k, v in record["labels"].items()},
            explanations={str(k): str(v) for k, v in record["explanations"].items()},
            pattern=_pattern(record.get("patterns") or {}, name, path),
            is_abroad_only=bool(record.get("abroad_only")),
            examples=tuple(str(e) for e in record.get("examples") or ()),
            detector=record.get("detector"),
            articles=tuple(str(a) for a in record.get("articles") or ()),
            query={str(k): str(v) for k, v in (record.get("query") or {}).items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise SignsError(f"'{path}': the sign '{name}' is not as it should be ({error!r})") from error
    if sign.strength not in get_args(Strength):
        raise SignsError(f"'{path}': the class of the sign '{name}' must be strong, medium or weak")
    if sign.detector is not None and sign.detector not in get_args(Detector):
        raise SignsError(f"'{path}': the detector of the sign '{name}' does not exist")
    if "en" not in sign.labels or "en" not in sign.explanations:
        raise SignsError(f"'{path}': the sign '{name}' needs a label and an explanation in English")
    return sign


def _reassurance(record: Any, path: Path) -> Reassurance:
    name = record.get("id", "?") if isinstance(record, dict) else str(record)[:40]
    return Reassurance(
        reassurance_id=str(record["id"]),
        pattern=_required(record["patterns"], name, path),
        names_employer=bool(record.get("names_employer")),
        is_skill=bool(record.get("is_skill")),
    )


def _required(by_language: Mapping[str, Sequence[str]], name: str, path: Path) -> re.Pattern[str]:
    pattern = _pattern(by_language, name, path)
    if pattern is None:
        raise SignsError(f"'{path}': '{name}' has no pattern")
    return pattern


def _pattern(by_language: Mapping[str, Sequence[str]], name: str, path: Path) -> re.Pattern[str] | None:
    """One pattern of all languages: people mix them, and a wrong guess of the language must hide nothing."""
    parts = list(dict.fromkeys(part for parts in by_language.values() for part in parts))
    for part in parts:
        try:
            compiled = re.compile(fold_pattern(part), re.MULTILINE)
        except re.error as error:
            message = f"'{path}': a pattern of '{name}' is no regular expression: {part} ({error})"
            raise SignsError(message) from error
        if compiled.match(""):
            raise SignsError(f"'{path}': a pattern of '{name}' matches everything: {part}")
    if not parts:
        return None
    return re.compile("|".join(f"(?:{fold_pattern(part)})" for part in parts), re.MULTILINE)
