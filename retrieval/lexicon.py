"""Names and slang that mean the same: places in all scripts, coded words, institutions and their short names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from retrieval.errors import CorpusError
from retrieval.territories import country_names
from retrieval.text import UNSPACED, fold, without_marks
from retrieval.yaml_text import load_yaml

# A private-use letter, so that no text can hold such a term by itself.
_MARK = "\ue000"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing with all its names. `names` by language, the first of each preferred; `kind` as in the file."""

    entry_id: str
    group: str
    kind: str
    names: Mapping[str, tuple[str, ...]]
    same_as: tuple[str, ...]
    meaning: Mapping[str, str]
    country: str | None
    is_high_risk: bool


class Lexicon:
    """The entries of `lexicon.yaml`, found in text by any of their names."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = tuple(entries)

    @classmethod
    def load(cls, path: Path) -> Lexicon:
        """The lexicon in the YAML file `path`; an absent file is an empty lexicon.

        Raises:
            CorpusError: the file is not as `corpus/lexicon.yaml` should be.
        """
        try:
            data = load_yaml(path.read_text("utf-8")) or {}
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CorpusError(f"'{path}' cannot be read as YAML; mend it") from error
        if not isinstance(data, dict):
            raise CorpusError(f"'{path}' must hold the lists places, slang and institutions")
        own = [
            _entry(group, record, path)
            for group in ("places", "slang", "institutions")
            for record in data.get(group) or []
        ]
        told = {entry.country for entry in own if entry.group == "places" and entry.kind == "country" and entry.country}
        return cls([*own, *(_country(code, names) for code, names in country_names(told).items())])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what the entries are called: it changes when an index must be built anew."""
        names = sorted(
            f"{form}\t{entry.group}:{entry.entry_id}" for form, found in self._by_name.items() for entry in found
        )
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, list[Entry]]:
        names: dict[str, list[Entry]] = {}
        for entry in self.entries:
            for name in (*(n for group in entry.names.values() for n in group), *entry.same_as):
                for form in {_folded(name), without_marks(_folded(name))}:
                    if form and entry not in names.setdefault(form, []):
                        names[form].append(entry)
        return names

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        """The names by their first letter, longest first: trying all of them at each letter took half a millisecond."""
        alternatives: dict[str, list[str]] = {}
        for name in sorted(self._by_name, key=lambda n: (-len(n), n)):
            escaped = re.escape(name)
            # A Latin name stands between word boundaries, a Chinese or Thai one anywhere.
            before = "" if re.match(f"[{UNSPACED}]", name) else r"(?<![^\W_])"
            after = "" if re.search(f"[{UNSPACED}]$", name) else r"(?![^\W_])"
            if not re.search(f"[{UNSPACED}]", name):
                # Beside Chinese, «KK园区» has no space to bound it.
                before, after = r"(?<![a-z0-9])", r"(?![a-z0-9])"
            alternatives.setdefault(name[0], []).append(f"{before}{escaped}{after}")
        return {first: re.compile("|".join(names)) for first, names in alternatives.items()}

    def _names_in(self, text: str) -> Iterator[str]:
        """The names in folded text, in order; none begins within another."""
        position = 0
        while position < len(text):
            pattern = self._patterns.get(text[position])
            match = pattern.match(text, position) if pattern else None
            if match:
                yield match[0]
            position = match.end() if match else position + 1

    @cached_property
    def _country_within(self) -> dict[str, Entry]:
        """The country of an institution, by those of its names that hold the country's: «日本大使馆» names Japan too."""
        names_of: dict[str, list[str]] = {code: [] for code in self._countries}
        for name, entries in self._by_name.items():
            for entry in entries:
                if entry.country and self._countries.get(entry.country) is entry:
                    names_of[entry.country].append(name)
        return {
            name: self._countries[entry.country]
            for name, entries in self._by_name.items()
            for entry in entries
            if entry.group == "institutions" and entry.country in names_of
            if any(inner in name for inner in names_of[entry.country])
        }

    def find(self, text: str) -> list[Entry]:
        """Entries named in `text`, in order, each once.

        Of names within one another the longest counts, but for the country within the name of an institution.
        """
        folded = _folded(text)
        found: dict[str, Entry] = {}
        for form in dict.fromkeys((folded, without_marks(folded))):
            for name in self._names_in(form):
                for entry in self._by_name[name]:
                    found.setdefault(f"{entry.group}:{entry.entry_id}", entry)
                if name in self._country_within:
                    country = self._country_within[name]
                    found.setdefault(f"{country.group}:{country.entry_id}", country)
        return list(found.values())

    @cached_property
    def _countries(self) -> dict[str, Entry]:
        """The countries, by their ISO codes."""
        return {e.country: e for e in self.entries if e.group == "places" and e.kind == "country" and e.country}

    @cached_property
    def _country_terms(self) -> dict[str, str]:
        """The term of each country, by its ISO code."""
        return {code: _term(country) for code, country in self._countries.items()}

    def entity_terms(self, text: str) -> list[str]:
        """Terms for the lexical index by which all names of one thing meet.

        A place brings its country along: who asks about Myanmar is answered by a sentence about Myawaddy.
        """
        found: dict[str, None] = {}
        for entry in self.find(text):
            found[_term(entry)] = None
            if entry.group == "places" and entry.country in self._country_terms:
                found[self._country_terms[entry.country]] = None
        return list(found)

    @cached_property
    def all_country_terms(self) -> frozenset[str]:
        """The entity terms of all countries."""
        return frozenset(self._country_terms.values())

    def country_terms(self, countries: Iterable[str]) -> list[str]:
        """The entity terms of the countries with these ISO codes, of those that the lexicon knows."""
        return [self._country_terms[code] for code in countries if code in self._country_terms]


def _country(code: str, names: Mapping[str, str]) -> Entry:
    """A country that the lexicon does not tell of, so that it is at least known for one."""
    forms = {language: (name,) for language, name in names.items()}
    return Entry(code.lower(), "places", "country", forms, (), {}, code, is_high_risk=False)


def _term(entry: Entry) -> str:
    return f"{_MARK}{entry.group}:{entry.entry_id}"


def is_place_term(term: str) -> bool:
    """Whether `term` is an entity term (see `Lexicon.entity_terms`) of a place."""
    return term.startswith(f"{_MARK}places:")


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", fold(text)).strip()


def _entry(group: str, record: Any, path: Path) -> Entry:
    try:
        names = record["terms" if group == "slang" else "names"]
        return Entry(
            entry_id=str(record["id"]),
            group=group,
            kind=str(record.get("kind") or ""),
            names={str(language): tuple(str(n) for n in forms) for language, forms in names.items()},
            same_as=tuple(str(n) for n in record.get("same_as") or ()),
            meaning={str(language): str(text) for language, text in (record.get("meaning") or {}).items()},
            country=record.get("country"),
            is_high_risk=bool(record.get("high_risk")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        name = record.get("id", "?") if isinstance(record, dict) else str(record)[:40]
        raise CorpusError(f"'{path}': the entry '{name}' in {group} is not as it should be ({error})") from error
