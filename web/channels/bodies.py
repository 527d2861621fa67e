"""Reads bodies from outside: JSON of bounded depth, XML without entities, fields that may be missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree as SafeElementTree
from defusedxml.common import DefusedXmlException

from web.channels.errors import PayloadError

MAX_BODY_BYTES = 1024 * 1024
MAX_JSON_DEPTH = 32
# A question is much shorter than this; the bot sets its own limit. Here it only bounds what is stored.
MAX_TEXT_CHARS = 20_000

# Possessive, and the last quote optional: no body makes it try twice.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?+', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def json_depth(body: bytes) -> int:
    """How deep a JSON text nests, without parsing it."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        PayloadError: not UTF-8, not JSON, too deep, or not an object.
    """
    if json_depth(body) > MAX_JSON_DEPTH:
        raise PayloadError(f"the JSON nests deeper than {MAX_JSON_DEPTH}")
    try:
        # Not json.loads(bytes): that would guess UTF-16 and UTF-32 as well.
        found = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PayloadError("the body is not JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise PayloadError("the JSON is not an object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_xml(body: bytes) -> dict[str, str]:
    """The direct children of the root of an XML body, by tag; nested elements are joined by a dot.

    Raises:
        PayloadError: not XML, or with a document type or entities (which defusedxml refuses; the standard
        library
            would expand them).
    """
    try:
        root: Element = SafeElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise PayloadError("the body is not plain XML") from error
    fields: dict[str, str] = {}
    for child in root:
        if len(child):
            for grandchild in child:
                fields.setdefault(f"{child.tag}.{grandchild.tag}", clean(grandchild.text or ""))
        else:
            fields.setdefault(child.tag, clean(child.text or ""))
    return fields


def clean(text: str) -> str:
    """Text that can be encoded: JSON may carry half a surrogate pair, and NUL fits in no database text."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "")


def child(value: object, *path: str) -> dict[str, Any]:
    """The object at a path, or an empty one."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}


def items(value: object, key: str) -> list[dict[str, Any]]:
    """The objects of a list at a key; anything else in it is left out."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def string(value: object, *path: str) -> str:
    """The text or number at a path as text, or "". Ids may be 64-bit integers: they are kept as text."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return clean(value)[:MAX_TEXT_CHARS]
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            return ""
    return ""


def seconds(text: str) -> float | None:
    """A platform's time as Unix seconds: milliseconds are known by their size; None where it is no time."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 < value < 1e15:
        return None
    return value / 1000 if value > 1e11 else value


def first(values: Iterable[str]) -> str:
    """The first that is not empty, or ""."""
    return next((value for value in values if value), "")


def compact_json(value: object) -> bytes:
    """JSON in UTF-8 without escapes: WeChat shows people the escape itself (offu/WeRoBot#50)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
