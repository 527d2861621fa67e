"""Passive answers: a delivery stays open until its answer is ready, which becomes the body."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from web.channels.base import Account, ChannelAdapter, HookResponse, Part, RawRequest
from web.channels.errors import StoreError
from web.database import events
from web.inbox import Receipt
from web.messaging.hub import Hub

# WeChat gives up on a delivery after five seconds; one that is left open is answered when nobody listens any
# more.
HOLD_OPEN_S = 6.0


@dataclass(slots=True, eq=False)
class _Waiter:
    """A delivery that is open and may still take its answer."""

    ready: asyncio.Future[list[Part] | None]
    until: float


class Passive:
    """The open deliveries of this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiters: dict[int, list[_Waiter]] = {}

    @property
    def is_waited_for(self) -> bool:
        """Whether any delivery is open."""
        return bool(self._waiters)

    def has_waiter(self, event_id: int) -> bool:
        """Whether a delivery can still take the answer to a message."""
        now = self._hub.clock()
        return any(waiter.until > now for waiter in self._waiters.get(event_id, ()))

    def hand(self, event_id: int, parts: list[Part] | None) -> None:
        """Wakes the deliveries of a message: with its answer, or to look it up."""
        for waiter in self._waiters.get(event_id, ()):
            if not waiter.ready.done():
                waiter.ready.set_result(parts)

    async def respond(
        self,
        adapter: ChannelAdapter,
        account: Account,
        req: RawRequest,
        receipt: Receipt,
        is_gone: Callable[[], Coroutine[Any, Any, bool]],
    ) -> HookResponse:
        """Waits for the answer within the platform's time and writes it as the body."""
        hub = self._hub
        if receipt.state in ("noted", "withdrawn", "forgotten"):
            return adapter.ack(req, account)
        with self._waiter(receipt.event_id, req.received_at + adapter.caps.passive_budget_s) as waiter:
            parts = await self._wait(receipt, waiter)
        if parts is None:
            hub.counts["late"] += 1
            response = adapter.late(receipt.delivery, receipt.inbound, req, account)
            if response is None:
                await asyncio.sleep(max(HOLD_OPEN_S - (hub.clock() - req.received_at), 0.0))
                return HookResponse(503)
            return response
        if not parts:
            return adapter.ack(req, account)
        if await is_gone():
            # Nobody reads this body any more: the answer goes out another way, or with the next delivery.
            await hub.database.run(lambda c: hub.outbox.unclaim(c, receipt.event_id, hub.clock()))
            hub.send_wake.set()
            return adapter.ack(req, account)
        hub.counts["passive"] += 1
        response = adapter.passive(parts, receipt.inbound, req, account)
        if response is None:
            return adapter.ack(req, account)
        return replace(response, answers=receipt.event_id)

    async def confirm(self, event_id: int) -> None:
        """The body with the answer to a message has been written."""
        hub = self._hub
        with contextlib.suppress(StoreError):
            await hub.database.run(lambda c: hub.outbox.confirm(c, event_id))

    @contextlib.contextmanager
    def _waiter(self, event_id: int, until: float) -> Iterator[_Waiter]:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), until)
        self._waiters.setdefault(event_id, []).append(waiter)
        try:
            yield waiter
        finally:
            waiters = self._waiters[event_id]
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[event_id]

    async def _wait(self, receipt: Receipt, waiter: _Waiter) -> list[Part] | None:
        """The answer as parts; empty where there is nothing to say here; None where time ran out."""
        hub = self._hub
        state = receipt.state
        while True:
            if state == "answered":
                parts = await hub.database.run(lambda c: hub.outbox.claim(c, receipt.event_id, hub.clock()))
                return parts or []
            if state not in ("new", "leased"):
                return []
            left_s = waiter.until - hub.clock()
            if left_s <= 0:
                return None
            # Woken by this process; looked up now and then, because another one may be answering.
            await asyncio.wait({waiter.ready}, timeout=min(left_s, 0.5))
            if waiter.ready.done():
                parts = waiter.ready.result()
                if parts is not None:
                    return parts
                # Only the first look is due to the wake; an answer that could not be stored leaves it set.
                waiter.ready = asyncio.get_running_loop().create_future()
            state = await hub.database.run(lambda c: _state_of(c, receipt.event_id))


def _state_of(connection: Connection, event_id: int) -> str:
    return connection.execute(select(events.c.state).where(events.c.id == event_id)).scalar() or "forgotten"
