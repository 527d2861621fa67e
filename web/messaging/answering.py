"""Answers messages: takes each once, and stores its answer with all its parts in one transaction."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, select, update

from web.answer_page import write_page
from web.channels.base import Block, Outbound, Part
from web.channels.errors import StoreError
from web.channels.phrases import phrase
from web.database import conversations, events
from web.inbox import Leased
from web.messaging.composing import Composer, Reply
from web.messaging.held import with_held
from web.messaging.hub import Hub
from web.messaging.passive import Passive
from web.render import answer_outbound

logger = logging.getLogger(__name__)


class Answering:
    """The messages that this process answers now. `running` holds their ids."""

    def __init__(self, hub: Hub, composer: Composer, passive: Passive) -> None:
        self.running: set[int] = set()
        self._hub = hub
        self._composer = composer
        self._passive = passive
        self._unleased: set[int] = set()
        self._max_running = 2 * hub.settings.n_answer_threads

    @property
    def has_room(self) -> bool:
        """Whether a message may be taken at once."""
        return len(self.running) < self._max_running

    def begin(self, leased: Leased) -> None:
        """Answers a message that was leased to this process."""
        self.running.add(leased.event_id)
        self._hub.spawn(self._answer(leased))

    def expect(self, event_ids: Sequence[int]) -> None:
        """Notes messages that were stored and not leased, so that a round looks for them."""
        if event_ids:
            self._unleased.update(event_ids)
            self._hub.answer_wake.set()

    async def round(self) -> bool:
        """Takes messages that wait; gives whether there may be more."""
        hub = self._hub
        if hub.is_stopping:
            return False
        free = self._max_running - len(self.running)
        if free <= 0:
            return False
        now = hub.clock()
        found = await hub.database.run(lambda c: hub.inbox.lease(c, now=now, limit=free, channels=hub.channels))
        if not found and not self.running:
            self._unleased.clear()  # whatever it was, another process has it
        for leased in found:
            self._unleased.discard(leased.event_id)
            if leased.event_id not in self.running:
                self.begin(leased)
        return len(found) == free

    async def _answer(self, leased: Leased) -> None:
        """Computes one answer and stores it with its messages in one transaction."""
        handed: list[Part] | None = None
        try:
            reply = await self._composer.compose(leased)
            handed = await self._store(leased, reply)
        except StoreError as error:
            # The lease ends by itself, and the message is taken again.
            logger.warning("event %d: %s", leased.event_id, error)
        except Exception as error:
            logger.error("event %d: no answer stored: %s", leased.event_id, type(error).__name__, exc_info=True)
        finally:
            self.running.discard(leased.event_id)
            self._passive.hand(leased.event_id, handed)
            # Other work is looked for only where there may be some: rounds cost more than answers.
            if self._unleased:
                self._hub.answer_wake.set()
            if handed is None:
                self._hub.send_wake.set()

    async def _store(self, leased: Leased, reply: Reply) -> list[Part] | None:
        for attempt in range(5):
            try:
                return await self._hub.database.run(lambda c: self._write(c, leased, reply))
            except StoreError:
                if attempt == 4:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)
        return None

    def _write(self, connection: Connection, leased: Leased, reply: Reply) -> list[Part] | None:
        """Stores what to say; gives it where a delivery waits for it and it is marked as handed over."""
        hub = self._hub
        if reply.forgets:
            if hub.inbox.close(connection, leased.event_id, "noted"):
                hub.inbox.forget(connection, leased.conversation)
            return None
        if reply == Reply():
            hub.inbox.close(connection, leased.event_id, "noted")
            return None
        if not hub.inbox.close(connection, leased.event_id, "answered"):
            return None  # another worker answered it, or the person took it back
        now = hub.clock()
        inbound = leased.inbound
        adapter = hub.adapters[inbound.channel]
        query = select(conversations).where(conversations.c.key == leased.conversation)
        person = connection.execute(query).first()
        out = self._outbound(connection, leased, reply, is_watched=person is not None and person.is_watched, now=now)
        passive_until = connection.execute(
            select(events.c.passive_until).where(events.c.id == leased.event_id)
        ).scalar_one()
        modes = [replace(mode, until=passive_until) if mode.mode == "passive" else mode for mode in inbound.reply.modes]
        mode = next((one for one in modes if one.until > now), None)
        is_handed = mode is not None and mode.mode == "passive" and self._passive.has_waiter(leased.event_id)
        max_parts = adapter.caps.max_parts
        if mode is not None and mode.mode == "api" and person is not None and person.quota_left is not None:
            # Everything in one message before the last of the quota is spent.
            max_parts = max(min(max_parts, person.quota_left), 1)
        parts = [] if out is None else adapter.render(out, inbound, max_parts=max_parts)
        held = hub.outbox.held(connection, leased.conversation, is_asked_for=reply.fetches_held)
        language = out.language if out is not None else self._composer.language(adapter, inbound)
        rows, moved = with_held(parts, held, adapter, language, is_single=adapter.caps.max_parts == 1)
        hub.outbox.move(connection, moved, leased.event_id)
        if adapter.caps.joins_parts and rows:
            rows = [[part for row in rows for part in row]]
        hub.outbox.write(
            connection,
            event_id=leased.event_id,
            conversation=leased.conversation,
            inbound=inbound,
            rows=rows,
            mode=mode,
            is_handed=is_handed,
            now=now,
        )
        return [part for row in rows for part in row] if is_handed else None

    def _outbound(
        self, connection: Connection, leased: Leased, reply: Reply, *, is_watched: bool, now: float
    ) -> Outbound | None:
        """What to say before it is cut into parts; the whole answer becomes a page."""
        out = reply.out
        if reply.answer is not None:
            if reply.answer.situation == "trapped" and not is_watched:
                is_watched = True
                connection.execute(
                    update(conversations).where(conversations.c.key == leased.conversation).values(is_watched=True)
                )
            public_url = self._hub.settings.public_url
            token = secrets.token_urlsafe(16)
            page = write_page(reply.answer, public_url)
            self._hub.page_store.write(connection, token, leased.conversation, page, now)
            full_url = f"{public_url}/a/{token}"
            return answer_outbound(reply.answer, public_url=public_url, full_url=full_url, is_watched=is_watched)
        if out is not None and is_watched and not any(block.kind == "preface" for block in out.blocks):
            # Words of ours, too, begin neutrally where somebody may look on.
            out = replace(out, blocks=(Block("preface", phrase("neutral", out.language)), *out.blocks))
        return out
