"""The inbox: each delivery is stored once, answered once, and kept as long as a platform may repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from web.channels.base import Inbound
from web.database import Database, conversations, cursors, events, insert_into, outbox, pages, skip_locked
from web.records import read_inbound, write_inbound

KEEP_BODIES_S = 7 * 86_400.0
KEEP_KEYS_S = 30 * 86_400.0
OPEN = ("new", "leased")
_OWED = ("pending", "sending", "handed", "held")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message of a delivery. `delivery` counts from 1; `is_leased`: ours to answer."""

    event_id: int
    inbound: Inbound
    delivery: int
    state: str
    is_leased: bool

    @property
    def is_new(self) -> bool:
        return self.delivery == 1


@dataclass(frozen=True, slots=True)
class Leased:
    """A message to answer, and how often that was tried, this time included."""

    event_id: int
    conversation: str
    inbound: Inbound
    tries: int


class Inbox:
    """Functions on a connection; the caller decides what shares a transaction."""

    def __init__(self, database: Database, owner: str, *, lease_s: float) -> None:
        self._vault = database.vault
        self._owner = owner
        self._lease_s = lease_s

    def conversation_key(self, inbound: Inbound) -> str:
        """The keyed hash of a conversation."""
        return self._vault.hide("conversation", inbound.channel, inbound.account, inbound.conversation)

    def message_key(self, inbound: Inbound) -> str:
        """The keyed hash of the platform's id of a message, "" where it has none."""
        if not inbound.message_ref:
            return ""
        return self._vault.hide("message", inbound.channel, inbound.account, inbound.conversation, inbound.message_ref)

    def receive(
        self, connection: Connection, inbounds: Sequence[Inbound], *, now: float, may_lease: bool
    ) -> list[Receipt]:
        """Stores the messages of one delivery: an atomic insert by its key, which counts repeats."""
        receipts = []
        fresh: dict[str, Inbound] = {}
        for inbound in inbounds:
            key = self.conversation_key(inbound)
            passive_until = max((mode.until for mode in inbound.reply.modes if mode.mode == "passive"), default=0.0)
            state = "noted" if inbound.kind in ("unfollow", "unsend") else "new"
            values = {
                "channel": inbound.channel,
                "account": inbound.account,
                "dedupe": self._vault.hide("dedupe", inbound.dedupe),
                "conversation": key,
                "message_ref": "" if inbound.kind == "unsend" else self.message_key(inbound),
                "kind": inbound.kind,
                "body": self._vault.seal(write_inbound(inbound)) if state == "new" else None,
                "state": state,
                "attempts": 1,
                "tries": 0,
                "first_at": now,
                "last_at": now,
                "passive_until": passive_until,
                "lease_until": 0.0,
                "lease_owner": "",
            }
            insert = insert_into(connection, events).values(values)
            upsert = insert.on_conflict_do_update(
                index_elements=["channel", "account", "dedupe"],
                set_={
                    "attempts": events.c.attempts + 1,
                    "last_at": now,
                    # Each delivery opens a new chance to answer in its body.
                    "passive_until": passive_until,
                },
            ).returning(events.c.id, events.c.attempts, events.c.state)
            event_id, delivery, state = connection.execute(upsert).one()
            receipts.append(Receipt(event_id, inbound, delivery, state, False))
            if delivery == 1:
                fresh[key] = inbound
        # In one order for all writers, so that two of them never wait for each other.
        for key in sorted(fresh):
            self._touch(connection, key, fresh[key], now)
        return [self._finish(connection, receipt, now, may_lease=may_lease) for receipt in receipts]

    def _touch(self, connection: Connection, key: str, inbound: Inbound, now: float) -> None:
        """Notes that a person wrote, which opens the platform's window and fills its quota again."""
        quota = inbound.reply.quota
        insert = insert_into(connection, conversations).values(
            key=key, last_user_at=now, quota_left=quota, is_watched=False
        )
        fresh = {"last_user_at": now, "quota_left": quota}
        connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_=fresh))

    def _finish(self, connection: Connection, receipt: Receipt, now: float, *, may_lease: bool) -> Receipt:
        inbound = receipt.inbound
        if not receipt.is_new:
            return receipt
        key = self.conversation_key(inbound)
        if inbound.kind == "unfollow":
            self.forget(connection, key)
            return receipt
        if inbound.kind == "unsend":
            self.withdraw(connection, self.message_key(inbound))
            return receipt
        if not may_lease or receipt.state != "new":
            return receipt
        others = select(events.c.id).where(
            events.c.conversation == key, events.c.state.in_(OPEN), events.c.id != receipt.event_id
        )
        if connection.execute(others.limit(1)).first() is not None:
            return receipt  # its turn comes after the earlier ones
        self._lease(connection, [receipt.event_id], now)
        return Receipt(receipt.event_id, inbound, receipt.delivery, "leased", True)

    def _lease(self, connection: Connection, event_ids: Sequence[int], now: float) -> None:
        connection.execute(
            update(events)
            .where(events.c.id.in_(event_ids))
            .values(
                state="leased",
                lease_owner=self._owner,
                lease_until=now + self._lease_s,
                tries=events.c.tries + 1,
            )
        )

    def lease(self, connection: Connection, *, now: float, limit: int, channels: Sequence[str]) -> list[Leased]:
        """Messages that wait for an answer, oldest first, never two of one conversation at a time."""
        earlier = events.alias()
        waiting = or_(events.c.state == "new", and_(events.c.state == "leased", events.c.lease_until < now))
        has_earlier = exists().where(
            earlier.c.conversation == events.c.conversation,
            earlier.c.state.in_(OPEN),
            earlier.c.id < events.c.id,
        )
        query = (
            select(events.c.id, events.c.conversation, events.c.body, events.c.tries)
            .where(waiting, ~has_earlier, events.c.channel.in_(channels))
            .order_by(events.c.id)
            .limit(limit)
        )
        rows = connection.execute(skip_locked(connection, query)).all()
        if rows:
            self._lease(connection, [row.id for row in rows], now)
        return [
            Leased(row.id, row.conversation, read_inbound(self._vault.open(row.body)), row.tries + 1) for row in rows
        ]

    def renew(self, connection: Connection, event_id: int, now: float) -> None:
        """Keeps a message that is still being answered."""
        mine = (events.c.id == event_id) & (events.c.state == "leased") & (events.c.lease_owner == self._owner)
        connection.execute(update(events).where(mine).values(lease_until=now + self._lease_s))

    def release_all(self, connection: Connection, *, is_alone: bool) -> int:
        """Gives leases back: our own at shutdown; anyone's at start-up where no other can hold one."""
        leased = events.c.state == "leased"
        whose = leased if is_alone else leased & (events.c.lease_owner == self._owner)
        return connection.execute(update(events).where(whose).values(state="new", lease_until=0.0)).rowcount

    def close(self, connection: Connection, event_id: int, state: Literal["answered", "noted"]) -> bool:
        """Marks a message that we hold as done; False where another worker took it over."""
        mine = (events.c.id == event_id) & (events.c.state == "leased") & (events.c.lease_owner == self._owner)
        return connection.execute(update(events).where(mine).values(state=state, lease_until=0.0)).rowcount == 1

    def forget(self, connection: Connection, conversation: str) -> None:
        """Deletes what we hold of a person; the keyed hashes that stop repeats stay their 30 days."""
        connection.execute(
            update(events)
            .where(events.c.conversation == conversation, events.c.state.in_(OPEN))
            .values(state="forgotten")
        )
        connection.execute(
            update(events).where(events.c.conversation == conversation).values(body=None, message_ref="")
        )
        connection.execute(
            update(outbox)
            .where(outbox.c.conversation == conversation, outbox.c.state.in_(_OWED))
            .values(state="dropped", code="forgotten")
        )
        connection.execute(
            update(outbox).where(outbox.c.conversation == conversation).values(payload=None, provider_id="")
        )
        connection.execute(delete(pages).where(pages.c.conversation == conversation))
        connection.execute(delete(conversations).where(conversations.c.key == conversation))

    def withdraw(self, connection: Connection, message_key: str) -> None:
        """Deletes our copy of a message that a person took back, and its answer where it is not out yet."""
        if not message_key:
            return
        found = select(events.c.id).where(events.c.message_ref == message_key)
        event_ids = connection.execute(found).scalars().all()
        if not event_ids:
            return
        connection.execute(
            update(events).where(events.c.id.in_(event_ids), events.c.state.in_(OPEN)).values(state="withdrawn")
        )
        connection.execute(update(events).where(events.c.id.in_(event_ids)).values(body=None))
        connection.execute(
            update(outbox)
            .where(outbox.c.event_id.in_(event_ids), outbox.c.state.in_(("pending", "held")))
            .values(state="dropped", payload=None, code="withdrawn")
        )

    def wake(self, connection: Connection, channel: str, account: str, stream: str, token: str) -> None:
        """Notes that a platform has messages to fetch; calls that come before the fetch are one."""
        sealed = self._vault.seal(token.encode()) if token else None
        insert = insert_into(connection, cursors).values(
            channel=channel,
            account=account,
            stream=stream,
            value="",
            token=sealed,
            wakes=1,
            next_at=0.0,
            pulled_at=0.0,
            lease_until=0.0,
            lease_owner="",
        )
        again = {"wakes": cursors.c.wakes + 1, "token": sealed, "next_at": 0.0}
        connection.execute(insert.on_conflict_do_update(index_elements=["channel", "account", "stream"], set_=again))

    def clean(self, connection: Connection, now: float) -> None:
        """Clears bodies after 7 days and keys after 30; what a person is owed stays as long as its body."""
        old = now - KEEP_BODIES_S
        settled = events.c.state.not_in(OPEN)
        connection.execute(
            update(events).where(events.c.first_at < old, events.c.body.is_not(None), settled).values(body=None)
        )
        connection.execute(
            update(outbox)
            .where(outbox.c.created_at < old, outbox.c.state.in_(_OWED))
            .values(state="gave_up", code="too old")
        )
        connection.execute(
            update(outbox).where(outbox.c.created_at < old, outbox.c.payload.is_not(None)).values(payload=None)
        )
        connection.execute(delete(pages).where(pages.c.created_at < old))
        connection.execute(delete(events).where(events.c.last_at < now - KEEP_KEYS_S, settled))
        connection.execute(delete(conversations).where(conversations.c.last_user_at < now - KEEP_KEYS_S))

    def oldest_open_s(self, connection: Connection, now: float) -> float:
        """How long the oldest message without an answer has waited."""
        oldest = connection.execute(select(func.min(events.c.first_at)).where(events.c.state.in_(OPEN))).scalar()
        return 0.0 if oldest is None else max(now - oldest, 0.0)
