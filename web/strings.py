"""The words of the pages and of the widget, and the names of countries, by language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from bot.nationalities import LANGUAGE_NATIONALITIES
from retrieval import LANGUAGES, load_yaml

# Sent inside widget.js; every other language is fetched when it is needed.
BUILT_IN_LANGUAGES = ("zh-Hans", "en")
RTL_LANGUAGES = ("ur",)
LANGUAGE_NAMES: Mapping[str, str] = {
    "zh-Hans": "简体中文",
    "zh-Hant": "繁體中文",
    "en": "English",
    "vi": "Tiếng Việt",
    "th": "ไทย",
    "id": "Bahasa Indonesia",
    "ms": "Bahasa Melayu",
    "my": "မြန်မာ",
    "km": "ខ្មែរ",
    "lo": "ລາວ",
    "ja": "日本語",
    "ko": "한국어",
    "tl": "Filipino",
    "hi": "हिन्दी",
    "bn": "বাংলা",
    "ne": "नेपाली",
    "si": "සිංහල",
    "ur": "اردو",
    "sw": "Kiswahili",
    "am": "አማርኛ",
    "pt": "Português",
    "ru": "Русский",
}
# Where a reader of a language most likely comes from: a first proposal, never more. English tells nothing.
LIKELY_NATIONALITY: Mapping[str, str] = {language: codes[0] for language, codes in LANGUAGE_NATIONALITIES.items()}
# Where people are held or sent to; offered before the other countries.
HOST_COUNTRIES = ("MM", "KH", "LA", "TH", "PH", "AE", "MY", "ID", "VN")


class Words:
    """The words of one language: `words("ask")`. A word that a language lacks is shown in English."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.direction = "rtl" if language in RTL_LANGUAGES else "ltr"
        sections = catalogue().get(language, {})
        english = catalogue()["en"]
        self.widget = {**english["widget"], **sections.get("widget", {})}
        self._all = {**self.widget, **english["page"], **sections.get("page", {})}
        self._topics = {**english["topics"], **sections.get("topics", {})}
        self.countries = countries()[language]

    def __call__(self, key: str, **values: object) -> str:
        """The word `key` with `{name}` filled in.

        Raises:
            KeyError: there is no such word: our bug.
        """
        word = self._all[key]
        for name, value in values.items():
            # Numbers and dates keep their own direction inside words that run from right to left.
            shown = f"\u2066{value}\u2069" if self.direction == "rtl" else str(value)
            word = word.replace("{" + name + "}", shown)
        return word

    def topic(self, topic: str) -> str:
        """The name of a topic; one that we do not know names itself."""
        return self._topics.get(topic, topic)

    def country(self, code: str) -> str:
        """The name of a country; one that we do not know is shown by its code."""
        return self.countries.get(code, code)


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Every word: by language, by section (widget, page, topics), by key."""
    loaded: dict[str, dict[str, dict[str, str]]] = _load("strings.yaml")
    return loaded


@lru_cache(maxsize=1)
def countries() -> Mapping[str, Mapping[str, str]]:
    """Names of countries by language, then by ISO 3166-1 alpha-2 code."""
    loaded: dict[str, dict[str, str]] = _load("countries.yaml")
    return loaded


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str) -> Words:
    """The words of `language`, one of `LANGUAGES`."""
    return Words(language)


def _load(name: str) -> Any:
    return load_yaml((Path(__file__).parent / name).read_text("utf-8"))
