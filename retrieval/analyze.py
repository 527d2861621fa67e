"""Turns text into the terms that the lexical index counts."""

from __future__ import annotations

import re
from itertools import pairwise

from retrieval.text import UNSPACED, fold, without_marks

# Words and numbers of spaced scripts, or one run of an unspaced script.
_RUN = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+(?:[.,][0-9]+)*")
_UNSPACED_RUN = re.compile(rf"[{UNSPACED}]+")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
# Function words that say nothing about the subject; without them a stray "the" outranks the passage that answers.
STOP_TERMS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "i",
        "you",
        "he",
        "she",
        "it",
        "we",
        "they",
        "my",
        "your",
        "his",
        "her",
        "their",
        "our",
        "me",
        "him",
        "them",
        "this",
        "that",
        "these",
        "those",
        "what",
        "which",
        "who",
        "how",
        "when",
        "where",
        "why",
        "if",
        "with",
        "by",
        "from",
        "as",
        "not",
        "no",
        "have",
        "has",
        "had",
        "there",
        "about",
        "any",
        "some",
        "so",
        "de",
        "la",
        "el",
        "que",
        "en",
        "los",
        "las",
        "del",
        "un",
        "una",
        "por",
        "se",
        "con",
        "para",
        "es",
        "como",
        "o",
        "os",
        "e",
        "da",
        "do",
        "dos",
        "das",
        "em",
        "no",
        "na",
        "yang",
        "di",
        "dan",
        "ke",
        "dari",
        "untuk",
        "dengan",
        "apa",
        "ini",
        "itu",
        "ada",
        "ang",
        "ng",
        "mga",
        "sa",
        "na",
        "ya",
        "wa",
        "kwa",
        "ni",
        "la",
        "za",
    ]
)
# The same for Chinese, as character pairs that occur in nearly every question.
STOP_PAIRS = frozenset(
    [
        "什么",
        "怎么",
        "么办",
        "怎样",
        "如何",
        "为什",
        "哪些",
        "哪个",
        "哪里",
        "可以",
        "是不",
        "不是",
        "有没",
        "没有",
        "我们",
        "他们",
        "你们",
        "多少",
        "请问",
        "一下",
        "是否",
    ]
)


def terms(text: str) -> list[str]:
    """The terms of `text` in order, with repeats: words of spaced scripts, character pairs of unspaced ones.

    Folded first (see `retrieval.text.fold`). A run of one character is that character. Words with diacritics are
    also given without them, Latin plurals without their s.
    """
    found: list[str] = []
    for match in _RUN.finditer(fold(text)):
        run = match[0]
        if _UNSPACED_RUN.fullmatch(run) or _HANGUL.search(run):
            found.extend(_pairs(run))
        elif run not in STOP_TERMS:
            found.append(_stem(run))
            plain = without_marks(run)
            if plain != run:
                found.append(plain)
    return found


def _pairs(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    return [pair for pair in (a + b for a, b in pairwise(run)) if pair not in STOP_PAIRS]


def _stem(word: str) -> str:
    """Takes an English plural or 's away; anything finer hurts names in other languages."""
    if len(word) > 4 and word.isascii() and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.isascii() and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
