"""Everything behind the webhooks in one piece.

Deliveries are stored first; each answer is computed once; it is seen to that the answer arrives. No work lives
only in memory: everything here can be killed at any point and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import time
from collections.abc import Callable
from typing import IO

import httpx

from web.channels.accounts import ChannelSettings
from web.channels.base import Account, ChannelAdapter
from web.channels.errors import StoreError
from web.messaging.answering import Answering
from web.messaging.composing import Composer, OfferChecker, Responder
from web.messaging.hub import POLL_S, Hub
from web.messaging.intake import Intake
from web.messaging.passive import Passive
from web.messaging.pulling import Pulling
from web.messaging.sending import Sending
from web.messaging.upkeep import RECONCILE_S, SWEEP_S, Upkeep
from web.messaging.watch import Watch

SHUTDOWN_S = 5.0


class ChannelService:
    """The messaging platforms. `start` before the first delivery, `stop` at the end."""

    def __init__(
        self,
        settings: ChannelSettings,
        responder: Responder,
        *,
        offer_checker: OfferChecker | None = None,
        clock: Callable[[], float] = time.time,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.hub = Hub(settings, clock=clock, http=http)
        self.composer = Composer(self.hub, responder, offer_checker)
        self.passive = Passive(self.hub)
        self.answering = Answering(self.hub, self.composer, self.passive)
        self.watch = Watch(self.hub)
        self.intake = Intake(self.hub, self.answering, self.passive, self.watch)
        self.sending = Sending(self.hub)
        self.pulling = Pulling(self.hub)
        self.upkeep = Upkeep(self.hub, self.intake, self.answering, self.sending, self.watch)
        self._lock_file: IO[bytes] | None = None

    async def start(self) -> None:
        """Opens the database, takes up unfinished work and starts the workers.

        Raises:
            ChannelSettingsError, StoreError: the database or its key cannot be used.
        """
        hub = self.hub
        await hub.open()
        if self._is_alone():
            await hub.database.run(lambda c: hub.inbox.release_all(c, is_alone=True))
            await hub.database.run(hub.outbox.recover)
        await self.intake.replay_spill()
        hub.repeat("answer", self.answering.round, POLL_S, hub.answer_wake)
        hub.repeat("send", self.sending.round, POLL_S, hub.send_wake)
        hub.repeat("pull", self.pulling.round, POLL_S, hub.pull_wake)
        hub.repeat("renew", self.upkeep.renew, hub.settings.lease_s / 3)
        hub.repeat("sweep", self.upkeep.sweep, SWEEP_S)
        hub.repeat("reconcile", self.upkeep.reconcile, RECONCILE_S)

    def _is_alone(self) -> bool:
        """Whether no other process uses this SQLite database: it would hold the lock on the file beside
        it.
        """
        hub = self.hub
        if not hub.database.is_sqlite:
            return False
        hub.settings.data.mkdir(parents=True, exist_ok=True)
        self._lock_file = (hub.settings.data / "channels.lock").open("wb")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    async def stop(self) -> None:
        """Takes no more deliveries, lets those that wait for a body finish, gives back what is not done."""
        hub = self.hub
        if hub.is_stopping:
            return
        hub.is_stopping = True
        deadline = time.monotonic() + SHUTDOWN_S
        while (self.passive.is_waited_for or self.sending.running) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        await hub.cancel()
        with contextlib.suppress(StoreError):
            await hub.database.run(lambda c: hub.inbox.release_all(c, is_alone=False))
            await self.watch.save()
        self.composer.close()
        await hub.close()
        if self._lock_file is not None:
            self._lock_file.close()

    def route(self, channel: str, account: str) -> tuple[ChannelAdapter, Account] | None:
        """The adapter and account of a URL; None where it is not routed."""
        found = self.hub.accounts.get((channel, account))
        return None if found is None else (self.hub.adapters[channel], found)

    async def read_page(self, token: str) -> str | None:
        """The page behind the link of a message; None where there is none."""
        hub = self.hub
        return await hub.database.run(lambda c: hub.page_store.read(c, token))
