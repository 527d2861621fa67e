"""Cleans and bounds what a person typed."""

from __future__ import annotations

import re

from bot.errors import EmptyQuestionError, QuestionTooLongError
from bot.types import Question
from retrieval import LANGUAGES, clean, detect_language

MAX_QUESTION_CHARS = 2000
DEFAULT_LANGUAGE = "zh-Hans"


def read_question(
    text: str,
    *,
    language: str | None = None,
    hint: str | None = None,
    nationality: str | None = None,
    country: str | None = None,
    max_chars: int = MAX_QUESTION_CHARS,
) -> Question:
    """The question in `text`.

    Args:
        language: the reader's language as chosen; it wins over what the text is written in.
        hint: a language to fall back on when the text does not tell (the conversation's, the browser's).
        nationality, country: ISO 3166-1 alpha-2; anything else is taken as not known.
    Raises:
        EmptyQuestionError, QuestionTooLongError
    """
    cleaned = re.sub(r"[ \t\u3000\xa0]+", " ", clean(text)).strip()
    if not re.search(r"\w", cleaned):
        raise EmptyQuestionError("the question is empty; type what you want to know")
    if len(cleaned) > max_chars:
        raise QuestionTooLongError(max_chars)
    return Question(
        text=cleaned,
        language=known_language(language) or detect_language(cleaned, known_language(hint)) or DEFAULT_LANGUAGE,
        nationality=_country(nationality),
        country=_country(country),
    )


def known_language(tag: str | None) -> str | None:
    """The language of ours that a BCP 47 tag such as zh-TW, en-GB or fil means; None where we have none."""
    if not tag or not re.fullmatch(r"[A-Za-z0-9-]{2,20}", tag):
        return None
    parts = tag.lower().split("-")
    if parts[0] in ("zh", "yue", "cmn"):
        return "zh-Hant" if {"hant", "tw", "hk", "mo"} & set(parts) or parts[0] == "yue" else "zh-Hans"
    base = {"fil": "tl", "in": "id"}.get(parts[0], parts[0])
    return base if base in LANGUAGES else None


def _country(code: str | None) -> str | None:
    return code.upper() if code and re.fullmatch(r"[A-Za-z]{2}", code) else None
