"""Reads article files into `Article`s: crawled pages as they are, and articles of our own with footnotes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from retrieval.crawled import extract_article
from retrieval.errors import ArticleFormatError
from retrieval.front_matter import (
    date_field,
    list_field,
    source_records,
    split_front_matter,
    text_field,
    web_address,
)
from retrieval.language import guess_language
from retrieval.sentences import sentence_spans
from retrieval.text import clean, has_han
from retrieval.types import Article, Heading, Sentence, Source

MAX_FILE_BYTES = 4_000_000
MAX_ARTICLE_CHARS = 400_000
OWN_PUBLISHER = "归途 Guitu"
KINDS = ("news", "guide", "law", "case", "warning", "faq")
_MARKER = re.compile(r"\[\^([^\]\s]{1,120})\]")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,118}[a-z0-9]")
# Query parameters that name the reader or the way, not the text.
_TRACKING = re.compile(
    r"utm_.*|spm|from|scene|chksm|sessionid|share.*|fbclid|gclid|ref|isappinstalled|mpshare|srcid|version|subscene",
    re.I,
)


def decode(data: bytes) -> str:
    """`data` as text.

    Raises:
        ArticleFormatError: too large, binary, or not UTF-8.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ArticleFormatError(
            f"the file has {len(data):,} bytes, more than the {MAX_FILE_BYTES:,} an article may have; split it"
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ArticleFormatError("the file is UTF-16; save it as UTF-8")
    if b"\x00" in data:
        raise ArticleFormatError("the file is binary (it holds NUL bytes); give a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        for encoding in ("gb18030", "big5", "shift_jis"):
            try:
                if has_han(data.decode(encoding)):
                    raise ArticleFormatError(f"the file is not UTF-8 (perhaps {encoding}); save it as UTF-8", line=line)
            except UnicodeDecodeError:
                continue
        raise ArticleFormatError("the file is not UTF-8; save it as UTF-8", line=line) from None


def read_article(data: bytes, *, path: Path | str | None = None) -> Article:
    """The article in a file of the form of CONTRACT §3.

    Raises:
        ArticleFormatError: with the reason, and `path` and line where known.
    """
    try:
        text = clean(decode(data))
        fields, body, body_line = split_front_matter(text)
        if "id" in fields or "sources" in fields:
            return _own_article(fields, body, body_line)
        return _crawled_article(fields, body)
    except ArticleFormatError as error:
        if error.path is None and path is not None:
            raise ArticleFormatError(error.reason, path=path, line=error.line) from None
        raise
    except RecursionError:
        raise ArticleFormatError("the file is nested too deeply", path=path) from None


def read_article_file(path: Path) -> Article:
    """`read_article` of the file at `path`, which is not read when it is too large.

    Raises:
        ArticleFormatError: as `read_article`, or the file cannot be opened.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ArticleFormatError(
                f"the file has {size:,} bytes, more than the {MAX_FILE_BYTES:,} an article may have; split it",
                path=path,
            )
        data = path.read_bytes()
    except OSError as error:
        raise ArticleFormatError(f"cannot be opened ({error.strerror})", path=path) from None
    return read_article(data, path=path)


def canonical_url(url: str) -> str:
    """`url` without what changes between copies of one link: fragment, tracking parameters, order, scheme."""
    parts = urlsplit(url.strip())
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.netloc.lower() == "mp.weixin.qq.com":
        query = [(name, value) for name, value in query if name in ("__biz", "mid", "idx", "sn")]
    else:
        query = [(name, value) for name, value in query if not _TRACKING.fullmatch(name)]
    return urlunsplit(("https", parts.netloc.lower(), parts.path.rstrip("/") or "/", urlencode(sorted(query)), ""))


def _crawled_article(fields: Mapping[str, Any], body: str) -> Article:
    title = text_field(fields, "title")
    url = web_address(text_field(fields, "url"), "front matter: 'url'")
    publisher = text_field(fields, "source")
    published = date_field(fields, "date")
    _bound(body)
    crawled = extract_article(body, title=title, publisher=publisher)
    text, headings = _join(crawled.lines, crawled.headings)
    language = str(fields.get("lang") or "").strip() or guess_language(text)
    return _with_digest(
        Article(
            # The account belongs to the identity: two accounts may carry one link to the text they share.
            article_id="a-" + hashlib.sha256(f"{canonical_url(url)}\n{publisher}".encode()).hexdigest()[:16],
            title=title,
            url=url,
            publisher=publisher,
            published=published,
            language=language,
            text=text,
            sentences=_plain_sentences(text, headings),
            headings=headings,
            origin=crawled.origin,
            topics=list_field(fields, "topics"),
            countries=list_field(fields, "countries"),
        )
    )


def _own_article(fields: Mapping[str, Any], body: str, body_line: int) -> Article:
    article_id = text_field(fields, "id")
    if not _ID.fullmatch(article_id):
        raise ArticleFormatError(f"front matter: id '{article_id[:60]}' must be lower-case letters, digits and hyphens")
    kind = str(fields.get("kind") or "guide")
    if kind not in KINDS:
        raise ArticleFormatError(f"front matter: kind '{kind[:30]}' is none of {', '.join(KINDS)}")
    sources = source_records(fields)
    _bound(body)
    lines: list[str] = []
    heading_lines: set[int] = set()
    spans: list[Sentence] = []
    offset = 0
    for number, raw in enumerate(body.split("\n"), start=body_line):
        line = raw.strip()
        heading = re.match(r"#{1,6}\s+(.*)", line)
        if heading:
            words = _MARKER.sub("", heading[1]).strip()
            sentences: list[Sentence] = []
            heading_lines.add(len(lines))
        else:
            words, sentences = _footnoted(line, sources, number)
        if not words:
            if heading:
                heading_lines.discard(len(lines))
            continue
        spans.extend(Sentence(s.start + offset, s.end + offset, s.source_keys) for s in sentences)
        lines.append(words)
        offset += len(words) + 1
    text, headings = _join(lines, heading_lines)
    if not spans:
        raise ArticleFormatError("the article has no text", line=body_line)
    url = fields.get("url")
    return _with_digest(
        Article(
            article_id=article_id,
            title=text_field(fields, "title"),
            url=None if url is None else web_address(str(url), "front matter: 'url'"),
            publisher=str(fields.get("source") or OWN_PUBLISHER),
            published=date_field(fields, "date"),
            language=text_field(fields, "lang"),
            text=text,
            sentences=tuple(spans),
            headings=headings,
            kind=kind,
            topics=list_field(fields, "topics"),
            countries=list_field(fields, "countries"),
            translation_of=None if fields.get("translation_of") is None else str(fields["translation_of"]),
            sources=sources,
            is_own=True,
        )
    )


def _footnoted(line: str, sources: Mapping[str, Source], number: int) -> tuple[str, list[Sentence]]:
    """A paragraph without its markers, and its sentences with the sources that the markers after them name."""
    words = ""
    sentences: list[Sentence] = []
    pending: list[Sentence] = []
    at = 0
    for marker in _MARKER.finditer(line):
        if marker[1] not in sources:
            raise ArticleFormatError(f"footnote [^{marker[1]}] has no record under 'sources'", line=number)
        between = line[at : marker.start()]
        if between.strip():
            sentences.extend(pending)
            pending = [Sentence(s.start + len(words), s.end + len(words)) for s in sentence_spans(between)]
            words += between
        if pending:
            pending[-1] = Sentence(pending[-1].start, pending[-1].end, (*pending[-1].source_keys, marker[1]))
        at = marker.end()
    rest = line[at:].rstrip()
    sentences.extend(pending)
    sentences.extend(Sentence(s.start + len(words), s.end + len(words)) for s in sentence_spans(rest))
    return words + rest, sentences


def _plain_sentences(text: str, headings: Sequence[Heading]) -> tuple[Sentence, ...]:
    starts = {heading.start: heading.end for heading in headings}
    sentences = []
    skip_until = -1
    for span in sentence_spans(text):
        skip_until = starts.get(span.start, skip_until)
        if span.start >= skip_until:
            sentences.append(Sentence(span.start, span.end))
    return tuple(sentences)


def _join(lines: Sequence[str], heading_lines: frozenset[int] | set[int]) -> tuple[str, tuple[Heading, ...]]:
    headings = []
    offset = 0
    for i, line in enumerate(lines):
        if i in heading_lines:
            headings.append(Heading(offset, offset + len(line)))
        offset += len(line) + 1
    return "\n".join(lines), tuple(headings)


def _bound(body: str) -> None:
    if len(body) > MAX_ARTICLE_CHARS:
        raise ArticleFormatError(f"the article is longer than {MAX_ARTICLE_CHARS:,} characters; split it")


def _with_digest(article: Article) -> Article:
    seen = (
        article.title,
        article.url or "",
        article.publisher,
        article.published,
        article.language,
        article.text,
        repr([(s.start, s.end, s.source_keys) for s in article.sentences]),
        repr(sorted((k, v.publisher, v.title, v.url, v.date) for k, v in article.sources.items())),
        repr((article.kind, article.topics, article.countries, article.translation_of, article.origin)),
    )
    return replace(article, digest=hashlib.sha256("\x1f".join(seen).encode()).hexdigest())
