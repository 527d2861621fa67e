"""Takes in deliveries: proves them, stores them, and only then says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import Connection

from web.channels.base import Account, ChannelAdapter, HookResponse, Inbound, RawRequest
from web.channels.errors import PayloadError, SignatureError, StoreError
from web.inbox import Leased, Receipt
from web.messaging.answering import Answering
from web.messaging.hub import Hub
from web.messaging.passive import Passive
from web.messaging.watch import Watch


class Intake:
    """The way of a delivery from the route to the inbox."""

    def __init__(self, hub: Hub, answering: Answering, passive: Passive, watch: Watch) -> None:
        self._hub = hub
        self._answering = answering
        self._passive = passive
        self._watch = watch

    async def deliver(
        self,
        adapter: ChannelAdapter,
        account: Account,
        req: RawRequest,
        *,
        is_gone: Callable[[], Coroutine[Any, Any, bool]],
    ) -> HookResponse:
        """The response to a delivery.

        Raises:
            SignatureError, PayloadError: 401, 400.
            StoreError: it could not be stored: 503.
        """
        if self._hub.is_stopping:
            raise StoreError("the server is stopping")
        try:
            response = adapter.handshake(req, account)
            if response is not None:
                return response
            clear = adapter.verify(req, account)
            inbounds = adapter.parse(clear, req, account)
        except (SignatureError, PayloadError):
            if req.method == "POST":  # not somebody who opens the address in a browser
                self._watch.reject(account)
            raise
        if not any(inbound.sender == adapter.simulated_sender() for inbound in inbounds):
            self._watch.accept(account)
        # Shielded: a delivery that is cancelled half-way must not leave a message leased that nobody answers.
        receipts = await asyncio.shield(self._store(adapter, inbounds, now=req.received_at))
        if len(receipts) == 1 and adapter.caps.passive_budget_s:
            return await self._passive.respond(adapter, account, req, receipts[0], is_gone)
        return adapter.ack(req, account)

    async def _store(self, adapter: ChannelAdapter, inbounds: list[Inbound], *, now: float) -> list[Receipt]:
        """Stores a delivery, or writes it to the spill file where the platform would not bring it again."""
        hub = self._hub
        unknown = [inbound for inbound in inbounds if inbound.kind == "unknown"]
        hub.counts["unknown"] += len(unknown)
        inbounds = [inbound for inbound in inbounds if inbound.kind != "unknown"]
        if not inbounds:
            return []
        may_lease = self._answering.has_room
        try:
            receipts = await hub.database.run(lambda c: self._receive(c, inbounds, now, may_lease=may_lease))
        except StoreError:
            if adapter.caps.redelivers:
                raise
            await asyncio.get_running_loop().run_in_executor(None, hub.spill.write, inbounds)
            hub.counts["spilled"] += len(inbounds)
            return []
        for receipt in receipts:
            hub.counts["received" if receipt.is_new else "repeated"] += 1
            if receipt.is_leased:
                conversation = hub.inbox.conversation_key(receipt.inbound)
                self._answering.begin(Leased(receipt.event_id, conversation, receipt.inbound, 1))
        self._answering.expect([one.event_id for one in receipts if one.state == "new"])
        if any(inbound.kind == "wake" for inbound in inbounds):
            hub.pull_wake.set()
        return receipts

    def _receive(
        self, connection: Connection, inbounds: list[Inbound], now: float, *, may_lease: bool
    ) -> list[Receipt]:
        hub = self._hub
        for inbound in inbounds:
            if inbound.kind == "status":
                hub.queue.settle(
                    connection,
                    idem=inbound.meta.get("idem", ""),
                    provider_id=inbound.meta.get("provider_id", ""),
                    outcome=inbound.meta.get("outcome", ""),
                    code=inbound.meta.get("code", ""),
                    now=now,
                )
            elif inbound.kind == "wake":
                stream, token = inbound.meta.get("stream", ""), inbound.meta.get("token", "")
                hub.inbox.wake(connection, inbound.channel, inbound.account, stream, token)
        messages = [inbound for inbound in inbounds if inbound.kind not in ("status", "wake")]
        return hub.inbox.receive(connection, messages, now=now, may_lease=may_lease)

    async def replay_spill(self) -> None:
        """Stores what could not be stored when it came."""
        hub = self._hub
        for name, inbounds in hub.spill.read():
            await hub.database.run(
                lambda c, found=inbounds: self._receive(c, found, hub.clock(), may_lease=False)  # type: ignore[misc]
            )
            hub.spill.done(name)
            hub.answer_wake.set()
