"""Composes what to say to a message: an answer of the bot, the check of an offer, or words of ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from bot.errors import QuestionTooLongError
from bot.types import Answer
from retrieval import RetrievalError
from web.channels.base import Account, ChannelAdapter, Inbound, Outbound, SendContext
from web.channels.errors import StoreError
from web.channels.phrases import (
    CARRIER_HELP_WORDS,
    FETCH_WORDS,
    FORGET_WORDS,
    GREETING_WORDS,
    nearest_language,
    phrase,
)
from web.inbox import Leased
from web.messaging.hub import Hub
from web.render import say

logger = logging.getLogger(__name__)

MAX_TRIES = 3
SHOW_WORKING_AFTER_S = 2.0


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


class Composer:
    """Asks the bot in threads of its own. `close` at the end."""

    def __init__(self, hub: Hub, responder: Responder, offer_checker: OfferChecker | None) -> None:
        self._hub = hub
        self._responder = responder
        self._offer_checker = offer_checker
        # A model that keeps every core busy must not take the threads that databases and media need.
        self._threads = ThreadPoolExecutor(hub.settings.n_answer_threads, thread_name_prefix="guitu-answer")

    def close(self) -> None:
        """Ends the threads. Not waiting: a model that hangs must not keep the process; its lease is back already."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def compose(self, leased: Leased) -> Reply:
        """What to say to a message. Never raises but StoreError: a message that cannot be answered gets words
        of ours.
        """
        inbound = leased.inbound
        adapter = self._hub.adapters[inbound.channel]
        language = self.language(adapter, inbound)
        text = (inbound.text or "").strip()
        word = text.lower()
        if inbound.kind in ("text", "postback") and word in FORGET_WORDS:
            return Reply(forgets=True)
        is_greeting = word in GREETING_WORDS or (inbound.channel == "sms" and word in CARRIER_HELP_WORDS)
        if inbound.kind == "follow" or is_greeting:
            return Reply(say(phrase("greeting", language), language))
        if word in FETCH_WORDS:
            held = await self._hub.database.run(
                lambda c: self._hub.outbox.held(c, leased.conversation, is_asked_for=True)
            )
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
            self._hub.counts["failed"] += 1
            return Reply(say(phrase("failed", language), language))

    async def _compute(self, leased: Leased, adapter: ChannelAdapter, text: str, language: str) -> Reply:
        inbound = leased.inbound
        account = self._hub.account_of(inbound)
        if account is None:
            return Reply()  # taken out of the settings since the message came
        context = self._hub.context(account)
        if inbound.kind == "image":
            image = None
            if self._offer_checker is not None and inbound.media:
                image = await adapter.fetch_media(inbound.media[0], context)
            if image is None or self._offer_checker is None:
                if not text:
                    return Reply(say(phrase("type_please", language), language))
            else:
                if text:
                    # A cry for help beside a picture counts for more than what the picture offers. Such a cry is answered
                    # also without an index; where there is none, any other text leaves the picture to be checked.
                    with contextlib.suppress(RetrievalError):
                        answer = await self._ask(leased, text)
                        if answer.status == "emergency":
                            return Reply(answer=answer)
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
            answer = await self._ask(leased, text)
        finally:
            if showing is not None:
                showing.cancel()
        return Reply(answer=answer)

    async def _ask(self, leased: Leased, text: str) -> Answer:
        answer: Answer = await self._in_thread(
            lambda: self._responder.respond(
                text, conversation_id=leased.conversation, lang_hint=_lang_hint(leased.inbound)
            )
        )
        return answer

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _show_working(self, adapter: ChannelAdapter, inbound: Inbound, context: SendContext) -> None:
        await asyncio.sleep(SHOW_WORKING_AFTER_S)
        with contextlib.suppress(Exception):
            await adapter.show_working(inbound, context)

    def language(self, adapter: ChannelAdapter, inbound: Inbound) -> str:
        """The language to speak to a person in before they were understood."""
        account = self._hub.account_of(inbound) or Account(inbound.channel, inbound.account, {})
        default = "zh-Hans" if inbound.channel in ("wechat", "wechat_kf", "wecom") else "en"
        return adapter.language(account, inbound.lang_hint, default)


def _lang_hint(inbound: Inbound) -> str | None:
    return nearest_language(inbound.lang_hint, "") or None if inbound.lang_hint else None
