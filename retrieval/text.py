"""Text as it is searched: cleaned of what breaks tools, folded so that spellings of one word meet."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import opencc

_UNWANTED = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff\u200b\u2060\u00ad\u202a-\u202e\u2066-\u2069]"
)
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"

# Languages written without spaces between words, by the Unicode ranges of their letters.
UNSPACED = _HAN + r"\u3040-\u30ff\u31f0-\u31ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uaa60-\uaa7f\ua9e0-\ua9ff"


def clean(text: str) -> str:
    """`text` in NFC with `\\n` line ends, without control characters, lone surrogates and direction overrides."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _UNWANTED.sub("", text))


@lru_cache(maxsize=1)
def _to_simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def fold(text: str) -> str:
    """`text` as the lexical index sees it: NFKC, case folded, traditional characters made simplified.

    The length may change, so offsets into the result say nothing about `text`.
    """
    folded = unicodedata.normalize("NFKC", _UNWANTED.sub("", text)).casefold()
    # Japanese keeps its own characters as far as OpenCC leaves them; both sides are folded alike.
    converted: str = _to_simplified().convert(folded)
    return converted


def without_marks(text: str) -> str:
    """Latin letters without their diacritics, for questions typed on a keyboard that lacks them."""
    decomposed = unicodedata.normalize("NFD", text)
    kept = [c for c in decomposed if not 0x300 <= ord(c) <= 0x36F]
    return unicodedata.normalize("NFC", "".join(kept)).replace("đ", "d")


def has_han(text: str) -> bool:
    """Whether any Chinese character occurs in `text`."""
    return re.search(f"[{_HAN}]", text) is not None


def reading_units(text: str) -> float:
    """Length of `text` in the reading time of Chinese characters: other scripts need more letters for the same."""
    n_dense = sum(1 for c in text if "\u3040" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7af" or ord(c) >= 0x20000)
    return n_dense + (len(text) - n_dense) * 0.4
