"""Puts what waited for a person together with the answer to their next message."""

from __future__ import annotations

from web.channels.base import ChannelAdapter, Part
from web.channels.phrases import phrase
from web.outbox import Held
from web.render import measure


def with_held(
    parts: list[Part], held: list[Held], adapter: ChannelAdapter, language: str, *, is_single: bool
) -> tuple[list[list[Part]], list[Held]]:
    """The messages of an answer together with what was held, and the held ones that go out with it.

    Where only one message goes out, what was held joins it if there is room; else a line says that it waits.
    """
    rows = [[part] for part in parts]
    if not held:
        return rows, []
    lead = phrase("previous", language)
    caps = adapter.caps
    if not is_single:
        first, *rest = (part for one in held for part in one.parts)
        led = _join(lead, first)
        leads = [[led]] if measure(led.text, caps.unit) <= caps.max_units else [[Part(lead, lead)], [first]]
        return rows + leads + [[part] for part in rest], held
    if not parts:
        texts = [part for one in held[:1] for part in one.parts]
        led = _join(lead, texts[0])
        return [
            [led if measure(led.text, caps.unit) <= caps.max_units else texts[0]],
            *([t] for t in texts[1:]),
        ], held[:1]
    moved: list[Held] = []
    last = parts[-1]
    for one in held:
        joined = _join("\n".join((last.text, lead)), one.parts[0], plain="\n".join((last.plain, lead)))
        if len(one.parts) > 1 or measure(joined.text, caps.unit) > caps.max_units:
            break
        last = joined
        moved.append(one)
    if len(moved) < len(held):
        waiting = phrase("previous_waiting", language)
        noted = _join(last.text, Part(waiting, waiting), plain=last.plain)
        if measure(noted.text, caps.unit) <= caps.max_units:
            last = noted
    return [*rows[:-1], [last]], moved


def _join(lead: str, part: Part, *, plain: str | None = None) -> Part:
    return Part(f"{lead}\n{part.text}", f"{lead if plain is None else plain}\n{part.plain}", part.choices)
