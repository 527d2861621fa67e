"""Finds the article files that an operator names: files, folders and web addresses."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from retrieval import Article, IngestOutcome, Library
from retrieval.article_file import MAX_FILE_BYTES
from retrieval.library import SUFFIXES, article_paths

FETCH_TIMEOUT_S = 20.0


class _FetchError(Exception):
    """A page cannot be had; the message says why."""


def ingest_sources(library: Library, sources: Sequence[str], *, dry_run: bool) -> Iterator[IngestOutcome]:
    """Adds each source to `library`; one outcome a file, in order. A rejected source never stops the rest."""
    known = library.articles()
    for source in sources:
        if source.startswith(("http://", "https://")):
            yield _ingest_page(library, source, known, dry_run=dry_run)
            continue
        path = Path(source)
        if path.is_dir():
            paths = list(article_paths(path))
            if not paths:
                reason = f"the folder holds no article file ({', '.join(SUFFIXES)})"
                yield IngestOutcome(source, "rejected", reason=reason)
        elif path.exists():
            paths = [path]
        else:
            yield IngestOutcome(source, "rejected", reason="there is no such file or folder")
            continue
        for file in paths:
            yield _ingest_file(library, file, known, dry_run=dry_run)


def _ingest_file(library: Library, path: Path, known: list[Article], *, dry_run: bool) -> IngestOutcome:
    try:
        if not path.is_file():
            return IngestOutcome(str(path), "rejected", reason="it is no regular file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            reason = f"the file has {size:,} bytes, more than the {MAX_FILE_BYTES:,} an article may have; split it"
            return IngestOutcome(str(path), "rejected", reason=reason)
        data = path.read_bytes()
    except OSError as error:
        return IngestOutcome(str(path), "rejected", reason=f"cannot be opened ({error.strerror})")
    return library.add(str(path), data, known, dry_run=dry_run)


def _ingest_page(library: Library, url: str, known: list[Article], *, dry_run: bool) -> IngestOutcome:
    try:
        data = _article_from_page(url, _fetch(url))
    except _FetchError as error:
        return IngestOutcome(url, "rejected", reason=str(error))
    return library.add(url, data, known, dry_run=dry_run)


def _fetch(url: str) -> bytes:
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=FETCH_TIMEOUT_S) as response:
            if response.status_code != 200:
                raise _FetchError(
                    f"the address answered {response.status_code}; open it in a browser and save the text"
                )
            kind = response.headers.get("content-type", "")
            if not kind.startswith(("text/", "application/xhtml")):
                raise _FetchError(f"the address holds {kind.split(';')[0] or 'no text'}, not a page")
            data = bytearray()
            for piece in response.iter_bytes():
                data += piece
                if len(data) > MAX_FILE_BYTES:
                    raise _FetchError(f"the page is larger than {MAX_FILE_BYTES:,} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _FetchError(f"cannot be fetched ({type(error).__name__}); check the address") from None
    return bytes(data)


def _article_from_page(url: str, data: bytes) -> bytes:
    """The page as an article file; text that already is one is taken as it stands."""
    if data.lstrip().startswith(b"---"):
        return data
    import trafilatura
    import yaml

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    text = trafilatura.extract(data, url=url, output_format="markdown", include_images=False, include_links=False)
    meta = trafilatura.extract_metadata(data, default_url=url)
    if not text or meta is None or not meta.title:
        raise _FetchError("no article was found on the page; save its text as a file instead")
    if not meta.date:
        raise _FetchError("the page does not say its date; save its text as a file with a date")
    fields = {
        "title": meta.title,
        "url": url,
        "source": meta.sitename or meta.hostname or "",
        "date": meta.date,
    }
    front = yaml.safe_dump(fields, allow_unicode=True, sort_keys=False, width=10_000)
    return f"---\n{front}---\n\n{text}\n".encode()
