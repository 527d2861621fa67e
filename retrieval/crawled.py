"""Finds the article in a crawled page: prose is kept, what a platform puts around it is not.

Works by general rules on the blocks of a Markdown document, with the known chrome lines as data in chrome.yaml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from retrieval.errors import ArticleFormatError
from retrieval.text import reading_units
from retrieval.yaml_text import load_yaml

_SENTENCE_END = re.compile(r"[。！？!?…।။។።][”’」』）)\"'】]*$|[.][”’)\"']*$|[；;]$")
# A paragraph of this many reading units that ends like a sentence is prose, wherever it stands.
_PROSE_UNITS = 18
# Lines of fact that lack a full stop but are worth keeping among the prose.
_KEEP_SHORT = re.compile(
    r"(电话|热线|地址|邮箱|网址|hotline|phone|tel|e-?mail|address)[^\n]{0,30}[:：]|\d{3,}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    is_heading: bool
    is_strong: bool

    @property
    def is_prose(self) -> bool:
        return (
            not self.is_heading
            and reading_units(self.text) >= _PROSE_UNITS
            and _SENTENCE_END.search(self.text) is not None
        )


@dataclass(frozen=True, slots=True)
class CrawledText:
    """The article inside a crawled page: lines in order (`headings` are indexes into them) and its origin line."""

    lines: tuple[str, ...]
    headings: frozenset[int]
    origin: str | None


@dataclass(frozen=True, slots=True)
class _Chrome:
    blocked_pages: re.Pattern[str]
    tail_starts: re.Pattern[str]
    lines: re.Pattern[str]
    banners: re.Pattern[str]
    origin: re.Pattern[str]


@lru_cache(maxsize=1)
def _chrome() -> _Chrome:
    data = load_yaml((Path(__file__).parent / "chrome.yaml").read_text("utf-8"))

    def any_of(name: str) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{pattern})" for pattern in data[name]), re.IGNORECASE)

    return _Chrome(*(any_of(name) for name in ("blocked_pages", "tail_starts", "lines", "banners", "origin")))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    # Crawled lines are no careful Markdown: an indented paragraph is no code, a line of dashes no heading.
    return MarkdownIt("commonmark").enable("table").disable(["code", "lheading"])


def extract_article(body: str, *, title: str, publisher: str) -> CrawledText:
    """The article in the Markdown or plain text `body` of a crawled page.

    Raises:
        ArticleFormatError: it is a verification, error or deletion page, or nothing of an article is left.
    """
    lines = _lines_of(body)
    _refuse_blocked(lines)
    origin = None
    kept: list[_Line] = []
    for line in lines:
        match = _chrome().origin.fullmatch(line.text)
        if match and not line.is_prose:
            origin = origin or match[1].strip()
        else:
            kept.append(line)
    kept = _without_tail(kept)
    kept = [line for line in kept if not _is_chrome(line, title, publisher)]
    kept = _without_edges(kept)
    if not kept:
        raise ArticleFormatError("no article text is left without page furniture; give the page's text")
    headings = frozenset(i for i, line in enumerate(kept) if line.is_heading)
    return CrawledText(tuple(line.text for line in kept), headings, origin)


def _lines_of(body: str) -> list[_Line]:
    lines: list[_Line] = []
    in_heading = False
    in_row = False
    for token in _markdown().parse(body):
        if token.type == "heading_open":
            in_heading = True
        elif token.type == "heading_close":
            in_heading = False
        elif token.type == "tr_open":
            in_row = True
            lines.append(_Line("", False, False))
        elif token.type == "tr_close":
            in_row = False
        elif token.type == "fence":
            lines.extend(_Line(_spaced(text), False, False) for text in token.content.split("\n"))
        elif token.type == "inline":
            found = _inline_lines(token, in_heading)
            if in_row and lines:
                cells = " ".join(line.text for line in found)
                lines[-1] = _Line(f"{lines[-1].text} {cells}".strip(), False, False)
            else:
                lines.extend(found)
    return [line for line in lines if re.search(r"[^\W_]", line.text)]


def _inline_lines(token: Token, is_heading: bool) -> list[_Line]:
    """The lines of one block without images; a line that is nothing but a link is dropped."""
    lines: list[_Line] = []
    text, linked, strong = "", "", ""
    link_depth = strong_depth = 0

    def end_line() -> None:
        nonlocal text, linked, strong
        words = _spaced(text)
        is_link_only = bool(linked.strip()) and _spaced(linked) == words and not _SENTENCE_END.search(words)
        if words and not is_link_only:
            lines.append(_Line(words, is_heading, bool(strong.strip()) and _spaced(strong) == words))
        text = linked = strong = ""

    for child in token.children or []:
        if child.type == "link_open":
            link_depth += 1
        elif child.type == "link_close":
            link_depth -= 1
        elif child.type == "strong_open":
            strong_depth += 1
        elif child.type == "strong_close":
            strong_depth -= 1
        elif child.type in ("softbreak", "hardbreak"):
            end_line()
        elif child.type in ("text", "code_inline", "text_special"):
            # Bare addresses and what is left of HTML say nothing to a reader.
            words = re.sub(r"<[^>\n]{1,300}>", "", child.content)
            text += words
            linked += words if link_depth else ""
            strong += words if strong_depth else ""
    end_line()
    return lines


def _spaced(text: str) -> str:
    return " ".join(text.split()).strip()


def _refuse_blocked(lines: list[_Line]) -> None:
    total = sum(reading_units(line.text) for line in lines)
    for line in lines[:12]:
        found = _chrome().blocked_pages.search(line.text)
        # A long article may talk of such pages; a page that was blocked has little else on it.
        if found and total < 150:
            raise ArticleFormatError(f"this is no article but a verification or error page («{found[0]}»)")


def _is_chrome(line: _Line, title: str, publisher: str) -> bool:
    if _same_words(line.text, title) or _same_words(line.text, publisher):
        return True
    if _chrome().banners.fullmatch(line.text):
        return True
    if line.is_prose:
        return False
    if _chrome().lines.fullmatch(line.text):
        return True
    # In the middle such a line cuts nothing, yet it is no part of the news either.
    return not line.is_heading and _chrome().tail_starts.fullmatch(line.text) is not None


def _same_words(one: str, other: str) -> bool:
    def words(text: str) -> str:
        return re.sub(r"[\W_]+", "", text).casefold()

    return words(one) == words(other) != ""


def _without_tail(lines: list[_Line]) -> list[_Line]:
    """Cuts at the first line that starts a platform's trailer, when no prose follows it."""
    last_prose = max((i for i, line in enumerate(lines) if line.is_prose), default=-1)
    for i, line in enumerate(lines):
        if i > last_prose and not line.is_prose and _chrome().tail_starts.fullmatch(line.text):
            return lines[:i]
    return lines


def _leads_in(line: _Line) -> bool:
    """Whether a line right before prose belongs to it: a heading, a numbered bold subhead, «…提醒如下：»."""
    is_subhead = line.is_strong and re.match(r"(\d{1,2}|[一二三四五六七八九十]+)[\s、.．]", line.text) is not None
    is_introduction = line.text.endswith(("：", ":")) and reading_units(line.text) >= _PROSE_UNITS
    return line.is_heading or is_subhead or is_introduction


def _without_edges(lines: list[_Line]) -> list[_Line]:
    """Drops fragments before the first and after the last paragraph of prose; bold fragments between become headings."""
    prose = [i for i, line in enumerate(lines) if line.is_prose]
    if not prose:
        # A very short notice: whole sentences only.
        return [line for line in lines if _SENTENCE_END.search(line.text)]
    first, last = prose[0], prose[-1]
    while first > 0 and _leads_in(lines[first - 1]):
        first -= 1
    while last + 1 < len(lines) and (
        _SENTENCE_END.search(lines[last + 1].text) or _KEEP_SHORT.search(lines[last + 1].text)
    ):
        last += 1
    kept = []
    for line in lines[first : last + 1]:
        is_fragment = line.is_strong and not _SENTENCE_END.search(line.text)
        kept.append(_Line(line.text, line.is_heading or is_fragment, line.is_strong))
    while kept and kept[-1].is_heading:
        kept.pop()
    return kept
