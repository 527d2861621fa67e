"""The catalogue of words: nothing missing, nothing left over, placeholders kept, names of countries whole."""

from __future__ import annotations

import re

import pytest

from retrieval import LANGUAGES
from web.assets import STATIC_DIR
from web.pages import _TEMPLATES
from web.strings import HOST_COUNTRIES, LANGUAGE_NAMES, LIKELY_NATIONALITY, catalogue, countries, words

SECTIONS = ("widget", "page", "topics")
# Keys that are looked up by a value: verdicts, and messages named by pages.py.
_BY_VALUE = {"withdrawn", "not_found", "no_index", "high_risk", "suspicious", "no_known_signs"}


def test_the_catalogue_has_every_language_in_the_order_of_the_contract() -> None:
    assert list(catalogue()) == list(LANGUAGES)
    assert list(countries()) == list(LANGUAGES)
    assert list(LANGUAGE_NAMES) == list(LANGUAGES)
    assert set(LIKELY_NATIONALITY) == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", SECTIONS)
def test_no_word_is_missing_or_changed(language: str, section: str) -> None:
    english = catalogue()["en"][section]
    found = catalogue()[language][section]
    assert english
    assert set(found) == set(english)
    for key, word in found.items():
        assert word.strip() == word, key
        assert word, key
        assert re.findall(r"\{\w+\}", word) == re.findall(r"\{\w+\}", english[key]), key
        assert "<" not in word, key


@pytest.mark.parametrize("language", [x for x in LANGUAGES if x not in ("en", "zh-Hans")])
def test_words_are_not_left_in_english_or_simplified_chinese(language: str) -> None:
    for section in SECTIONS:
        for key, word in catalogue()[language][section].items():
            long_enough = len(word) > 12
            assert not (long_enough and word == catalogue()["en"][section][key]), key
            if language not in ("zh-Hant", "ja"):
                assert not re.search(r"[\u4e00-\u9fff]", word), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_country_has_a_name(language: str) -> None:
    names = countries()[language]
    assert set(names) == set(countries()["en"])
    assert {*HOST_COUNTRIES, *LIKELY_NATIONALITY.values()} <= set(names)
    assert all(name and "(" not in name for name in names.values())


def test_every_word_is_used_and_every_used_word_exists() -> None:
    assert _TEMPLATES.loader is not None
    texts = [_TEMPLATES.loader.get_source(_TEMPLATES, name)[0] for name in _TEMPLATES.list_templates()]
    assert texts
    code = "\n".join([*texts, *(path.read_text("utf-8") for path in STATIC_DIR.glob("*.js"))])
    keys = {**catalogue()["en"]["widget"], **catalogue()["en"]["page"]}
    unused = [key for key in keys if key not in _BY_VALUE and not re.search(rf"""['"]{key}['"]|words\.{key}\b""", code)]
    assert unused == []
    asked = set(re.findall(r"""\bw\("([a-z_]+)"[,)]""", code))
    # The second word of these calls is a key in each of them.
    asked |= set(re.findall(r"\b(?:tag|say)\([\w']+, '([a-z_]+)'", code))
    asked |= set(re.findall(r"\bbutton\('([a-z_]+)'", code))
    assert len(asked) > 50
    assert asked <= set(keys)


def test_values_keep_their_direction_in_urdu() -> None:
    assert words("en")("checked", date="2026-01-19") == "checked 2026-01-19"
    assert "\u20662026-01-19\u2069" in words("ur")("checked", date="2026-01-19")
    assert words("ur").direction == "rtl"
