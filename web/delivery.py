"""Answers deliveries: stores them first, computes each answer once, and sees to it that the answer arrives.

No work lives only in memory: everything here can be killed at any point and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, Any, Protocol

import httpx
from sqlalchemy import Connection, select, update

from bot.errors import QuestionTooLongError
from bot.types import Answer
from web.answer_page import PageStore, write_page
from web.channels.accounts import ChannelSettings, setting_name
from web.channels.base import (
    Account,
    Block,
    ChannelAdapter,
    HookResponse,
    Inbound,
    Outbound,
    Part,
    Pulled,
    RawRequest,
    SendContext,
    Sent,
)
from web.channels.errors import StoreError, TokenError
from web.channels.phrases import (
    CARRIER_HELP_WORDS,
    FETCH_WORDS,
    FORGET_WORDS,
    GREETING_WORDS,
    nearest_language,
    phrase,
)
from web.channels.registry import ADAPTERS
from web.database import Database, conversations, cursors, events, outbox, skip_locked
from web.inbox import Inbox, Leased, Receipt
from web.outbox import Held, Job, Outbox
from web.rates import Pacer
from web.records import read_parts
from web.render import answer_outbound, measure, say
from web.spill import Spill
from web.tokens import SharedTokens
from web.vault import open_vault

logger = logging.getLogger(__name__)

LEASE_S = 60.0
MAX_TRIES = 3
POLL_S = 1.0
RECONCILE_S = 300.0
SWEEP_S = 5.0
ALARM_AFTER_S = 60.0
SHUTDOWN_S = 5.0
SHOW_WORKING_AFTER_S = 2.0
# WeChat gives up on a delivery after five seconds; one that is left open is answered when nobody listens any
# more.
HOLD_OPEN_S = 6.0


class Responder(Protocol):
    """The bot. It computes, so it runs in a thread."""

    def respond(self, text: str, *, conversation_id: str, lang_hint: str | None) -> Answer:
        """The answer to a question."""


class OfferChecker(Protocol):
    """Looks for red flags in a pasted or photographed job offer. It computes, so it runs in a thread."""

    def check_offer(self, text: str | None, image: bytes | None, *, lang_hint: str | None) -> Outbound:
        """What to say about an offer; never that it is safe."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say to a message: nothing, words, or what was held (`fetches_held`)."""

    out: Outbound | None = None
    answer: Answer | None = None
    fetches_held: bool = False
    forgets: bool = False


@dataclass(slots=True, eq=False)
class _Waiter:
    """A delivery that is open and may still take its answer."""

    ready: asyncio.Future[list[Part] | None]
    until: float


class ChannelService:
    """Everything behind the webhooks. `start` before the first delivery, `stop` at the end."""

    def __init__(
        self,
        settings: ChannelSettings,
        responder: Responder,
        *,
        offer_checker: OfferChecker | None = None,
        adapters: Mapping[str, ChannelAdapter] = ADAPTERS,
        clock: Callable[[], float] = time.time,
        http: httpx.AsyncClient | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._responder = responder
        self._offer_checker = offer_checker
        self._adapters = adapters
        self._clock = clock
        self._http = http
        self._own_http = http is None
        self._lease_s = lease_s
        self._owner = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._accounts = {(account.platform, account.name): account for account in settings.accounts}
        self._channels = sorted({account.platform for account in settings.accounts})
        self._waiters: dict[int, list[_Waiter]] = {}
        self._answering: set[int] = set()
        self._unleased: set[int] = set()
        self._sending: set[int] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._answer_wake = asyncio.Event()
        self._send_wake = asyncio.Event()
        self._pull_wake = asyncio.Event()
        self._pacer = Pacer(clock)
        self._is_stopping = False
        self._lock_file: IO[bytes] | None = None

    # --- life
    # ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens the database, takes up unfinished work and starts the workers.

        Raises:
            ChannelSettingsError, StoreError: the database or its key cannot be used.
        """
        await self.open_only()
        # A model that keeps every core busy must not take the threads that databases and media need.
        self._threads = ThreadPoolExecutor(self.settings.n_answer_threads, thread_name_prefix="guitu-answer")
        if self._is_alone():
            await self.database.run(lambda c: self.inbox.release_all(c, is_alone=True))
            await self.database.run(self.outbox.recover)
        await self._replay_spill()
        self._loops = [
            asyncio.create_task(self._forever("answer", self._answer_round, self._answer_wake, POLL_S)),
            asyncio.create_task(self._forever("send", self._send_round, self._send_wake, POLL_S)),
            asyncio.create_task(self._forever("pull", self._pull_round, self._pull_wake, POLL_S)),
            asyncio.create_task(self._forever("renew", self._renew_round, asyncio.Event(), self._lease_s / 3)),
            asyncio.create_task(self._forever("sweep", self._sweep_round, asyncio.Event(), SWEEP_S)),
            asyncio.create_task(self._forever("reconcile", self._reconcile_round, asyncio.Event(), RECONCILE_S)),
        ]

    async def open_only(self) -> None:
        """Opens the database and the connections, without taking up any work."""
        settings = self.settings
        vault = open_vault(settings.secret_key, settings.data)
        self.database = Database(settings.database_url, vault)
        await asyncio.get_running_loop().run_in_executor(None, self.database.open)
        self.inbox = Inbox(self.database, self._owner, lease_s=self._lease_s)
        self.outbox = Outbox(self.database, self._owner, self._adapters, lease_s=self._lease_s)
        self.page_store = PageStore(self.database)
        self.spill = Spill(settings.data / "spill", vault)
        # httpx logs every address it calls, and the addresses of Telegram and WeChat hold tokens.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        if self._http is None:
            limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
            self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=5.0), limits=limits, trust_env=False)

    async def close_only(self) -> None:
        """Closes what `open_only` opened."""
        if self._own_http and self._http is not None:
            await self._http.aclose()
        self.database.close()

    def _is_alone(self) -> bool:
        """Whether no other process uses this SQLite database: it would hold the lock on the file beside
        it.
        """
        if not self.database.is_sqlite:
            return False
        self.settings.data.mkdir(parents=True, exist_ok=True)
        self._lock_file = (self.settings.data / "channels.lock").open("wb")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    async def stop(self) -> None:
        """Takes no more deliveries, lets those that wait for a body finish, gives back what is not done."""
        if self._is_stopping:
            return
        self._is_stopping = True
        deadline = time.monotonic() + SHUTDOWN_S
        while (self._waiters or self._sending) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for task in (*self._loops, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._loops, *self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self.database.run(lambda c: self.inbox.release_all(c, is_alone=False))
        # Not waiting: a model that hangs must not keep the process; its lease is back already.
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self.close_only()
        if self._lock_file is not None:
            self._lock_file.close()

    async def _forever(
        self, name: str, work: Callable[[], Coroutine[Any, Any, bool]], wake: asyncio.Event, every_s: float
    ) -> None:
        """Runs a round when woken and every so often; at once again while a round says that there is more."""
        while not self._is_stopping:
            has_more = False
            try:
                has_more = await work()
            except StoreError as error:
                logger.warning("%s: %s", name, error)
                await asyncio.sleep(0.5)
            except Exception:
                # Whatever it was, the work is in the database and the next round takes it up.
                logger.exception("%s: a round failed", name)
                await asyncio.sleep(1.0)
            if not has_more:
                # Not wait_for, which in Python 3.11 can swallow the cancellation that ends us.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await wake.wait()
                wake.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- deliveries
    # ---------------------------------------------------------------------------------------------

    def route(self, channel: str, account: str) -> tuple[ChannelAdapter, Account] | None:
        """The adapter and account of a URL; None where it is not routed."""
        found = self._accounts.get((channel, account))
        return None if found is None else (self._adapters[channel], found)

    async def deliver(
        self,
        adapter: ChannelAdapter,
        account: Account,
        req: RawRequest,
        *,
        is_gone: Callable[[], Coroutine[Any, Any, bool]],
    ) -> HookResponse:
        """The response to a delivery.

        Raises:
            SignatureError, PayloadError: 401, 400.
            StoreError: it could not be stored: 503.
        """
        if self._is_stopping:
            raise StoreError("the server is stopping")
        response = adapter.handshake(req, account)
        if response is not None:
            return response
        clear = adapter.verify(req, account)
        inbounds = adapter.parse(clear, req, account)
        # Shielded: a delivery that is cancelled half-way must not leave a message leased that nobody answers.
        receipts = await asyncio.shield(self._store(adapter, inbounds, now=req.received_at))
        if len(receipts) == 1 and adapter.caps.passive_budget_s:
            return await self._passive(adapter, account, req, receipts[0], is_gone)
        return adapter.ack(req, account)

    async def _store(self, adapter: ChannelAdapter, inbounds: list[Inbound], *, now: float) -> list[Receipt]:
        """Stores a delivery, or writes it to the spill file where the platform would not bring it again."""
        unknown = [inbound for inbound in inbounds if inbound.kind == "unknown"]
        self.counts["unknown"] += len(unknown)
        inbounds = [inbound for inbound in inbounds if inbound.kind != "unknown"]
        if not inbounds:
            return []
        may_lease = len(self._answering) < 2 * self.settings.n_answer_threads
        try:
            receipts = await self.database.run(lambda c: self._receive(c, inbounds, now, may_lease=may_lease))
        except StoreError:
            if adapter.caps.redelivers:
                raise
            await asyncio.get_running_loop().run_in_executor(None, self.spill.write, inbounds)
            self.counts["spilled"] += len(inbounds)
            return []
        for receipt in receipts:
            self.counts["received" if receipt.is_new else "repeated"] += 1
            if receipt.is_leased:
                leased = Leased(receipt.event_id, self.inbox.conversation_key(receipt.inbound), receipt.inbound, 1)
                self._answering.add(leased.event_id)
                self._spawn(self._answer(leased))
        waiting = [one.event_id for one in receipts if one.state == "new"]
        if waiting:
            self._unleased.update(waiting)
            self._answer_wake.set()
        if any(inbound.kind == "wake" for inbound in inbounds):
            self._pull_wake.set()
        return receipts

    def _receive(
        self, connection: Connection, inbounds: list[Inbound], now: float, *, may_lease: bool
    ) -> list[Receipt]:
        for inbound in inbounds:
            if inbound.kind == "status":
                self.outbox.settle(
                    connection,
                    idem=inbound.meta.get("idem", ""),
                    provider_id=inbound.meta.get("provider_id", ""),
                    outcome=inbound.meta.get("outcome", ""),
                    code=inbound.meta.get("code", ""),
                    now=now,
                )
            elif inbound.kind == "wake":
                stream, token = inbound.meta.get("stream", ""), inbound.meta.get("token", "")
                self.inbox.wake(connection, inbound.channel, inbound.account, stream, token)
        messages = [inbound for inbound in inbounds if inbound.kind not in ("status", "wake")]
        return self.inbox.receive(connection, messages, now=now, may_lease=may_lease)

    async def _passive(
        self,
        adapter: ChannelAdapter,
        account: Account,
        req: RawRequest,
        receipt: Receipt,
        is_gone: Callable[[], Coroutine[Any, Any, bool]],
    ) -> HookResponse:
        """Waits for the answer within the platform's time and writes it as the body."""
        if receipt.state in ("noted", "withdrawn", "forgotten"):
            return adapter.ack(req, account)
        until = req.received_at + adapter.caps.passive_budget_s
        waiter = _Waiter(asyncio.get_running_loop().create_future(), until)
        self._waiters.setdefault(receipt.event_id, []).append(waiter)
        try:
            parts = await self._wait(receipt, waiter)
        finally:
            waiters = self._waiters[receipt.event_id]
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[receipt.event_id]
        if parts is None:
            self.counts["late"] += 1
            response = adapter.late(receipt.delivery, receipt.inbound, req, account)
            if response is None:
                await asyncio.sleep(max(HOLD_OPEN_S - (self._clock() - req.received_at), 0.0))
                return HookResponse(503)
            return response
        if not parts:
            return adapter.ack(req, account)
        if await is_gone():
            # Nobody reads this body any more: the answer goes out another way, or with the next delivery.
            await self.database.run(lambda c: self.outbox.unclaim(c, receipt.event_id, self._clock()))
            self._send_wake.set()
            return adapter.ack(req, account)
        self.counts["passive"] += 1
        response = adapter.passive(parts, receipt.inbound, req, account)
        if response is None:
            return adapter.ack(req, account)
        return replace(response, answers=receipt.event_id)

    async def confirm(self, event_id: int) -> None:
        """The body with the answer to a message has been written."""
        with contextlib.suppress(StoreError):
            await self.database.run(lambda c: self.outbox.confirm(c, event_id))

    async def _wait(self, receipt: Receipt, waiter: _Waiter) -> list[Part] | None:
        """The answer as parts; empty where there is nothing to say here; None where time ran out."""
        state = receipt.state
        while True:
            if state == "answered":
                parts = await self.database.run(lambda c: self.outbox.claim(c, receipt.event_id, self._clock()))
                return parts or []
            if state not in ("new", "leased"):
                return []
            left_s = waiter.until - self._clock()
            if left_s <= 0:
                return None
            # Woken by this process; looked up now and then, because another one may be answering.
            await asyncio.wait({waiter.ready}, timeout=min(left_s, 0.5))
            if waiter.ready.done():
                parts = waiter.ready.result()
                if parts is not None:
                    return parts
                # Only the first look is due to the wake; an answer that could not be stored leaves it set.
                waiter.ready = asyncio.get_running_loop().create_future()
            state = await self.database.run(lambda c: _state_of(c, receipt.event_id))

    def _has_waiter(self, event_id: int) -> bool:
        now = self._clock()
        return any(waiter.until > now for waiter in self._waiters.get(event_id, ()))

    # --- answers
    # ------------------------------------------------------------------------------------------------

    async def _answer_round(self) -> bool:
        if self._is_stopping:
            return False
        free = 2 * self.settings.n_answer_threads - len(self._answering)
        if free <= 0:
            return False
        now = self._clock()
        found = await self.database.run(lambda c: self.inbox.lease(c, now=now, limit=free, channels=self._channels))
        if not found and not self._answering:
            self._unleased.clear()  # whatever it was, another process has it
        for leased in found:
            self._unleased.discard(leased.event_id)
            if leased.event_id not in self._answering:
                self._answering.add(leased.event_id)
                self._spawn(self._answer(leased))
        return len(found) == free

    async def _answer(self, leased: Leased) -> None:
        """Computes one answer and stores it with its messages in one transaction."""
        handed: list[Part] | None = None
        try:
            reply = await self._compose(leased)
            handed = await self._store_reply(leased, reply)
        except StoreError as error:
            # The lease ends by itself, and the message is taken again.
            logger.warning("event %d: %s", leased.event_id, error)
        except Exception as error:
            logger.error("event %d: no answer stored: %s", leased.event_id, type(error).__name__, exc_info=True)
        finally:
            self._answering.discard(leased.event_id)
            for waiter in self._waiters.get(leased.event_id, ()):
                if not waiter.ready.done():
                    waiter.ready.set_result(handed)
            # Other work is looked for only where there may be some: rounds cost more than answers.
            if self._unleased:
                self._answer_wake.set()
            if handed is None:
                self._send_wake.set()

    async def _store_reply(self, leased: Leased, reply: Reply) -> list[Part] | None:
        for attempt in range(5):
            try:
                return await self.database.run(lambda c: self._write_reply(c, leased, reply))
            except StoreError:
                if attempt == 4:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)
        return None

    def _write_reply(self, connection: Connection, leased: Leased, reply: Reply) -> list[Part] | None:
        """Stores what to say; gives it where a delivery waits for it and it is marked as handed over."""
        if reply.forgets:
            if self.inbox.close(connection, leased.event_id, "noted"):
                self.inbox.forget(connection, leased.conversation)
            return None
        if reply == Reply():
            self.inbox.close(connection, leased.event_id, "noted")
            return None
        if not self.inbox.close(connection, leased.event_id, "answered"):
            return None  # another worker answered it, or the person took it back
        now = self._clock()
        inbound = leased.inbound
        adapter = self._adapters[inbound.channel]
        query = select(conversations).where(conversations.c.key == leased.conversation)
        person = connection.execute(query).first()
        is_watched = person is not None and person.is_watched
        out = reply.out
        if reply.answer is not None:
            if reply.answer.situation == "trapped" and not is_watched:
                is_watched = True
                connection.execute(
                    update(conversations).where(conversations.c.key == leased.conversation).values(is_watched=True)
                )
            token = secrets.token_urlsafe(16)
            out = answer_outbound(
                reply.answer,
                public_url=self.settings.public_url,
                full_url=f"{self.settings.public_url}/a/{token}",
                is_watched=is_watched,
            )
            page = write_page(reply.answer, self.settings.public_url)
            self.page_store.write(connection, token, leased.conversation, page, now)
        elif out is not None and is_watched and not any(block.kind == "preface" for block in out.blocks):
            # Words of ours, too, begin neutrally where somebody may look on.
            out = replace(out, blocks=(Block("preface", phrase("neutral", out.language)), *out.blocks))
        passive_until = connection.execute(
            select(events.c.passive_until).where(events.c.id == leased.event_id)
        ).scalar_one()
        modes = [replace(mode, until=passive_until) if mode.mode == "passive" else mode for mode in inbound.reply.modes]
        mode = next((one for one in modes if one.until > now), None)
        is_handed = mode is not None and mode.mode == "passive" and self._has_waiter(leased.event_id)
        max_parts = adapter.caps.max_parts
        if mode is not None and mode.mode == "api" and person is not None and person.quota_left is not None:
            # Everything in one message before the last of the quota is spent.
            max_parts = max(min(max_parts, person.quota_left), 1)
        parts = [] if out is None else adapter.render(out, inbound, max_parts=max_parts)
        held = self.outbox.held(connection, leased.conversation, is_asked_for=reply.fetches_held)
        language = out.language if out is not None else self._language(adapter, inbound)
        rows, moved = _with_held(parts, held, adapter, language, is_single=adapter.caps.max_parts == 1)
        self.outbox.move(connection, moved, leased.event_id)
        if adapter.caps.joins_parts and rows:
            rows = [[part for row in rows for part in row]]
        self.outbox.write(
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

    def _language(self, adapter: ChannelAdapter, inbound: Inbound) -> str:
        account = self._accounts.get((inbound.channel, inbound.account), Account(inbound.channel, inbound.account, {}))
        default = "zh-Hans" if inbound.channel in ("wechat", "wechat_kf", "wecom") else "en"
        return adapter.language(account, inbound.lang_hint, default)

    async def _compose(self, leased: Leased) -> Reply:
        """What to say to a message. Never raises but StoreError: a message that cannot be answered gets words
        of ours.
        """
        inbound = leased.inbound
        adapter = self._adapters[inbound.channel]
        language = self._language(adapter, inbound)
        text = (inbound.text or "").strip()
        word = text.lower()
        if inbound.kind in ("text", "postback") and word in FORGET_WORDS:
            return Reply(forgets=True)
        is_greeting = word in GREETING_WORDS or (inbound.channel == "sms" and word in CARRIER_HELP_WORDS)
        if inbound.kind == "follow" or is_greeting:
            return Reply(say(phrase("greeting", language), language))
        if word in FETCH_WORDS:
            held = await self.database.run(lambda c: self.outbox.held(c, leased.conversation, is_asked_for=True))
            if held:
                return Reply(fetches_held=True)
        if leased.tries > MAX_TRIES:
            # It brought a worker down each time; the person is told rather than left waiting.
            logger.error("event %d: given up after %d tries", leased.event_id, MAX_TRIES)
            return Reply(say(phrase("failed", language), language))
        try:
            return await self._compute(leased, adapter, text, language)
        except StoreError:
            raise
        except QuestionTooLongError:
            return Reply(say(phrase("too_long", language), language))
        except Exception as error:
            # Without the text of the error: it could hold what the person wrote.
            logger.error("event %d: no answer: %s", leased.event_id, type(error).__name__)
            self.counts["failed"] += 1
            return Reply(say(phrase("failed", language), language))

    async def _compute(self, leased: Leased, adapter: ChannelAdapter, text: str, language: str) -> Reply:
        inbound = leased.inbound
        account = self._accounts.get((inbound.channel, inbound.account))
        if account is None:
            return Reply()  # taken out of the settings since the message came
        context = self._context(account)
        if inbound.kind == "image":
            image = None
            if self._offer_checker is not None and inbound.media:
                image = await adapter.fetch_media(inbound.media[0], context)
            if image is None or self._offer_checker is None:
                if not text:
                    return Reply(say(phrase("type_please", language), language))
            else:
                checker, caption = self._offer_checker, text or None
                return Reply(
                    await self._in_thread(lambda: checker.check_offer(caption, image, lang_hint=inbound.lang_hint))
                )
        if inbound.kind == "location":
            text = phrase("location", language).replace("{place}", text or "?")
        if not text:
            return Reply(say(phrase("type_please", language), language))
        showing = None
        if inbound.sender != adapter.simulated_sender():
            showing = asyncio.create_task(self._show_working(adapter, inbound, context))
        try:
            answer = await self._in_thread(
                lambda: self._responder.respond(
                    text, conversation_id=leased.conversation, lang_hint=_lang_hint(inbound)
                )
            )
        finally:
            if showing is not None:
                showing.cancel()
        return Reply(answer=answer)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _show_working(self, adapter: ChannelAdapter, inbound: Inbound, context: SendContext) -> None:
        await asyncio.sleep(SHOW_WORKING_AFTER_S)
        with contextlib.suppress(Exception):
            await adapter.show_working(inbound, context)

    # --- sends
    # --------------------------------------------------------------------------------------------------

    def _context(self, account: Account) -> SendContext:
        assert self._http is not None
        shared = SharedTokens(self.database, account, self._owner, self._clock)
        return SendContext(self._http, account, shared, self._clock)

    async def _send_round(self) -> bool:
        free = self.settings.n_send_tasks - len(self._sending)
        if free <= 0 or self._is_stopping:
            return False
        now = self._clock()
        jobs = await self.database.run(lambda c: self.outbox.pick(c, now=now, limit=free, channels=self._channels))
        for job in jobs:
            self._sending.add(job.outbox_id)
            self._spawn(self._send(job))
        if jobs:
            return True
        due_s = await self.database.run(lambda c: self.outbox.next_due_s(c, now, self._channels))
        if 0 < due_s < POLL_S:
            asyncio.get_running_loop().call_later(due_s, self._send_wake.set)
        return False

    async def _send(self, job: Job) -> None:
        try:
            inbound = job.inbound
            account = self._accounts.get((inbound.channel, inbound.account))
            if account is None:
                # The account was taken out of the settings; it may come back.
                await self.database.run(lambda c: self.outbox.postpone(c, job, self._clock() + 600.0))
                return
            adapter = self._adapters[inbound.channel]
            wait_s = self._pacer.wait_s(account, adapter.caps, job.conversation)
            if wait_s > 0:
                await self.database.run(lambda c: self.outbox.postpone(c, job, self._clock() + wait_s))
                return
            if inbound.sender == adapter.simulated_sender():
                sent = Sent("ok", code="simulated")
            else:
                sent = await self._try_send(adapter, account, job)
            if sent.pause:
                self._pacer.pause(account, sent.after_s or 1.0)
            for attempt in range(6):
                try:
                    state = await self.database.run(lambda c: self.outbox.finish(c, job, sent, self._clock()))
                    self.counts[f"send_{state or 'settled'}"] += 1
                    break
                except StoreError:
                    # The platform has it already: not writing that down would send it twice.
                    if attempt == 5:
                        raise
                    await asyncio.sleep(0.2 * 2**attempt)
        except StoreError as error:
            logger.warning("outbox %d: %s", job.outbox_id, error)
        finally:
            self._sending.discard(job.outbox_id)
            self._send_wake.set()

    async def _try_send(self, adapter: ChannelAdapter, account: Account, job: Job) -> Sent:
        try:
            return await adapter.send(job.parts, job.inbound, job.mode, job.idem, self._context(account))
        except StoreError:
            return Sent("retry", code="database")
        except Exception as error:
            logger.exception("outbox %d: the adapter of %s failed", job.outbox_id, adapter.name)
            return Sent("unknown", code=type(error).__name__)

    # --- pulls
    # --------------------------------------------------------------------------------------------------

    async def _pull_round(self) -> bool:
        if self._is_stopping:
            return False
        now = self._clock()
        found = await self.database.run(lambda c: self._take_cursor(c, now))
        if found is None:
            return False
        channel, account_name, stream, value, token, wakes = found
        account = self._accounts.get((channel, account_name))
        if account is None:
            return True
        adapter = self._adapters[channel]
        while True:
            try:
                pulled = await adapter.pull(stream, value, token, self._context(account))
            except TokenError as error:
                logger.warning("%s/%s: cannot fetch messages: %s", channel, account_name, error.code)
                await self.database.run(lambda c: self._put_cursor(c, found, next_at=self._clock() + 15.0, wakes=None))
                return True
            if pulled is None:
                break
            # Messages and cursor in one transaction: after a crash the same page comes again and is known.
            store = functools.partial(self._store_page, found=found, page=pulled, old_cursor=value)
            receipts = await self.database.run(store)
            if receipts is None:
                return True  # another worker has the cursor now
            value = pulled.cursor
            if any(receipt.is_new for receipt in receipts):
                self._answer_wake.set()
            if not pulled.has_more:
                break
        await self.database.run(lambda c: self._put_cursor(c, found, next_at=0.0, wakes=wakes))
        return True

    def _take_cursor(self, connection: Connection, now: float) -> tuple[str, str, str, str, str, int] | None:
        query = (
            select(cursors)
            .where(
                cursors.c.wakes > 0,
                cursors.c.next_at <= now,
                cursors.c.lease_until < now,
                cursors.c.channel.in_(self._channels),
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
            .values(lease_until=now + self._lease_s, lease_owner=self._owner, pulled_at=now)
        )
        token = self.database.vault.open(row.token).decode() if row.token is not None else ""
        return row.channel, row.account, row.stream, row.value, token, row.wakes

    def _store_page(
        self,
        connection: Connection,
        *,
        found: tuple[str, str, str, str, str, int],
        page: Pulled,
        old_cursor: str,
    ) -> list[Receipt] | None:
        now = self._clock()
        moved = connection.execute(
            update(cursors)
            .where(*_cursor_key(*found[:3]), cursors.c.lease_owner == self._owner, cursors.c.value == old_cursor)
            .values(value=page.cursor, lease_until=now + self._lease_s)
        ).rowcount
        if not moved:
            return None
        known = [inbound for inbound in page.inbounds if inbound.kind != "unknown"]
        return self.inbox.receive(connection, known, now=now, may_lease=False)

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
        mine = cursors.c.lease_owner == self._owner
        connection.execute(update(cursors).where(*_cursor_key(*found[:3]), mine).values(**values))

    # --- care
    # ---------------------------------------------------------------------------------------------------

    async def _renew_round(self) -> bool:
        answering, sending = list(self._answering), list(self._sending)

        def renew(connection: Connection) -> None:
            now = self._clock()
            for event_id in answering:
                self.inbox.renew(connection, event_id, now)
            if sending:
                self.outbox.renew(connection, sending, now)

        if answering or sending:
            await self.database.run(renew)
        return False

    async def _sweep_round(self) -> bool:
        await self.database.run(lambda c: self.outbox.sweep(c, self._clock()))
        await self._replay_spill()
        return False

    async def _reconcile_round(self) -> bool:
        def care(connection: Connection) -> float:
            now = self._clock()
            self.inbox.clean(connection, now)
            # Streams are fetched now and then even without a call, which may have been lost.
            connection.execute(
                update(cursors).where(cursors.c.wakes == 0, cursors.c.pulled_at < now - RECONCILE_S / 2).values(wakes=1)
            )
            return self.inbox.oldest_open_s(connection, now)

        oldest_s = await self.database.run(care)
        if oldest_s > ALARM_AFTER_S:
            logger.error("the oldest message without an answer has waited %.0f s", oldest_s)
        self._pull_wake.set()
        for account in self.settings.accounts:
            for complaint in await self.health(account):
                logger.error("%s: %s", account.path, complaint)
        return False

    async def health(self, account: Account) -> list[str]:
        """What the platform says is wrong with an account."""
        try:
            return await self._adapters[account.platform].health(self._context(account))
        except Exception as error:
            return [f"cannot be asked: {type(error).__name__}"]

    async def _replay_spill(self) -> None:
        """Stores what could not be stored when it came."""
        for name, inbounds in self.spill.read():
            await self.database.run(
                lambda c, found=inbounds: self._receive(c, found, self._clock(), may_lease=False)  # type: ignore[misc]
            )
            self.spill.done(name)
            self._answer_wake.set()

    # --- the operator's view
    # ------------------------------------------------------------------------------------

    def find_answer(self, connection: Connection, channel: str, account: str, dedupe: str) -> tuple[str, list[str]]:
        """The state of a message by the platform's key, and what is or was sent; for `guitu channels
        simulate`.
        """
        return find_answer(connection, self.database, channel, account, dedupe)


def find_answer(
    connection: Connection, database: Database, channel: str, account: str, dedupe: str
) -> tuple[str, list[str]]:
    """See `ChannelService.find_answer`."""
    vault = database.vault
    query = select(events.c.id, events.c.state).where(
        events.c.channel == channel,
        events.c.account == account,
        events.c.dedupe == vault.hide("dedupe", dedupe),
    )
    row = connection.execute(query).first()
    if row is None:
        return "", []
    rows = connection.execute(select(outbox).where(outbox.c.event_id == row.id).order_by(outbox.c.seq)).all()
    texts = [
        f"[{one.state}] " + "\n".join(part.text for part in read_parts(vault.open(one.payload)))
        for one in rows
        if one.payload is not None
    ]
    return row.state, texts


def _state_of(connection: Connection, event_id: int) -> str:
    return connection.execute(select(events.c.state).where(events.c.id == event_id)).scalar() or "forgotten"


def _cursor_key(channel: str, account: str, stream: str) -> tuple[Any, Any, Any]:
    return cursors.c.channel == channel, cursors.c.account == account, cursors.c.stream == stream


def _lang_hint(inbound: Inbound) -> str | None:
    return nearest_language(inbound.lang_hint, "") or None if inbound.lang_hint else None


def _with_held(
    parts: list[Part], held: list[Held], adapter: ChannelAdapter, language: str, *, is_single: bool
) -> tuple[list[list[Part]], list[Held]]:
    """The messages of an answer together with what was held, and the held ones that go out with it.

    Where only one message goes out, what was held joins it if there is room; else a line says that it waits.
    """
    rows = [[part] for part in parts]
    if not held:
        return rows, []
    lead = phrase("previous", language)
    caps = adapter.caps
    if not is_single:
        first, *rest = (part for one in held for part in one.parts)
        led = _join(lead, first)
        leads = [[led]] if measure(led.text, caps.unit) <= caps.max_units else [[Part(lead, lead)], [first]]
        return rows + leads + [[part] for part in rest], held
    if not parts:
        texts = [part for one in held[:1] for part in one.parts]
        led = _join(lead, texts[0])
        return [
            [led if measure(led.text, caps.unit) <= caps.max_units else texts[0]],
            *([t] for t in texts[1:]),
        ], held[:1]
    moved: list[Held] = []
    last = parts[-1]
    for one in held:
        joined = _join("\n".join((last.text, lead)), one.parts[0], plain="\n".join((last.plain, lead)))
        if len(one.parts) > 1 or measure(joined.text, caps.unit) > caps.max_units:
            break
        last = joined
        moved.append(one)
    if len(moved) < len(held):
        waiting = phrase("previous_waiting", language)
        noted = _join(last.text, Part(waiting, waiting), plain=last.plain)
        if measure(noted.text, caps.unit) <= caps.max_units:
            last = noted
    return [*rows[:-1], [last]], moved


def _join(lead: str, part: Part, *, plain: str | None = None) -> Part:
    return Part(f"{lead}\n{part.text}", f"{lead if plain is None else plain}\n{part.plain}", part.choices)


def log_accounts(settings: ChannelSettings) -> None:
    """Says which accounts are on, and which platforms are not routed and why. No value is ever written."""
    by_platform = Counter(account.platform for account in settings.accounts)
    for account in settings.accounts:
        logger.info("%s is on: %s", account.path, ADAPTERS[account.platform].title)
    for one in settings.incomplete:
        why = "; ".join([f"set {name}" for name in one.missing] + list(one.problems))
        logger.error("/hooks/%s/%s is NOT routed: %s", one.platform, one.name, why)
    for adapter in ADAPTERS.values():
        if not by_platform[adapter.name] and not any(one.platform == adapter.name for one in settings.incomplete):
            needed = ", ".join(setting_name(adapter, "<account>", one.name) for one in adapter.settings if one.required)
            logger.info(
                "%s is not routed: no account; set %s",
                adapter.title,
                needed.replace("<ACCOUNT>", "<account>"),
            )
