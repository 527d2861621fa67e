"""The outbox: what people are owed. Nothing drops in silence; `web.send_queue` sends it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from web.channels.base import ChannelAdapter, Inbound, Part, ReplyMode
from web.database import Database, insert_into, outbox, skip_locked
from web.records import read_parts, write_parts

# A body that is not confirmed within this time was never written.
HANDED_IS_LOST_S = 30.0
UNSURE = "written or not, nobody knows"


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits for the person to write again."""

    outbox_id: int
    parts: list[Part]


class Outbox:
    """Functions on a connection; the caller decides what shares a transaction."""

    def __init__(self, database: Database, adapters: Mapping[str, ChannelAdapter]) -> None:
        self._database = database
        self._vault = database.vault
        self._adapters = adapters

    def write(
        self,
        connection: Connection,
        *,
        event_id: int,
        conversation: str,
        inbound: Inbound,
        rows: Sequence[Sequence[Part]],
        mode: ReplyMode | None,
        is_handed: bool,
        now: float,
    ) -> None:
        """Stores an answer, a row for each message. Without a way to send it, it is held."""
        state = "held" if mode is None else "handed" if is_handed else "pending"
        for seq, parts in enumerate(rows):
            connection.execute(
                insert_into(connection, outbox).values(
                    event_id=event_id,
                    seq=seq,
                    channel=inbound.channel,
                    account=inbound.account,
                    conversation=conversation,
                    payload=self._vault.seal(write_parts(parts)),
                    mode="none" if mode is None else mode.mode,
                    state=state,
                    # Fixed at creation, so that every try carries the same id.
                    idem=str(uuid.uuid5(self._database.instance, f"{event_id}/{seq}")),
                    attempts=0,
                    n_unknown=0,
                    # A passive answer that nobody waits for is looked at again when its time has passed.
                    next_at=mode.until if mode is not None and mode.mode == "passive" else 0.0,
                    expires_at=0.0 if mode is None else mode.until,
                    lease_until=0.0,
                    lease_owner="",
                    provider_id="",
                    code="",
                    created_at=now,
                    done_at=now if is_handed else 0.0,
                )
            )

    def held(self, connection: Connection, conversation: str, *, is_asked_for: bool) -> list[Held]:
        """What waits for this person, oldest first. Taken by `move`.

        What may have been read already comes only where the person asks for it, so that nobody gets it twice
        unasked.
        """
        waits = [
            outbox.c.conversation == conversation,
            outbox.c.state == "held",
            outbox.c.payload.is_not(None),
        ]
        if not is_asked_for:
            waits.append(outbox.c.code != UNSURE)
        query = select(outbox.c.id, outbox.c.payload).where(*waits).order_by(outbox.c.event_id, outbox.c.seq)
        rows = connection.execute(skip_locked(connection, query)).all()
        return [Held(row.id, read_parts(self._vault.open(row.payload))) for row in rows]

    def move(self, connection: Connection, held: Sequence[Held], event_id: int) -> None:
        """Notes that held messages go out as part of the answer to a newer one."""
        ids = [one.outbox_id for one in held]
        connection.execute(
            update(outbox).where(outbox.c.id.in_(ids)).values(state="moved", payload=None, code=f"to {event_id}")
        )

    def claim(self, connection: Connection, event_id: int, now: float) -> list[Part] | None:
        """The answer to a message, to be written in the body of a (repeated) delivery.

        None where it went out, or is going out, by another way. It is marked before the body is written: a
        crash in between is made good by the platform's next delivery, which gets the same answer.
        """
        claimable = or_(
            outbox.c.state.in_(("pending", "held", "handed")),
            and_(outbox.c.state == "sent", outbox.c.mode == "passive"),
        )
        query = (
            select(outbox.c.id, outbox.c.payload)
            .where(outbox.c.event_id == event_id, claimable, outbox.c.payload.is_not(None))
            .order_by(outbox.c.seq)
        )
        if connection.dialect.name == "postgresql":
            query = query.with_for_update()
        rows = connection.execute(query).all()
        if not rows:
            return None
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_([row.id for row in rows]))
            .values(mode="passive", state="handed", done_at=now)
        )
        return [part for row in rows for part in read_parts(self._vault.open(row.payload))]

    def unclaim(self, connection: Connection, event_id: int, now: float) -> None:
        """The body could not be written: the answer is owed again."""
        connection.execute(
            update(outbox)
            .where(outbox.c.event_id == event_id, outbox.c.state == "handed")
            .values(state="pending", mode="passive", next_at=now, done_at=0.0)
        )

    def confirm(self, connection: Connection, event_id: int) -> None:
        """The body was written to a connection that was still open."""
        connection.execute(
            update(outbox).where(outbox.c.event_id == event_id, outbox.c.state == "handed").values(state="sent")
        )

    def sweep(self, connection: Connection, now: float) -> None:
        """Looks after bodies that nobody has confirmed: the process died between marking and writing."""
        old = (outbox.c.state == "handed") & (outbox.c.done_at < now - HANDED_IS_LOST_S)
        self._give_up_bodies(connection, old)

    def recover(self, connection: Connection) -> None:
        """Where no other process can be at work, what was being sent or written is looked at again at
        once.
        """
        connection.execute(update(outbox).where(outbox.c.state == "sending").values(lease_until=0.0))
        self._give_up_bodies(connection, outbox.c.state == "handed")

    def _give_up_bodies(self, connection: Connection, which: ColumnElement[bool]) -> None:
        """Answers whose body was not confirmed are owed again, by another way or with the person's next
        message.

        Not where the platform repeats a delivery until it has read a body: it has read this one, or comes
        again.
        """
        patient = [name for name, adapter in self._adapters.items() if adapter.caps.repeats_until_taken]
        connection.execute(
            update(outbox)
            .where(which, outbox.c.channel.not_in(patient))
            .values(state="pending", next_at=0.0, code=UNSURE)
        )
        taken = (outbox.c.state == "handed") & outbox.c.channel.in_(patient)
        connection.execute(update(outbox).where(which, taken).values(state="sent"))
