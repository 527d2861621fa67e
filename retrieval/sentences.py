"""Where sentences end, in the scripts of the corpus, with exact offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.types import Span

# Full stops of scripts in which they are not used for anything else.
_STRONG = "。！？!?｡…؟۔।॥။។៕።፧"
_CLOSERS = "”’」』）)】》〉\"'］]〕"
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|nos|vs|etc|inc|ltd|co|corp|jr|sr|gen|col|gov|sen|rep|approx|art|sec|vol|fig|tel|ext"
    r"|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec|u\.s|u\.n|e\.g|i\.e|a\.m|p\.m|tp|jl|kh)|\b[A-Za-z])\.$",
    re.IGNORECASE,
)
# A longer sentence is cut at a clause mark or a space; nobody wants a page quoted as one sentence.
MAX_SENTENCE_CHARS = 600


def sentence_spans(text: str) -> list[Span]:
    """Spans of the sentences of `text`, in order, without surrounding white space.

    Every character that is not white space lies in exactly one span. A line break always ends a sentence.
    """
    spans: list[Span] = []
    for line in re.finditer(r"[^\n]+", text):
        for start, end in _within_line(text, line.start(), line.end()):
            spans.extend(_bounded(text, start, end))
    return spans


def _within_line(text: str, line_start: int, line_end: int) -> Iterator[tuple[int, int]]:
    start = line_start
    i = line_start
    while i < line_end:
        if _ends_sentence(text, start, i, line_end):
            end = i + 1
            while end < line_end and text[end] in _STRONG + _CLOSERS:
                end += 1
            # ASCII quotes open as well as close: one after a space belongs to what follows.
            yield start, end
            start = i = end
        else:
            i += 1
    yield start, line_end


def _ends_sentence(text: str, start: int, i: int, line_end: int) -> bool:
    char = text[i]
    if char in _STRONG:
        # "?" inside a URL is no end; "…" in the middle of a clause is none either.
        following = text[i + 1 : i + 2]
        if char in "?!" and following and following.isascii() and following.isalnum():
            return False
        if char == "…":
            following = text[i:line_end].lstrip("…")[:1]
            return not following or following in _STRONG + _CLOSERS or following.isspace()
        # Khmer writes "etc." as ។ល។
        return char != "។" or (following != "ល" and text[max(start, i - 2) : i] != "។ល")
    if char != ".":
        return False
    after = i + 1
    while after < line_end and text[after] in _CLOSERS:
        after += 1
    if after >= line_end:
        return True
    if not text[after].isspace():
        return False
    if _ABBREVIATION.search(text[max(start, i - 12) : i + 1]):
        return False
    while after < line_end and text[after].isspace():
        after += 1
    return after >= line_end or not text[after].islower()


def _bounded(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > MAX_SENTENCE_CHARS:
        window = text[start : start + MAX_SENTENCE_CHARS]
        cut = max(window.rfind(mark) for mark in "，、；;,၊፣ ")
        cut = MAX_SENTENCE_CHARS if cut < MAX_SENTENCE_CHARS // 3 else cut + 1
        yield from _bounded(text, start, start + cut)
        start += cut
        while start < end and text[start].isspace():
            start += 1
    if end > start:
        yield Span(start, end)
