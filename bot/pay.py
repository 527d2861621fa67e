"""Finds pay in an advertisement and compares it with what work without skill is paid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bot.folding import FoldedText, fold_pattern
from retrieval import Span

# How far from the number a word may stand that makes it pay or names the period, in folded characters.
_NEAR_CHARS = 14
_MAX_AMOUNTS = 50


@dataclass(frozen=True, slots=True)
class Amount:
    """Pay by the month. `ratio` compares it with `month` of the currency: what work without skill is paid."""

    span: Span
    currency: str
    monthly: float
    ratio: float


class PayRules:
    """The part `pay` of signs.yaml."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._months: dict[str, float] = {str(code): float(rule["month"]) for code, rule in data["currencies"].items()}
        self._marks: dict[str, re.Pattern[str]] = {
            str(code): _alternatives(rule["marks"]) for code, rule in data["currencies"].items()
        }
        self._by_language = dict(data["by_language"])
        self._scales = {fold_pattern(word): float(factor) for word, factor in data["scales"].items()}
        self._periods = [(float(rule["months"]), _alternatives(rule["marks"])) for rule in data["periods"].values()]
        self._words = _alternatives(data["words"])

    @cached_property
    def _number(self) -> re.Pattern[str]:
        scales = "|".join(sorted((re.escape(s) for s in self._scales), key=len, reverse=True))
        number = r"\d{1,9}(?:[.,]\d{1,3}){0,3}"
        # «3-5万»: the upper end and its scale count.
        return re.compile(
            rf"(?:{number}\s?(?:{scales})?\s?[-~–到至]\s?)?(?P<n>{number})\s?(?P<scale>(?:{scales})(?![a-z]))?"
        )

    def amounts(self, folded: FoldedText, language: str) -> Iterator[Amount]:
        """Amounts of pay in order of the text; numbers that are no pay are left out."""
        text = folded.folded
        for n, match in enumerate(self._number.finditer(text)):
            if n >= _MAX_AMOUNTS:
                return
            before = text[max(0, match.start() - _NEAR_CHARS) : match.start()]
            after = text[match.end() : match.end() + _NEAR_CHARS]
            scale = self._scales.get(match["scale"] or "", 1.0)
            currency = self._currency(before, after)
            is_pay = self._words.search(before) or self._words.search(after[:8])
            if not is_pay and not (currency and any(marks.search(after) for _, marks in self._periods)):
                continue
            code = currency or self._by_language.get(language, "USD")
            months = next((m for m, marks in self._periods if marks.search(before + " " + after)), 1.0)
            monthly = _value(match["n"], scale) * scale * months
            end = match.end("scale") if match["scale"] else match.end("n")
            yield Amount(folded.span(match.start(), end), code, monthly, monthly / self._months[code])

    def _currency(self, before: str, after: str) -> str | None:
        for code, marks in self._marks.items():
            if re.search(rf"(?:{marks.pattern})\s?$", before) or re.match(rf"\s?\+?(?:{marks.pattern})", after):
                return code
        return None


def _value(digits: str, scale: float) -> float:
    """The number meant: «1.200» and «1,200» are thousands, «1.2» before a scale is a decimal."""
    parts = re.split(r"[.,]", digits)
    if len(parts) > 1 and all(len(part) == 3 for part in parts[1:]) and scale < 10_000:
        return float("".join(parts))
    return float(f"{''.join(parts[:-1])}.{parts[-1]}") if len(parts) > 1 else float(digits)


def _alternatives(words: list[str]) -> re.Pattern[str]:
    # Alternatives of letters alone must not be the tail of a longer word: «rm» in «arm».
    parts = []
    for word in sorted((fold_pattern(w) for w in words), key=len, reverse=True):
        parts.append(rf"(?<![a-z]){word}" if re.match(r"[a-z]", word) else word)
    return re.compile("|".join(parts))
