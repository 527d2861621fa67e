"""The outbox: what people are owed, by which way, how often it was tried. Nothing drops in silence."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from web.channels.base import Caps, ChannelAdapter, Inbound, Mode, Part, ReplyMode, Sent
from web.database import Database, conversations, events, insert_into, outbox, skip_locked
from web.records import read_inbound, read_parts, write_parts

logger = logging.getLogger(__name__)

BACKOFF_S = (1.0, 5.0, 30.0, 120.0, 600.0)
# How long after a person's last message an answer may still light up a screen.
LATE_AFTER_S = 600.0
# A body that is not confirmed within this time was never written.
HANDED_IS_LOST_S = 30.0
MAX_UNKNOWN = 2
UNSURE = "written or not, nobody knows"


@dataclass(frozen=True, slots=True)
class Job:
    """A message to send. `tries` counts this one."""

    outbox_id: int
    event_id: int
    conversation: str
    mode: ReplyMode
    parts: list[Part]
    inbound: Inbound
    idem: str
    tries: int
    n_unknown: int
    counts_quota: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits for the person to write again."""

    outbox_id: int
    parts: list[Part]


class Outbox:
    """Functions on a connection; the caller decides what shares a transaction."""

    def __init__(self, database: Database, owner: str, adapters: Mapping[str, ChannelAdapter], *, lease_s: float):
        self._database = database
        self._vault = database.vault
        self._owner = owner
        self._adapters = adapters
        self._lease_s = lease_s
        self._random = random.Random()

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

    def pick(self, connection: Connection, *, now: float, limit: int, channels: Sequence[str]) -> list[Job]:
        """Messages to send now, in the order of each conversation."""
        earlier = outbox.alias()
        due = or_(
            and_(outbox.c.state == "pending", outbox.c.next_at <= now),
            and_(outbox.c.state == "sending", outbox.c.lease_until < now),
        )
        is_earlier = or_(
            earlier.c.event_id < outbox.c.event_id,
            and_(earlier.c.event_id == outbox.c.event_id, earlier.c.seq < outbox.c.seq),
        )
        has_earlier = exists().where(
            earlier.c.conversation == outbox.c.conversation,
            earlier.c.state.in_(("pending", "sending")),
            is_earlier,
        )
        query = (
            select(outbox)
            .where(due, ~has_earlier, outbox.c.channel.in_(channels))
            .order_by(outbox.c.next_at)
            .limit(limit)
        )
        jobs = []
        for row in connection.execute(skip_locked(connection, query)).all():
            job = self._prepare(connection, row, now)
            if job is not None:
                jobs.append(job)
        return jobs

    def _prepare(self, connection: Connection, row: object, now: float) -> Job | None:
        found = row._mapping  # type: ignore[attr-defined]
        outbox_id, event_id, conversation = found["id"], found["event_id"], found["conversation"]
        source = connection.execute(select(events.c.body, events.c.passive_until).where(events.c.id == event_id)).one()
        if source.body is None or found["payload"] is None:
            self._set(connection, outbox_id, state="dropped", code="nothing kept", done_at=now)
            return None
        adapter = self._adapters[found["channel"]]
        inbound = read_inbound(self._vault.open(source.body))
        n_unknown = found["n_unknown"]
        if found["state"] == "sending":
            # Its sender died during the call: whether it arrived is not known.
            n_unknown += 1
            if not self._may_resend(connection, outbox_id, adapter.caps, n_unknown, now, code="interrupted"):
                return None
        if found["mode"] == "passive" and source.passive_until > now:
            self._set(connection, outbox_id, next_at=source.passive_until)
            return None
        mode = _way(inbound, found["mode"], now)
        if mode is None:
            self._set(connection, outbox_id, state="held", mode="none", code=found["code"] or "window closed")
            return None
        person = connection.execute(select(conversations).where(conversations.c.key == conversation)).first()
        counts_quota = mode.mode == "api" and person is not None and person.quota_left is not None
        if mode.mode == "api" and person is not None:
            is_shown = adapter.caps.holds_late or person.is_watched
            if is_shown and now - person.last_user_at > LATE_AFTER_S:
                self._set(connection, outbox_id, state="held", code="late")
                return None
            if counts_quota:
                if person.quota_left <= 0:
                    self._set(connection, outbox_id, state="held", code="quota")
                    return None
                self._give_quota(connection, conversation, -1)
        self._set(
            connection,
            outbox_id,
            state="sending",
            mode=mode.mode,
            attempts=found["attempts"] + 1,
            n_unknown=n_unknown,
            expires_at=mode.until,
            lease_until=now + self._lease_s,
            lease_owner=self._owner,
        )
        return Job(
            outbox_id,
            event_id,
            conversation,
            mode,
            read_parts(self._vault.open(found["payload"])),
            inbound,
            found["idem"],
            found["attempts"] + 1,
            n_unknown,
            counts_quota,
        )

    def _may_resend(
        self, connection: Connection, outbox_id: int, caps: Caps, n_unknown: int, now: float, *, code: str
    ) -> bool:
        """Whether a message with unknown outcome goes out again at once.

        With an id that the platform knows again it may, as often as need be. Where a status report may still
        come it waits for that. Elsewhere it goes out once more: a rare double is better than silence.
        """
        if caps.idempotent_send:
            return True
        if n_unknown >= MAX_UNKNOWN:
            self._set(connection, outbox_id, state="gave_up", code=f"outcome unknown: {code}"[:120], done_at=now)
            logger.error("outbox %d: gave up, the outcome of %d sends is unknown (%s)", outbox_id, n_unknown, code)
            return False
        if caps.unknown_wait_s:
            self._set(
                connection,
                outbox_id,
                state="pending",
                n_unknown=n_unknown,
                next_at=now + caps.unknown_wait_s,
                code="waits for a status report",
            )
            return False
        return True

    def postpone(self, connection: Connection, job: Job, until: float) -> None:
        """Puts a picked message back unsent, because its account or conversation is to be left alone for a
        while.
        """
        if job.counts_quota:
            self._give_quota(connection, job.conversation, 1)
        self._set(connection, job.outbox_id, state="pending", next_at=until, attempts=job.tries - 1, lease_until=0.0)

    def renew(self, connection: Connection, outbox_ids: Sequence[int], now: float) -> None:
        """Keeps messages that are being sent."""
        mine = outbox.c.id.in_(outbox_ids) & (outbox.c.state == "sending") & (outbox.c.lease_owner == self._owner)
        connection.execute(update(outbox).where(mine).values(lease_until=now + self._lease_s))

    def finish(self, connection: Connection, job: Job, sent: Sent, now: float) -> str:
        """Writes down how a send ended; gives the new state."""
        adapter = self._adapters[job.inbound.channel]
        current = connection.execute(
            select(outbox.c.state, outbox.c.lease_owner).where(outbox.c.id == job.outbox_id)
        ).first()
        if current is None or current.state != "sending" or current.lease_owner != self._owner:
            return "" if current is None else current.state  # settled by a status report, forgotten, or taken over
        outcome, code = sent.outcome, sent.code[:120]
        if outcome == "expired" and job.mode.mode == "token" and job.n_unknown and now < job.mode.until:
            # A one-time token that is refused although young was used by our own earlier try.
            outcome = "ok"
        if outcome != "ok" and job.counts_quota and outcome != "unknown":
            self._give_quota(connection, job.conversation, 1)
        match outcome:
            case "ok":
                provider = self._vault.hide("sent", sent.provider_id) if sent.provider_id else ""
                self._set(connection, job.outbox_id, state="sent", code=code, provider_id=provider, done_at=now)
                return "sent"
            case "refused":
                self._set(connection, job.outbox_id, state="refused", code=code, done_at=now)
                logger.error("outbox %d: %s refused it: %s", job.outbox_id, job.inbound.channel, code)
                return "refused"
            case "expired":
                mode = _way(job.inbound, job.mode.mode, now, after=True)
                if mode is None:
                    self._set(connection, job.outbox_id, state="held", mode="none", code=code)
                    return "held"
                self._set(connection, job.outbox_id, state="pending", mode=mode.mode, next_at=now, code=code)
                return "pending"
            case "unknown":
                if not self._may_resend(connection, job.outbox_id, adapter.caps, job.n_unknown + 1, now, code=code):
                    return "waits"
                self._set(connection, job.outbox_id, n_unknown=job.n_unknown + 1)
                return self._retry(connection, job, None, code, now)
            case _:
                return self._retry(connection, job, sent.after_s, code, now)

    def _retry(self, connection: Connection, job: Job, after_s: float | None, code: str, now: float) -> str:
        wait_s = BACKOFF_S[min(job.tries, len(BACKOFF_S)) - 1]
        wait_s = max(wait_s * self._random.uniform(0.8, 1.2), after_s or 0.0)
        if now + wait_s < job.mode.until:
            self._set(connection, job.outbox_id, state="pending", next_at=now + wait_s, code=code, lease_until=0.0)
            return "pending"
        mode = _way(job.inbound, job.mode.mode, now, after=True)
        if mode is not None:
            self._set(connection, job.outbox_id, state="pending", mode=mode.mode, next_at=now, code=code)
            return "pending"
        self._set(
            connection,
            job.outbox_id,
            state="held",
            mode="none",
            code=f"gave up after {job.tries}: {code}"[:120],
        )
        logger.error(
            "outbox %d: gave up after %d tries (%s); held until the person writes",
            job.outbox_id,
            job.tries,
            code,
        )
        return "held"

    def settle(
        self, connection: Connection, *, idem: str, provider_id: str, outcome: str, code: str, now: float
    ) -> None:
        """A status report of the platform decides what became of a message. It never makes a new one."""
        if outcome not in ("ok", "refused"):
            return
        keys = [outbox.c.idem == idem] if idem else []
        if provider_id:
            keys.append(outbox.c.provider_id == self._vault.hide("sent", provider_id))
        if not keys:
            return
        unsettled = ("pending", "sending", "gave_up") if outcome == "ok" else ("pending", "sending", "sent")
        provider = self._vault.hide("sent", provider_id) if provider_id else ""
        values = {"provider_id": provider, "code": code[:120], "done_at": now}
        changed = connection.execute(
            update(outbox)
            .where(or_(*keys), outbox.c.state.in_(unsettled))
            .values(state="sent" if outcome == "ok" else "refused", **values)
        ).rowcount
        if changed and outcome == "refused":
            logger.error("the platform could not deliver a message: %s", code[:120])

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

    def next_due_s(self, connection: Connection, now: float, channels: Sequence[str]) -> float:
        """In how many seconds there is something to do, at most 60."""
        pending = select(func.min(outbox.c.next_at)).where(outbox.c.state == "pending", outbox.c.channel.in_(channels))
        at = connection.execute(pending).scalar()
        return 60.0 if at is None else min(max(at - now, 0.0), 60.0)

    def _set(self, connection: Connection, outbox_id: int, **values: object) -> None:
        connection.execute(update(outbox).where(outbox.c.id == outbox_id).values(**values))

    def _give_quota(self, connection: Connection, conversation: str, n_messages: int) -> None:
        connection.execute(
            update(conversations)
            .where(conversations.c.key == conversation, conversations.c.quota_left.is_not(None))
            .values(quota_left=conversations.c.quota_left + n_messages)
        )


def _way(inbound: Inbound, current: Mode | str, now: float, *, after: bool = False) -> ReplyMode | None:
    """The way to send: the current one while it is open, else the next (with `after`, the next in any
    case).
    """
    modes = inbound.reply.modes
    names = [mode.mode for mode in modes]
    start = names.index(current) if current in names else 0
    if after or current == "passive":
        start += 1
    return next((mode for mode in modes[start:] if mode.until > now and mode.mode != "passive"), None)
