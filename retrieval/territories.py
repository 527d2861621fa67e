"""The countries of the world by their names: who asks about one that no article knows is not told about another."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from babel import Locale

from retrieval.text import fold

_LOCALES = {"zh-Hans": "zh_Hans", "zh-Hant": "zh_Hant", "en": "en"}
# Groups of countries and codes without a country.
_NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
# Names, folded, that also stand in other words or languages: 内蒙古, 电话卡达到, 上海地区, Malay «cuba» (try), Tagalog «mali».
_AMBIGUOUS = frozenset(
    [
        "蒙古",
        "卡达",
        "尼日",
        "海地",
        "马里",
        "阿曼",
        "多哥",
        "中非",
        "巴林",
        "chad",
        "chile",
        "cuba",
        "georgia",
        "guam",
        "guinea",
        "jersey",
        "mali",
        "niger",
        "niue",
        "oman",
        "peru",
        "togo",
        "turkey",
    ]
)


@lru_cache(maxsize=1)
def _all() -> dict[str, dict[str, str]]:
    by_locale = {
        language: {str(code): str(name) for code, name in Locale.parse(locale).territories.items()}
        for language, locale in _LOCALES.items()
    }
    codes = sorted(code for code in by_locale["en"] if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRIES)
    return {
        code: {
            language: names[code]
            for language, names in by_locale.items()
            if code in names and fold(names[code]) not in _AMBIGUOUS
        }
        for code in codes
    }


def country_names(without: Collection[str]) -> dict[str, dict[str, str]]:
    """Names of countries by ISO 3166-1 alpha-2 code and language (CLDR), but for the codes of `without`."""
    return {code: names for code, names in _all().items() if code not in without and names}
