"""Whether a request would harm others: copy, scripts, routes, evasion or accounts for those who deceive people."""

from __future__ import annotations

from bot.signals import Signals

_WISHES = frozenset({"harm_ask", "harm_object", "harm_actor", "harm_direct"})
_CALM = frozenset({"harm_calm", "story"})
# At this sum of weights a request is declined: asking for a thing (1) that harms (1), unless what the text says of
# penalties, of reports, of fear or of the writer's work (-2) explains it. Chosen on harm-dev.jsonl.
DECLINED = 2.0


def harm_score(found: frozenset[str], signals: Signals) -> float:
    """How strongly a text that gives the signals `found` asks for help to harm others; 0 without a harmful thing."""
    if not found & {"harm_object", "harm_direct"}:
        return 0.0
    return signals.weight(found & (_WISHES | _CALM))
