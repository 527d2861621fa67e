"""Keeps leases alive, looks after what was left lying, and tells the operator what is wrong."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, update

from web.database import cursors
from web.messaging.answering import Answering
from web.messaging.hub import Hub
from web.messaging.intake import Intake
from web.messaging.report import health
from web.messaging.sending import Sending
from web.messaging.watch import AccountState, Watch

logger = logging.getLogger(__name__)

SWEEP_S = 5.0
RECONCILE_S = 300.0
ALARM_AFTER_S = 60.0


class Upkeep:
    """Rounds that run all the time. None of them ever has more to do at once."""

    def __init__(self, hub: Hub, intake: Intake, answering: Answering, sending: Sending, watch: Watch) -> None:
        self._hub = hub
        self._intake = intake
        self._answering = answering
        self._sending = sending
        self._watch = watch

    async def renew(self) -> bool:
        """Keeps what is being answered and sent."""
        hub = self._hub
        answering, sending = list(self._answering.running), list(self._sending.running)

        def renew(connection: Connection) -> None:
            now = hub.clock()
            for event_id in answering:
                hub.inbox.renew(connection, event_id, now)
            if sending:
                hub.queue.renew(connection, sending, now)

        if answering or sending:
            await hub.database.run(renew)
        return False

    async def sweep(self) -> bool:
        """Looks after bodies that were not confirmed and deliveries that were not stored."""
        hub = self._hub
        await hub.database.run(lambda c: hub.outbox.sweep(c, hub.clock()))
        await self._intake.replay_spill()
        await self._watch.save()
        return False

    async def reconcile(self) -> bool:
        """Clears what is old, fetches what was not announced, and asks the platforms how they are."""
        hub = self._hub

        def care(connection: Connection) -> float:
            now = hub.clock()
            hub.inbox.clean(connection, now)
            # Streams are fetched now and then even without a call, which may have been lost.
            connection.execute(
                update(cursors).where(cursors.c.wakes == 0, cursors.c.pulled_at < now - RECONCILE_S / 2).values(wakes=1)
            )
            return hub.inbox.oldest_open_s(connection, now)

        oldest_s = await hub.database.run(care)
        if oldest_s > ALARM_AFTER_S:
            logger.error("the oldest message without an answer has waited %.0f s", oldest_s)
        hub.pull_wake.set()
        for account in hub.settings.accounts:
            state = self._watch.states.get((account.platform, account.name), AccountState())
            for complaint in [*await health(hub, account), *state.complaints(hub.clock())]:
                logger.error("%s: %s", account.path, complaint)
        return False
