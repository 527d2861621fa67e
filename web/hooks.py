"""The webhooks, `POST|GET /hooks/{channel}/{account}` with and without a slash at the end; the answer pages.

The route reads raw bytes and knows nothing of platforms. Errors are told by number alone: a platform needs no
more, and a stranger shall not learn more.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter, FastAPI, Request
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from web.channels.accounts import ChannelSettings, log_accounts
from web.channels.base import HookResponse, RawRequest
from web.channels.bodies import MAX_BODY_BYTES
from web.channels.errors import BodyTooLargeError, PayloadError, SignatureError, StoreError

if TYPE_CHECKING:
    from web.messaging.composing import OfferChecker, Responder
    from web.messaging.service import ChannelService

logger = logging.getLogger(__name__)

MAX_HEADER_BYTES = 16 * 1024
MAX_QUERY_CHARS = 8 * 1024
_REPEAT_LATER = {"Retry-After": "5"}

router = APIRouter(include_in_schema=False)


@router.api_route("/hooks/{channel}/{account}", methods=["GET", "POST"])
@router.api_route("/hooks/{channel}/{account}/", methods=["GET", "POST"])
async def hook(request: Request, channel: str, account: str) -> Response:
    """Takes a delivery. The account selects the secrets before anything is parsed."""
    received_at = time.time()
    service: ChannelService | None = getattr(request.app.state, "channels", None)
    found = service.route(channel, account) if service is not None else None
    if service is None or found is None:
        return PlainTextResponse("", 404)
    adapter, settings = found
    try:
        raw = await _read(request, service.hub.settings.public_url, received_at)
        response = await service.intake.deliver(adapter, settings, raw, is_gone=request.is_disconnected)
    except BodyTooLargeError:
        response = HookResponse(413)
    except PayloadError:
        response = HookResponse(400)
    except SignatureError:
        response = HookResponse(401)
    except ClientDisconnect:
        response = HookResponse(400)
    except StoreError as error:
        logger.warning("%s: a delivery was not stored: %s", settings.path, error)
        response = HookResponse(503, headers=_REPEAT_LATER)
    except Exception as error:
        # A 500 would be repeated for ever or switch the webhook off. Without the text: it may hold the
        # message.
        logger.error("%s: a delivery failed: %s", settings.path, type(error).__name__, exc_info=_is_debug())
        response = HookResponse(503, headers=_REPEAT_LATER)
    service.hub.counts[f"http_{response.status}"] += 1
    written = BackgroundTask(service.passive.confirm, response.answers) if response.answers is not None else None
    return Response(
        response.body,
        background=written,
        status_code=response.status,
        media_type=response.media_type,
        headers={"Cache-Control": "no-store", **response.headers},
    )


@router.get("/a/{token}")
async def answer_page(request: Request, token: str) -> Response:
    """The whole answer behind the link of a message."""
    service: ChannelService | None = getattr(request.app.state, "channels", None)
    page = None
    if service is not None and 16 <= len(token) <= 64:
        page = await service.read_page(token)
    headers = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    }
    if page is None:
        return PlainTextResponse("", 404, headers=headers)
    return HTMLResponse(page, headers=headers)


def _is_debug() -> bool:
    return logger.isEnabledFor(logging.DEBUG)


async def _read(request: Request, public_url: str, received_at: float) -> RawRequest:
    """The delivery as it came, within limits.

    Raises:
        BodyTooLargeError: the body or the headers are too large.
    """
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw]
    if sum(len(name) + len(value) for name, value in pairs) > MAX_HEADER_BYTES:
        raise BodyTooLargeError(MAX_HEADER_BYTES)
    if len(request.url.query) > MAX_QUERY_CHARS:
        raise BodyTooLargeError(MAX_QUERY_CHARS)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise BodyTooLargeError(MAX_BODY_BYTES)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(MAX_BODY_BYTES)
    names = Counter(name for name, _ in pairs)
    params = request.query_params.multi_items()
    param_names = Counter(name for name, _ in params)
    # Behind a proxy `request.url` has another host; signatures are over the address that people outside see.
    outside = urlsplit(public_url)
    path = outside.path.rstrip("/") + request.url.path
    return RawRequest(
        method=request.method,
        public_url=urlunsplit((outside.scheme, outside.netloc, path, request.url.query, "")),
        query=dict(params),
        headers=dict(pairs),
        body=bytes(body),
        received_at=received_at,
        repeated_headers=frozenset(name for name, count in names.items() if count > 1),
        repeated_params=frozenset(name for name, count in param_names.items() if count > 1),
    )


@contextlib.asynccontextmanager
async def channels_lifespan(
    app: FastAPI,
    settings: ChannelSettings,
    responder: Responder,
    *,
    offer_checker: OfferChecker | None = None,
) -> AsyncIterator[None]:
    """Runs the messaging platforms for as long as the application lives; for use in its lifespan.

    Without any account nothing is opened and every webhook answers 404.

    Raises:
        ChannelSettingsError, StoreError: the database or its key cannot be used; the application must not
        start.
    """
    log_accounts(settings)
    if not settings.accounts:
        yield
        return
    # The database and its kin take a while to load, and only here are they needed.
    from web.messaging.service import ChannelService

    service = ChannelService(settings, responder, offer_checker=offer_checker)
    await service.start()
    app.state.channels = service
    try:
        yield
    finally:
        await service.stop()
        app.state.channels = None


def install_channels(app: FastAPI) -> None:
    """Adds the routes. The rest happens in `channels_lifespan`."""
    app.include_router(router)
