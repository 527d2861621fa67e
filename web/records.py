"""Messages as JSON and back, for the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from web.channels.base import Choice, Inbound, MediaRef, Part, ReplyMode, ReplyPlan


def write_inbound(inbound: Inbound) -> bytes:
    """A message as JSON."""
    return json.dumps(asdict(inbound), ensure_ascii=False).encode()


def read_inbound(body: bytes) -> Inbound:
    """A message that `write_inbound` wrote."""
    found: dict[str, Any] = json.loads(body)
    plan = found.pop("reply")
    media = tuple(MediaRef(**ref) for ref in found.pop("media"))
    modes = tuple(ReplyMode(**mode) for mode in plan["modes"])
    return Inbound(**found, media=media, reply=ReplyPlan(modes, plan["quota"]))


def write_parts(parts: Sequence[Part]) -> bytes:
    """Parts of an answer as JSON."""
    return json.dumps([asdict(part) for part in parts], ensure_ascii=False).encode()


def read_parts(payload: bytes) -> list[Part]:
    """Parts that `write_parts` wrote."""
    return [
        Part(one["text"], one["plain"], tuple(Choice(**choice) for choice in one["choices"]))
        for one in json.loads(payload)
    ]
