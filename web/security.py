"""Security headers on every response, and CORS for the origins that the operator allows.

Our pages run no script and no style but our own files, so that nothing that an article or a person wrote can
ever run.
See https://www.w3.org/TR/CSP3/ and https://owasp.org/www-project-secure-headers/ (read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.settings import Settings

# What other sites may load: the widget, its words, its offline bundle and the interface it talks to.
_SHARED_PATHS = ("/widget.js", "/static/", "/offline.json", "/v1/")
EMBED_PATH = "/embed"
_PREFLIGHT_S = 86_400
_PERMISSIONS = "camera=(), microphone=(), geolocation=(), browsing-topics=(), payment=(), usb=()"

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "worker-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    # Text can never become markup, not even by a mistake of ours; the one policy checks script addresses.
    "require-trusted-types-for": "'script'",
    "trusted-types": "guitu",
}


def install_security(app: FastAPI, settings: Settings) -> None:
    """Puts the security headers and the CORS rules of `settings` before everything else in `app`."""
    app.add_middleware(
        SecurityMiddleware,
        origins=settings.cors_origins,
        is_https=bool(settings.public_url and settings.public_url.startswith("https://")),
    )


def content_security_policy(frame_ancestors: str) -> str:
    """The policy of our pages, which may be framed by `frame_ancestors` alone."""
    return "; ".join(f"{name} {value}" for name, value in {**_POLICY, "frame-ancestors": frame_ancestors}.items())


class SecurityMiddleware:
    """Adds the headers. Answers preflight requests of allowed origins by itself."""

    def __init__(self, app: ASGIApp, *, origins: Iterable[str], is_https: bool) -> None:
        self._app = app
        self._origins = frozenset(origins)
        framers = "*" if "*" in self._origins else " ".join(["'self'", *sorted(self._origins)])
        self._page_policy = content_security_policy("'none'")
        self._embed_policy = content_security_policy(framers)
        self._is_https = is_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and adds headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_headers = Headers(scope=scope)
        path: str = scope["path"]
        is_shared = path.startswith(_SHARED_PATHS)
        allowed = self._allowed_origin(request_headers.get("origin")) if is_shared else None

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), path, is_shared, allowed)
            await send(message)

        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in request_headers
        if is_shared and is_preflight:
            await _preflight(with_headers, is_allowed=allowed is not None)
            return
        await self._app(scope, receive, with_headers)

    def _allowed_origin(self, origin: str | None) -> str | None:
        if not origin:
            return None
        if "*" in self._origins:
            return "*"
        return origin if origin.lower() in self._origins or origin in self._origins else None

    def _add(self, headers: MutableHeaders, path: str, is_shared: bool, allowed: str | None) -> None:
        is_embed = path == EMBED_PATH
        headers["Content-Security-Policy"] = self._embed_policy if is_embed else self._page_policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = _PERMISSIONS
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        # The page in the frame is ours; who may frame it is said by frame-ancestors.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin" if is_shared or is_embed else "same-origin"
        if not is_embed:
            headers["X-Frame-Options"] = "DENY"
        if self._is_https:
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        if is_shared:
            headers.add_vary_header("Origin")
            if allowed:
                headers["Access-Control-Allow-Origin"] = allowed
                headers["Access-Control-Expose-Headers"] = "Retry-After"


async def _preflight(send: Send, *, is_allowed: bool) -> None:
    """Answers whether a page of another origin may send its request; without cookies, which we never use."""
    headers = [(b"content-length", b"0")]
    if is_allowed:
        headers += [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"content-type"),
            (b"access-control-max-age", str(_PREFLIGHT_S).encode()),
        ]
    await send({"type": "http.response.start", "status": 204 if is_allowed else 403, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
