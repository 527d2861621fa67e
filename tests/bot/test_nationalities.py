from __future__ import annotations

import re

from bot.nationalities import LANGUAGE_NATIONALITIES, likely_nationalities
from retrieval import LANGUAGES


def test_every_language_but_english_proposes_where_its_readers_are_from() -> None:
    assert set(LANGUAGE_NATIONALITIES) == set(LANGUAGES) - {"en"}
    for codes in LANGUAGE_NATIONALITIES.values():
        assert codes
        assert len(set(codes)) == len(codes)
        assert all(re.fullmatch("[A-Z]{2}", code) for code in codes)


def test_the_likeliest_stands_first() -> None:
    assert likely_nationalities("zh-Hans") == ("CN",)
    assert likely_nationalities("zh-Hant") == ("TW", "HK", "MO")
    assert likely_nationalities("sw")[0] == "KE"


def test_a_language_of_many_countries_proposes_nothing() -> None:
    assert likely_nationalities("en") == ()
    assert likely_nationalities("tlh") == ()
