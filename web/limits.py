"""Bounds on what strangers may send: bytes of a body, requests a minute."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import problem

# A picture of an offer is the largest thing anybody sends.
MAX_BODY_BYTES = 9_000_000
MAX_JSON_BYTES = 200_000
_MAX_ADDRESSES = 50_000
# Never limited: what a person in danger needs, and what watches the server.
_FREE_PATHS = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/hooks/",
    "/static/",
    "/widget.js",
    "/v1/contacts",
    "/contacts",
)


class TokenBuckets:
    """So many requests a minute from each key, with a burst of the same size."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._most = float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Takes one token for `key`: 0 when there was one, else the seconds until there is."""
        now = self._clock()
        tokens, at = self._buckets.pop(key, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[key] = (tokens - 1 if wait == 0 else tokens, now)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait


class LimitsMiddleware:
    """Answers 413 to bodies that are too large and 429 to addresses that ask too often."""

    def __init__(self, app: ASGIApp, *, requests_per_minute: int, trust_proxy: bool) -> None:
        self._app = app
        self._buckets = TokenBuckets(requests_per_minute)
        self._trust_proxy = trust_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        # The path as the router sees it; `request.url` is put together from headers.
        path = scope["path"]
        if request.method == "POST" and not path.startswith(_FREE_PATHS):
            wait = self._buckets.wait_s(self._address(request))
            if wait:
                seconds = int(wait) + 1
                response = problem(
                    429, f"too many requests; try again in {seconds} s", headers={"Retry-After": str(seconds)}
                )
                await response(scope, receive, send)
                return
        is_json = "json" in request.headers.get("content-type", "")
        limit = MAX_JSON_BYTES if is_json else MAX_BODY_BYTES
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await problem(413, f"the request has more than {limit:,} bytes")(scope, receive, send)
            return
        await self._bounded(scope, receive, send, limit)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        seen = 0
        started = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if seen > limit and not started:
                # What reads the body may have made an error of its own of ours (FastAPI: 400).
                return
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except Exception:
            if seen <= limit:
                raise
        if seen > limit and not started:
            await problem(413, f"the request has more than {limit:,} bytes")(scope, receive, send)

    def _address(self, request: Request) -> str:
        if self._trust_proxy:
            forwarded = request.headers.get("x-forwarded-for", "")
            if forwarded:
                return forwarded.split(",")[-1].strip()
        return request.client.host if request.client else "?"


class _TooLarge(Exception):
    """More bytes came than were declared or allowed."""
