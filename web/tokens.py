"""Access tokens of platforms, shared by all workers and machines: one refresh at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import ColumnElement, Connection, select, update

from web.channels.base import AccessToken, Account
from web.channels.errors import TokenError
from web.database import Database, insert_into, tokens

# A refresh is one HTTP call; whoever holds the turn longer than this has died.
TURN_S = 20.0
_POLL_S = 0.1


class SharedTokens:
    """The tokens of one account."""

    def __init__(self, database: Database, account: Account, owner: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._account = account
        self._owner = owner
        self._clock = clock

    async def get(
        self, name: str, fetch: Callable[[str], Awaitable[AccessToken]], *, stale: str = "", seed: str = ""
    ) -> str:
        """See `TokenKeeper.get`."""
        deadline = self._clock() + 2 * TURN_S
        while True:
            value, refresh, is_ours = await self._database.run(lambda c: self._look(c, name, stale, seed))
            if value:
                return value
            if is_ours:
                break
            if self._clock() > deadline:
                raise TokenError("another worker does not finish its refresh")
            await asyncio.sleep(_POLL_S)
        try:
            fresh = await fetch(refresh)
        except BaseException:
            await self._database.run(lambda c: self._end_turn(c, name))
            raise
        # Stored before it is used: a refresh token that works once would be lost with us.
        await self._database.run(lambda c: self._store(c, name, fresh))
        return fresh.value

    def _where(self, name: str) -> tuple[ColumnElement[bool], ...]:
        return (
            tokens.c.channel == self._account.platform,
            tokens.c.account == self._account.name,
            tokens.c.name == name,
        )

    def _look(self, connection: Connection, name: str, stale: str, seed: str) -> tuple[str, str, bool]:
        """The token where it is good; else whether it is our turn to renew it, and the key to do so."""
        vault, now = self._database.vault, self._clock()
        seed_key = vault.hide("seed", seed) if seed else ""
        connection.execute(
            insert_into(connection, tokens)
            .values(
                channel=self._account.platform,
                account=self._account.name,
                name=name,
                value=None,
                refresh=None,
                seed="",
                expires_at=0.0,
                lease_until=0.0,
                lease_owner="",
            )
            .on_conflict_do_nothing()
        )
        query = select(tokens).where(*self._where(name))
        if connection.dialect.name == "postgresql":
            query = query.with_for_update()
        row = connection.execute(query).one()
        value = vault.open(row.value).decode() if row.value is not None else ""
        # An operator who enters another first refresh token means it: the stored chain is broken.
        is_reseeded = bool(seed) and row.seed != seed_key
        if value and value != stale and row.expires_at > now and not is_reseeded:
            return value, "", False
        if row.lease_until > now:
            return "", "", False
        connection.execute(
            update(tokens).where(*self._where(name)).values(lease_until=now + TURN_S, lease_owner=self._owner)
        )
        if is_reseeded:
            connection.execute(update(tokens).where(*self._where(name)).values(seed=seed_key, refresh=None))
            return "", seed, True
        return "", vault.open(row.refresh).decode() if row.refresh is not None else seed, True

    def _store(self, connection: Connection, name: str, fresh: AccessToken) -> None:
        vault = self._database.vault
        connection.execute(
            update(tokens)
            .where(*self._where(name))
            .values(
                value=vault.seal(fresh.value.encode()),
                refresh=vault.seal(fresh.refresh.encode()) if fresh.refresh else None,
                expires_at=fresh.expires_at,
                lease_until=0.0,
            )
        )

    def _end_turn(self, connection: Connection, name: str) -> None:
        connection.execute(
            update(tokens).where(*self._where(name), tokens.c.lease_owner == self._owner).values(lease_until=0.0)
        )
