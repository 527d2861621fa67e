"""Fetches messages that a platform only announces, from where the cursor of their stream stands."""

from __future__ import annotations

import functools
import logging
from typing import Any

from sqlalchemy import Connection, select, update

from web.channels.base import Pulled
from web.channels.errors import TokenError
from web.database import cursors, skip_locked
from web.inbox import Receipt
from web.messaging.hub import Hub

logger = logging.getLogger(__name__)


class Pulling:
    """One stream at a time; the cursor's lease keeps other workers away."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def round(self) -> bool:
        """Fetches what one stream has; gives whether there may be more."""
        hub = self._hub
        if hub.is_stopping:
            return False
        now = hub.clock()
        found = await hub.database.run(lambda c: self._take_cursor(c, now))
        if found is None:
            return False
        channel, account_name, stream, value, token, wakes = found
        account = hub.accounts.get((channel, account_name))
        if account is None:
            return True
        adapter = hub.adapters[channel]
        while True:
            try:
                pulled = await adapter.pull(stream, value, token, hub.context(account))
            except TokenError as error:
                logger.warning("%s/%s: cannot fetch messages: %s", channel, account_name, error.code)
                await hub.database.run(lambda c: self._put_cursor(c, found, next_at=hub.clock() + 15.0, wakes=None))
                return True
            if pulled is None:
                break
            # Messages and cursor in one transaction: after a crash the same page comes again and is known.
            store = functools.partial(self._store_page, found=found, page=pulled, old_cursor=value)
            receipts = await hub.database.run(store)
            if receipts is None:
                return True  # another worker has the cursor now
            value = pulled.cursor
            if any(receipt.is_new for receipt in receipts):
                hub.answer_wake.set()
            if not pulled.has_more:
                break
        await hub.database.run(lambda c: self._put_cursor(c, found, next_at=0.0, wakes=wakes))
        return True

    def _take_cursor(self, connection: Connection, now: float) -> tuple[str, str, str, str, str, int] | None:
        query = (
            select(cursors)
            .where(
                cursors.c.wakes > 0,
                cursors.c.next_at <= now,
                cursors.c.lease_until < now,
                cursors.c.channel.in_(self._hub.channels),
            )
            .order_by(cursors.c.pulled_at)
            .limit(1)
        )
        row = connection.execute(skip_locked(connection, query)).first()
        if row is None:
            return None
        connection.execute(
            update(cursors)
            .where(*_cursor_key(row.channel, row.account, row.stream))
            .values(lease_until=now + self._hub.settings.lease_s, lease_owner=self._hub.owner, pulled_at=now)
        )
        token = self._hub.database.vault.open(row.token).decode() if row.token is not None else ""
        return row.channel, row.account, row.stream, row.value, token, row.wakes

    def _store_page(
        self,
        connection: Connection,
        *,
        found: tuple[str, str, str, str, str, int],
        page: Pulled,
        old_cursor: str,
    ) -> list[Receipt] | None:
        now = self._hub.clock()
        moved = connection.execute(
            update(cursors)
            .where(*_cursor_key(*found[:3]), cursors.c.lease_owner == self._hub.owner, cursors.c.value == old_cursor)
            .values(value=page.cursor, lease_until=now + self._hub.settings.lease_s)
        ).rowcount
        if not moved:
            return None
        known = [inbound for inbound in page.inbounds if inbound.kind != "unknown"]
        return self._hub.inbox.receive(connection, known, now=now, may_lease=False)

    def _put_cursor(
        self,
        connection: Connection,
        found: tuple[str, str, str, str, str, int],
        *,
        next_at: float,
        wakes: int | None,
    ) -> None:
        """Gives the cursor back; wakes that came during the pull stay, because they may stand for new
        messages.
        """
        values: dict[str, Any] = {"lease_until": 0.0, "next_at": next_at}
        if wakes is not None:
            values["wakes"] = cursors.c.wakes - wakes
        mine = cursors.c.lease_owner == self._hub.owner
        connection.execute(update(cursors).where(*_cursor_key(*found[:3]), mine).values(**values))


def _cursor_key(channel: str, account: str, stream: str) -> tuple[Any, Any, Any]:
    return cursors.c.channel == channel, cursors.c.account == account, cursors.c.stream == stream
