"""The queue of the outbox: which message goes out next, by which way, and what becomes of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from web.channels.base import Caps, ChannelAdapter, Inbound, Mode, Part, ReplyMode, Sent
from web.database import Database, conversations, events, outbox, skip_locked
from web.records import read_inbound, read_parts

logger = logging.getLogger(__name__)

BACKOFF_S = (1.0, 5.0, 30.0, 120.0, 600.0)
# How long after a person's last message an answer may still light up a screen.
LATE_AFTER_S = 600.0
MAX_UNKNOWN = 2


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


class SendQueue:
    """Functions on a connection; the caller decides what shares a transaction."""

    def __init__(self, database: Database, owner: str, adapters: Mapping[str, ChannelAdapter], *, lease_s: float):
        self._vault = database.vault
        self._owner = owner
        self._adapters = adapters
        self._lease_s = lease_s
        self._random = random.Random()

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
