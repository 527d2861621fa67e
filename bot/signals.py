"""Which signals a text gives: groups of phrases in all languages, from signals.yaml."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from bot.errors import SignalsError
from retrieval import fold, load_yaml
from retrieval.text import without_marks

SIGNALS_FILE = Path(__file__).parent / "signals.yaml"
# What is read for signals: the beginning and the end of a long text, where people say what they want.
MAX_READ_CHARS = 2000
# Languages written in Latin letters, whose phrases stand between word boundaries.
_LATIN = frozenset({"en", "vi", "id", "ms", "tl", "pt", "sw", "latn"})
# What stands for their many pages of Unicode (`scripts_in`).
_CHINESE, _KOREAN = 0x2E, 0xAC
_LETTER = r"[a-z\u00df-\u024f\u1e00-\u1eff]"
# How alike a typed word and a word of the list must be to count as the same (difflib ratio, chosen on dev).
_LIKENESS = 0.85
_MIN_MISSPELT_CHARS = 5


@dataclass(frozen=True, slots=True)
class Group:
    """One signal: its weight and its patterns, one for Latin letters without accents and one for each other script (`scripts_in`)
    or several that occur together; for none, where no script is needed.

    A text needs few of them, and looking is what a question waits for.
    """

    name: str
    weight: float
    latin: re.Pattern[str] | None
    others: Mapping[frozenset[int], re.Pattern[str]]

    def is_in(self, marked: str, plain: str, *, has_latin: bool, scripts: frozenset[int]) -> bool:
        """Whether the signal occurs in a text, given with accents and without, and the scripts other than Latin in it."""
        if scripts:
            for needed, pattern in self.others.items():
                if (not needed or needed & scripts) and pattern.search(marked):
                    return True
        return has_latin and self.latin is not None and self.latin.search(plain) is not None


class Signals:
    """The groups of signals.yaml, found in text."""

    def __init__(self, groups: Iterable[Group], words: Iterable[str] = ()) -> None:
        self.groups = {group.name: group for group in groups}
        self.words = tuple(words)

    @classmethod
    def load(cls, path: Path = SIGNALS_FILE) -> Signals:
        """The signals in the YAML file `path`.

        Raises:
            SignalsError: the file cannot be read, or a phrase is no regular expression.
        """
        try:
            data = load_yaml(path.read_text("utf-8"))
            words = data.pop("words", [])
            return cls([_group(name, record) for name, record in data.items()], words)
        except (
            OSError,
            UnicodeDecodeError,
            yaml.YAMLError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise SignalsError(f"'{path}' is not as the signals should be ({error}); mend it") from error

    def find(self, text: str) -> frozenset[str]:
        """Names of the groups that occur in `text`."""
        forms = self._forms(text)
        folded = forms[0][0]
        has_latin = re.search(r"[a-z0-9\u00df-\u024f\u1e00-\u1eff]", folded) is not None
        scripts = scripts_in(folded)
        return frozenset(
            name
            for name, group in self.groups.items()
            if any(group.is_in(marked, plain, has_latin=has_latin, scripts=scripts) for marked, plain in forms)
        )

    def weight(self, names: Iterable[str]) -> float:
        """The sum of the weights of groups."""
        return sum(self.groups[name].weight for name in names)

    def _forms(self, text: str) -> list[tuple[str, str]]:
        """The text folded, and folded without accents; once more where words are misspelt."""
        if len(text) > MAX_READ_CHARS:
            half = MAX_READ_CHARS // 2
            text = f"{text[:half]} {text[-half:]}"
        folded = re.sub(r"\s+", " ", fold(text)).replace("’", "'")
        # «heeeelp», «救命！！！！»: three and more of a letter are a cry, not a spelling.
        folded = re.sub(r"([^\W\d])\1{2,}", r"\1", folded)
        plain = without_marks(folded)
        forms = [(folded, plain)]
        mended = self._mended(plain)
        if mended != plain:
            forms.append((mended, mended))
        return forms

    def _mended(self, text: str) -> str:
        """Misspelt words made right, as far as the list of words knows them."""

        def mend(match: re.Match[str]) -> str:
            word = match[0]
            if len(word) < _MIN_MISSPELT_CHARS or word in self.words:
                return word
            near = difflib.get_close_matches(word, self.words, n=1, cutoff=_LIKENESS)
            return near[0] if near else word

        return re.sub(r"[a-z]+", mend, text)


@lru_cache(maxsize=1)
def default_signals() -> Signals:
    """The signals of this package, read once."""
    return Signals.load()


def scripts_in(text: str) -> frozenset[int]:
    """The scripts other than Latin in `text`: the page of Unicode of each letter, but one number for all Chinese and
    Japanese and one for Korean."""
    codes = {ord(char) for char in text}
    return frozenset(
        _KOREAN if 0xAC00 <= code <= 0xD7AF else _CHINESE if code >= 0x2E80 else code >> 8
        for code in codes
        if code > 0x24F and not 0x1E00 <= code <= 0x1EFF
    )


def _group(name: str, record: Mapping[str, Any]) -> Group:
    words: list[str] = []
    latin: list[str] = []
    others: dict[frozenset[int], list[str]] = defaultdict(list)
    for language, group in record["phrases"].items():
        for phrase in map(fold, group):
            if language in _LATIN:
                words.append(without_marks(phrase))
            else:
                # One that also has a word in Latin letters («护照|passport») may be found by that alone.
                needed = frozenset() if re.search(r"[a-z]{2}", phrase) else scripts_in(phrase)
                others[needed].append(phrase)
                # A phrase of another script may hold Latin letters («护照 nila kuha», «KK园区»).
                if not re.search(r"[^\x00-\u024f]", phrase):
                    latin.append(without_marks(phrase))
    if words:
        latin.append(f"(?<!{_LETTER})(?:{_any_of(words)})(?!{_LETTER})")
    try:
        return Group(
            name=str(name),
            weight=float(record["weight"]),
            latin=re.compile(_any_of(latin)) if latin else None,
            others={needed: re.compile(_any_of(phrases)) for needed, phrases in others.items()},
        )
    except re.error as error:
        raise ValueError(f"group '{name}' holds a phrase that is no regular expression: {error}") from error


def _any_of(phrases: Iterable[str]) -> str:
    """A pattern for any of `phrases`; those that begin with the same letter share it.

    At each place of a text, `re` tries one alternative after the other: a few hundred letters are tried sooner than
    some thousand phrases.
    """
    by_letter: dict[str, list[str]] = defaultdict(list)
    patterns = []
    for phrase in phrases:
        if re.match(r"\w(?![?*+{])", phrase) and "|" not in phrase:
            by_letter[phrase[0]].append(phrase[1:])
        else:
            patterns.append(f"(?:{phrase})")
    patterns += [f"{letter}(?:{'|'.join(rest)})" for letter, rest in by_letter.items()]
    return "|".join(patterns)
