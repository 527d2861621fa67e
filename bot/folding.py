"""Text folded letter by letter, so that a match in it can be shown in the text as it was typed."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from retrieval import Span, fold
from retrieval.text import has_han, without_marks

# Marks that writers of Hindi and Bengali leave out as often as they set them.
_OPTIONAL_MARKS = "\u093c\u09bc"
_KANA = re.compile(r"[\u3040-\u30ff]")


@dataclass(frozen=True, slots=True)
class FoldedText:
    """`folded` is what patterns meet; `origins[i]` is where its i-th character stands in `text`."""

    text: str
    folded: str
    origins: tuple[int, ...]

    def span(self, start: int, end: int) -> Span:
        """The part of `text` that `folded[start:end]` (not empty) came from."""
        return Span(self.origins[start], self.origins[end - 1] + 1)


@lru_cache(maxsize=8192)
def fold_char(char: str) -> str:
    """One character without case, width, variant or accent; may be empty or several characters."""
    return "".join(c for c in without_marks(fold(char)) if c not in _OPTIONAL_MARKS and not "\u0300" <= c <= "\u036f")


def fold_text(text: str) -> FoldedText:
    """`text` folded; runs of white space become one, and none is left between Chinese characters.

    Advertisements are written «高 薪 包 吃 住» to get past filters, and a picture breaks lines anywhere.
    """
    chars: list[str] = []
    origins: list[int] = []
    for position, char in enumerate(text):
        if char.isspace():
            if chars and not chars[-1].isspace():
                chars.append("\n" if char == "\n" else " ")
                origins.append(position)
            elif chars and char == "\n":
                chars[-1] = "\n"
            continue
        for folded in fold_char(char):
            if len(chars) > 1 and chars[-1].isspace() and _is_unspaced(folded) and _is_unspaced(chars[-2]):
                chars.pop()
                origins.pop()
            chars.append(folded)
            origins.append(position)
    return FoldedText(text, "".join(chars), tuple(origins))


def fold_pattern(pattern: str) -> str:
    """A regular expression folded like the text that it meets; what a backslash escapes stays."""
    parts = []
    escaped = False
    for char in unicodedata.normalize("NFC", pattern):
        if escaped or char == "\\":
            escaped = not escaped
            parts.append(char)
        elif char.isascii():
            parts.append(char.lower())
        else:
            # A full-width bracket folds to one that means something in a pattern.
            parts.append("".join(re.escape(c) if c.isascii() else c for c in fold_char(char)))
    return "".join(parts)


@lru_cache(maxsize=8192)
def _is_unspaced(char: str) -> bool:
    return has_han(char) or _KANA.match(char) is not None
