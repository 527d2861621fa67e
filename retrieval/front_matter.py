"""The YAML block at the top of an article file."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import yaml

from retrieval.errors import ArticleFormatError
from retrieval.types import Source
from retrieval.yaml_text import load_yaml, refuse_deep_nesting

MAX_FRONT_MATTER_CHARS = 60_000
_SIMPLE_LINE = re.compile(r"([A-Za-z_][\w-]*):[ \t]+(\S.*)$")
_OPENERS = tuple("[{\"'&*!|>%@`")


def split_front_matter(text: str) -> tuple[dict[str, Any], str, int]:
    """Front matter, body and the body's first line number (from 1).

    Raises:
        ArticleFormatError: there is none, it is not closed, or it is not a mapping.
    """
    lines = text.split("\n")
    if lines[0].strip() != "---":
        raise ArticleFormatError("no front matter; begin the file with '---', title, url, source and date", line=1)
    for number, line in enumerate(lines[1:], start=2):
        if line.rstrip() == "---":
            block = "\n".join(lines[1 : number - 1])
            return _parse(block), "\n".join(lines[number:]), number + 1
        if number > 3_000:
            break
    raise ArticleFormatError("the front matter is not closed; end it with a line '---'", line=1)


def _parse(block: str) -> dict[str, Any]:
    if len(block) > MAX_FRONT_MATTER_CHARS:
        raise ArticleFormatError(f"the front matter is longer than {MAX_FRONT_MATTER_CHARS} characters", line=1)
    if re.search(r"(^|[\s\[{,:-])[&*][A-Za-z0-9_]", block) and not _simple(block):
        # Anchors are never needed here, and nested ones can grow without bound.
        raise ArticleFormatError("the front matter uses YAML anchors; write the values out", line=1)
    try:
        refuse_deep_nesting(block)
        loaded = load_yaml(block)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Crawlers write titles such as «提醒: 别去» unquoted. Plain 'key: value' lines are read as they stand.
        simple = _simple(block)
        if simple is not None:
            return simple
        mark = getattr(error, "problem_mark", None)
        line = 2 if mark is None else int(mark.line) + 2
        problem = getattr(error, "problem", None) or "not YAML"
        raise ArticleFormatError(f"the front matter cannot be read ({problem})", line=line) from None
    if not isinstance(loaded, dict):
        raise ArticleFormatError("the front matter is not a list of 'key: value' lines", line=2)
    return {str(key): value for key, value in loaded.items()}


def _simple(block: str) -> dict[str, Any] | None:
    values: dict[str, Any] = {}
    for line in block.split("\n"):
        if not line.strip():
            continue
        match = _SIMPLE_LINE.match(line)
        if match is None or match[2].startswith(_OPENERS):
            return None
        values[match[1]] = match[2].strip()
    return values or None


def text_field(fields: Mapping[str, Any], name: str) -> str:
    """The field as a non-empty line of text.

    Raises:
        ArticleFormatError: it is missing, empty, or a list or mapping.
    """
    value = fields.get(name)
    if isinstance(value, dict | list):
        raise ArticleFormatError(f"front matter: '{name}' must be one line of text")
    line = "" if value is None else " ".join(str(value).split())
    if not line:
        raise ArticleFormatError(f"front matter: '{name}' is missing")
    return line


def date_field(fields: Mapping[str, Any], name: str) -> str:
    """The field as an ISO 8601 date.

    Raises:
        ArticleFormatError: it is missing or no date between 1990 and 2100.
    """
    return iso_date(text_field(fields, name), f"front matter: '{name}'")


def iso_date(value: object, what: str) -> str:
    """`value` (2024-11-23, 2024/11/23, 2024年11月23日, with or without a time) as an ISO 8601 date.

    Raises:
        ArticleFormatError: it is no such date; the message starts with `what`.
    """
    match = re.match(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})(?!\d)", str(value).strip())
    try:
        if match is None:
            raise ValueError
        date = dt.date(int(match[1]), int(match[2]), int(match[3]))
        if not 1990 <= date.year <= 2100:
            raise ValueError
    except ValueError:
        raise ArticleFormatError(f"{what} is no date such as 2024-11-23") from None
    return date.isoformat()


def list_field(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The field as a tuple of words; a missing field is empty.

    Raises:
        ArticleFormatError: it is not a list.
    """
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ArticleFormatError(f"front matter: '{name}' must be a list such as [a, b]")
    # YAML 1.1 reads the country code NO as false.
    return tuple("NO" if item is False else str(item) for item in value)


def source_records(fields: Mapping[str, Any]) -> dict[str, Source]:
    """The `sources` of an article of our own, by footnote key.

    Raises:
        ArticleFormatError: a record is not of the form {publisher, title, url, date}.
    """
    records = fields.get("sources") or {}
    if not isinstance(records, dict):
        raise ArticleFormatError("front matter: 'sources' must map footnote keys to records")
    sources: dict[str, Source] = {}
    for key, record in records.items():
        what = f"front matter: source '{key}'"
        if not isinstance(record, dict):
            raise ArticleFormatError(f"{what} must be {{publisher, title, url, date}}")
        for name in ("publisher", "title", "date"):
            if not str(record.get(name) or "").strip():
                raise ArticleFormatError(f"{what} lacks '{name}'")
        sources[str(key)] = Source(
            publisher=str(record["publisher"]).strip(),
            title=str(record["title"]).strip(),
            url=None if record.get("url") is None else web_address(str(record["url"]), what),
            date=iso_date(record["date"], f"{what}: 'date'"),
        )
    return sources


def web_address(value: str, what: str) -> str:
    """`value` when it is an http or https address without spaces or quotes.

    Raises:
        ArticleFormatError: it is not, so that no page ever links to `javascript:` or worse.
    """
    value = value.strip()
    if not re.fullmatch(r"https?://[^\s<>\"'`\\]{3,2000}", value, re.IGNORECASE):
        raise ArticleFormatError(f"{what} is no http(s) address")
    return value
