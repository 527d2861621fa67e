"""The web application."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from retrieval import RetrievalError
from web import api, offers, pages
from web.channels.accounts import ChannelSettings
from web.conversations import ConversationStore
from web.hooks import channels_lifespan, install_channels
from web.limits import LimitsMiddleware
from web.metrics import Metrics
from web.problems import install_problems
from web.question_log import QuestionLog
from web.responder import BotResponder
from web.security import install_security
from web.service import Service
from web.settings import Settings

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings, channel_settings: ChannelSettings | None = None, *, service: Service | None = None
) -> FastAPI:
    """The application with `settings`, and with the messaging platforms of `channel_settings`.

    Model and index are loaded at start-up; where they cannot be, the emergency card, the pages and the checks still
    answer, and `/readyz` says what is wrong.

    Args:
        service: of the same settings, where one is at hand.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await run_in_threadpool(app.state.service.warm_up)
        except RetrievalError as error:
            logger.error("starting without an index: %s", error)
        if channel_settings is None:
            yield
            return
        responder = BotResponder(app.state.service, app.state.channel_conversations)
        async with channels_lifespan(app, channel_settings, responder, offer_checker=responder):
            yield

    app = FastAPI(
        title="归途 Guitu",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service or Service(settings)
    app.state.conversations = ConversationStore(settings.conversation_minutes * 60)
    app.state.channel_conversations = ConversationStore(settings.conversation_minutes * 60)
    app.state.metrics = Metrics()
    app.state.question_log = QuestionLog(settings.data if settings.redacted_log else None, app.state.service)
    install_problems(app)
    app.add_middleware(
        LimitsMiddleware, requests_per_minute=settings.requests_per_minute, trust_proxy=settings.trust_proxy
    )
    install_security(app, settings)
    app.include_router(api.router)
    app.include_router(offers.router)
    install_channels(app)
    app.include_router(pages.router)
    return app
