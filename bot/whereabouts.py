"""Where a person may be and which nationality a person may have, guessed from a text: proposals only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.emergency import HOST_COUNTRIES
from bot.types import Question
from retrieval import Lexicon, fold, load_yaml
from retrieval.text import UNSPACED, without_marks

_FILE = Path(__file__).parent / "whereabouts.yaml"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Of what nationality a person is and where: ISO 3166-1 alpha-2 codes, None where nothing tells."""

    nationality: str | None
    country: str | None


def whereabouts(question: Question, lexicon: Lexicon) -> Whereabouts:
    """What the person has said of this, and what the text proposes where nothing was said."""
    return Whereabouts(
        question.nationality or guess_nationality(question.text),
        question.country or guess_country(question.text, lexicon),
    )


def guess_country(text: str, lexicon: Lexicon) -> str | None:
    """The country that `text` places somebody in: a place of the lexicon, else a named country.

    Countries where compounds are win over others, so that in «from China, held in Laos» it is Laos; the country that
    the text names as somebody's origin is not taken for the place where they are.
    """
    found = [entry.country for entry in lexicon.find(text) if entry.group == "places" and entry.country]
    found += _named(text, "in")
    origin = guess_nationality(text)
    found = [country for country in found if country != origin]
    hosts = [country for country in found if country in HOST_COUNTRIES]
    return next(iter(hosts or found), None)


def guess_nationality(text: str) -> str | None:
    """The people that `text` names; None when it names none or several."""
    found = _named(text, "from")
    return found[0] if len(found) == 1 else None


def _named(text: str, column: str) -> list[str]:
    folded = re.sub(r"\s+", " ", fold(text))
    plain = without_marks(folded)
    places = [
        (match.start(), country)
        for country, pattern in _patterns(column).items()
        if (match := pattern.search(folded) or pattern.search(plain))
    ]
    return [country for _, country in sorted(places)]


@lru_cache(maxsize=2)
def _patterns(column: str) -> Mapping[str, re.Pattern[str]]:
    data = load_yaml(_FILE.read_text("utf-8"))
    # YAML 1.1 would read the country code NO as false.
    return {
        str(country): re.compile("|".join(_name(str(n)) for n in record[column])) for country, record in data.items()
    }


def _name(name: str) -> str:
    folded = fold(name)
    forms = {re.escape(folded), re.escape(without_marks(folded))}
    if re.search(f"[{UNSPACED}]", folded) or not re.match("[a-z]", without_marks(folded)):
        # Scripts without spaces, and those whose words take endings, stand anywhere.
        return "|".join(sorted(forms))
    return "|".join(rf"(?<![a-z]){form}(?![a-z])" for form in sorted(forms))
