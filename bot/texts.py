"""Every fixed sentence that the public can see, from texts.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from retrieval import load_yaml


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """The sentences by key, then by language."""
    loaded: dict[str, dict[str, str]] = load_yaml((Path(__file__).parent / "texts.yaml").read_text("utf-8"))
    return loaded


def text(key: str, language: str) -> str:
    """The sentence `key` in `language`, else in English.

    Raises:
        KeyError: there is no such key: our bug.
    """
    by_language = catalogue()[key]
    return by_language.get(language) or by_language["en"]
