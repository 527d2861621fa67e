"""Watches the accounts: when a platform last delivered, what was rejected, what could not be sent.

A platform that falls silent, or whose deliveries are all rejected after a secret was changed, raises no error
anywhere else.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, and_, func, or_, select

from web.channels.base import Account
from web.channels.errors import StoreError
from web.database import deliveries, insert_into, outbox
from web.messaging.hub import Hub
from web.metrics import sample

# Even the account of a small organisation is written to within a week.
SILENT_AFTER_S = 7 * 86_400.0
# Strangers try addresses; a platform with another secret is rejected every time.
MANY_REJECTED = 3
UNSENT = outbox.c.state.in_(("pending", "sending"))
GIVEN_UP = or_(
    outbox.c.state.in_(("refused", "gave_up")),
    and_(outbox.c.state == "held", outbox.c.code.like("gave up%")),
)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class AccountState:
    """What is known of an account, by all processes together; times are 0 where it never happened."""

    accepted_at: float = 0.0
    rejected_at: float = 0.0
    n_rejected: int = 0
    n_rejected_since: int = 0  # since the last one that was accepted
    n_unsent: int = 0
    n_given_up: int = 0

    def told(self) -> str:
        """When the platform last delivered, in a line."""
        last = f"last delivery {_day(self.accepted_at)}" if self.accepted_at else "no delivery yet"
        return f"{last}, rejected {self.n_rejected}" + (
            f", the last one {_day(self.rejected_at)}" if self.rejected_at else ""
        )

    def complaints(self, now: float) -> list[str]:
        """What the operator should look into."""
        found = []
        if self.accepted_at and now - self.accepted_at > SILENT_AFTER_S:
            found.append(f"no delivery since {_day(self.accepted_at)}: is the URL still entered at the platform?")
        if self.n_rejected_since >= MANY_REJECTED:
            since = "since the last good one" if self.accepted_at else "and none was good"
            found.append(
                f"{self.n_rejected_since} deliveries were rejected {since}: are the secrets still those of the platform?"
            )
        return found


@dataclass(slots=True)
class _Seen:
    """What came since it was last written down."""

    accepted_at: float = 0.0
    rejected_at: float = 0.0
    n_rejected: int = 0
    n_rejected_since: int = 0

    def add(self, later: _Seen) -> None:
        """Takes up what came after it."""
        if later.accepted_at:
            self.accepted_at, self.n_rejected_since = later.accepted_at, 0
        self.rejected_at = later.rejected_at or self.rejected_at
        self.n_rejected += later.n_rejected
        self.n_rejected_since += later.n_rejected_since


class Watch:
    """Counts in memory, because strangers may knock often, and writes it down with `save`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._seen: dict[Key, _Seen] = {}
        # What is read while another still writes is out of date, and would be the last word until the next round.
        self._one_at_a_time = asyncio.Lock()
        self.states: dict[Key, AccountState] = {}

    def accept(self, account: Account) -> None:
        """A delivery was proven to come from the platform."""
        self._add(account, _Seen(accepted_at=self._hub.clock()))

    def reject(self, account: Account) -> None:
        """A delivery was not proven, or could not be read."""
        self._add(account, _Seen(rejected_at=self._hub.clock(), n_rejected=1, n_rejected_since=1))

    def _add(self, account: Account, seen: _Seen) -> None:
        self._seen.setdefault((account.platform, account.name), _Seen()).add(seen)

    async def save(self) -> None:
        """Adds what was counted to the database, and reads how the accounts are.

        Raises:
            StoreError: nothing was written; the counts are kept.
        """
        async with self._one_at_a_time:
            seen, self._seen = self._seen, {}

            def work(connection: Connection) -> dict[Key, AccountState]:
                for key in sorted(seen):
                    _write(connection, key, seen[key])
                return read_states(connection)

            try:
                self.states = await self._hub.database.run(work)
            except StoreError:
                for key, later in self._seen.items():
                    seen.setdefault(key, _Seen()).add(later)
                self._seen = seen
                raise

    def metrics(self) -> str:
        """The accounts and the steps of this process, in the text format of Prometheus."""
        lines = []
        for account in self._hub.settings.accounts:
            state = self.states.get((account.platform, account.name), AccountState())
            labels = {"platform": account.platform, "account": account.name}
            lines += [
                sample("channel_last_delivery_timestamp_seconds", round(state.accepted_at), **labels),
                sample("channel_rejected_total", state.n_rejected, **labels),
                sample("channel_unsent", state.n_unsent, **labels),
                sample("channel_given_up", state.n_given_up, **labels),
            ]
        lines += [sample("channel_steps_total", n, step=step) for step, n in sorted(self._hub.counts.items())]
        return "".join(f"{line}\n" for line in lines)


def read_states(connection: Connection) -> dict[Key, AccountState]:
    """How the accounts are that were ever delivered to, or are owed something."""
    found = {
        (row.channel, row.account): AccountState(row.accepted_at, row.rejected_at, row.n_rejected, row.n_rejected_since)
        for row in connection.execute(select(deliveries))
    }
    for which, name in ((UNSENT, "n_unsent"), (GIVEN_UP, "n_given_up")):
        query = select(outbox.c.channel, outbox.c.account, func.count()).where(which)
        for channel, account, n in connection.execute(query.group_by(outbox.c.channel, outbox.c.account)):
            found[channel, account] = replace(found.get((channel, account), AccountState()), **{name: n})
    return found


def _write(connection: Connection, key: Key, seen: _Seen) -> None:
    """Does what `_Seen.add` does to the row of an account."""
    values = asdict(seen)
    fresh = {name: value for name, value in values.items() if value and name in ("accepted_at", "rejected_at")}
    fresh["n_rejected"] = deliveries.c.n_rejected + seen.n_rejected
    before = 0 if seen.accepted_at else deliveries.c.n_rejected_since
    fresh["n_rejected_since"] = before + seen.n_rejected_since
    insert = insert_into(connection, deliveries).values(channel=key[0], account=key[1], **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["channel", "account"], set_=fresh))


def _day(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
