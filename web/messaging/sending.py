"""Sends what the outbox owes, at the pace that each platform allows."""

from __future__ import annotations

import asyncio
import logging

from web.channels.base import Account, ChannelAdapter, Sent
from web.channels.errors import StoreError
from web.messaging.hub import POLL_S, Hub
from web.rates import Pacer
from web.send_queue import Job

logger = logging.getLogger(__name__)


class Sending:
    """The sends that are under way in this process. `running` holds the ids of their messages."""

    def __init__(self, hub: Hub) -> None:
        self.running: set[int] = set()
        self._hub = hub
        self._pacer = Pacer(hub.clock)

    async def round(self) -> bool:
        """Picks messages that are due; gives whether there may be more."""
        hub = self._hub
        free = hub.settings.n_send_tasks - len(self.running)
        if free <= 0 or hub.is_stopping:
            return False
        now = hub.clock()
        jobs = await hub.database.run(lambda c: hub.queue.pick(c, now=now, limit=free, channels=hub.channels))
        for job in jobs:
            self.running.add(job.outbox_id)
            hub.spawn(self._send(job))
        if jobs:
            return True
        due_s = await hub.database.run(lambda c: hub.queue.next_due_s(c, now, hub.channels))
        if 0 < due_s < POLL_S:
            asyncio.get_running_loop().call_later(due_s, hub.send_wake.set)
        return False

    async def _send(self, job: Job) -> None:
        hub = self._hub
        try:
            inbound = job.inbound
            account = hub.account_of(inbound)
            if account is None:
                # The account was taken out of the settings; it may come back.
                await hub.database.run(lambda c: hub.queue.postpone(c, job, hub.clock() + 600.0))
                return
            adapter = hub.adapters[inbound.channel]
            wait_s = self._pacer.wait_s(account, adapter.caps, job.conversation)
            if wait_s > 0:
                await hub.database.run(lambda c: hub.queue.postpone(c, job, hub.clock() + wait_s))
                return
            if inbound.sender == adapter.simulated_sender():
                sent = Sent("ok", code="simulated")
            else:
                sent = await self._try_send(adapter, account, job)
            if sent.pause:
                self._pacer.pause(account, sent.after_s or 1.0)
            for attempt in range(6):
                try:
                    state = await hub.database.run(lambda c: hub.queue.finish(c, job, sent, hub.clock()))
                    hub.counts[f"send_{state or 'settled'}"] += 1
                    break
                except StoreError:
                    # The platform has it already: not writing that down would send it twice.
                    if attempt == 5:
                        raise
                    await asyncio.sleep(0.2 * 2**attempt)
        except StoreError as error:
            logger.warning("outbox %d: %s", job.outbox_id, error)
        finally:
            self.running.discard(job.outbox_id)
            hub.send_wake.set()

    async def _try_send(self, adapter: ChannelAdapter, account: Account, job: Job) -> Sent:
        try:
            return await adapter.send(job.parts, job.inbound, job.mode, job.idem, self._hub.context(account))
        except StoreError:
            return Sent("retry", code="database")
        except Exception as error:
            logger.exception("outbox %d: the adapter of %s failed", job.outbox_id, adapter.name)
            return Sent("unknown", code=type(error).__name__)
