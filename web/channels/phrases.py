"""Words of ours on messaging platforms, in every language of the corpus (`phrases.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

PhraseName = Literal[
    "neutral",
    "greeting",
    "full",
    "busy",
    "previous",
    "previous_waiting",
    "type_please",
    "failed",
    "too_long",
    "location",
]
# Whoever sends one of these alone wants to be forgotten. STOP and its kin are what carriers prescribe for
# SMS.
FORGET_WORDS = frozenset(
    {
        "quit",
        "清除",
        "清除记录",
        "清除紀錄",
        "stop",
        "stopall",
        "unsubscribe",
        "退订",
        "退訂",
        "/quit",
        "/stop",
    }
)
# Whoever sends one of these alone wants the answer that is waiting.
FETCH_WORDS = frozenset({"1", "１", "①", "一"})
GREETING_WORDS = frozenset({"/start", "/help"})
# Carriers want HELP answered with who we are. Elsewhere it is a cry for help, and the bot answers it.
CARRIER_HELP_WORDS = frozenset({"help", "info"})

_SCRIPTS = {
    "zh-cn": "zh-Hans",
    "zh-sg": "zh-Hans",
    "zh": "zh-Hans",
    "zh-tw": "zh-Hant",
    "zh-hk": "zh-Hant",
    "zh-mo": "zh-Hant",
}
_OTHER_NAMES = {"fil": "tl", "in": "id"}


@cache
def _phrases() -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(
        (Path(__file__).parent / "phrases.yaml").read_text(encoding="utf-8")
    )
    return found


def languages() -> tuple[str, ...]:
    """The languages that the phrases exist in."""
    return tuple(_phrases())


def nearest_language(tag: str | None, default: str = "en") -> str:
    """The language of the phrases that is nearest to a tag as platforms write it (`zh_CN`, `zh-hans`,
    `fil`).
    """
    if not tag:
        return default
    low = tag.replace("_", "-").lower()
    if low in _SCRIPTS:
        return _SCRIPTS[low]
    if low.startswith("zh"):
        return "zh-Hant" if "hant" in low else "zh-Hans"
    base = _OTHER_NAMES.get(low.split("-")[0], low.split("-")[0])
    return base if base in _phrases() else default


def phrase(name: PhraseName, language: str | None) -> str:
    """A phrase in the nearest language."""
    return _phrases()[nearest_language(language)][name].strip()
