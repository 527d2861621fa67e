"""Where the readers of a language most likely come from: a weak proposal, only while nobody has said more."""

from __future__ import annotations

from collections.abc import Mapping

# The likeliest first. English, a language of many countries, proposes nothing; Chinese in traditional characters is
# read in three places, Swahili is spoken in three countries with people in the compounds.
LANGUAGE_NATIONALITIES: Mapping[str, tuple[str, ...]] = {
    "zh-Hans": ("CN",),
    "zh-Hant": ("TW", "HK", "MO"),
    "vi": ("VN",),
    "th": ("TH",),
    "id": ("ID",),
    "ms": ("MY",),
    "my": ("MM",),
    "km": ("KH",),
    "lo": ("LA",),
    "ja": ("JP",),
    "ko": ("KR",),
    "tl": ("PH",),
    "hi": ("IN",),
    "bn": ("BD",),
    "ne": ("NP",),
    "si": ("LK",),
    "ur": ("PK",),
    "sw": ("KE", "TZ", "UG"),
    "am": ("ET",),
    "pt": ("BR",),
    "ru": ("RU",),
}


def likely_nationalities(language: str) -> tuple[str, ...]:
    """ISO codes of the countries where most readers of `language` come from, the likeliest first; may be empty."""
    return LANGUAGE_NATIONALITIES.get(language, ())
