"""Calls that WeChat and WeCom share: an access token in the query, and `errcode` in a body with status
200.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from web.channels.base import AccessToken, SendContext, Sent
from web.channels.bodies import string
from web.channels.errors import TokenError
from web.channels.http import body_of, by_status, post

if TYPE_CHECKING:
    import httpx

# 40001, 40014: not valid; 42001: ended.
_TOKEN_ERRORS = frozenset({40001, 40014, 42001})
# -1: the platform is busy; 45009, 45033: too many calls.
_BUSY_ERRORS = {-1: 2.0, 45009: 60.0, 45033: 10.0}


class FetchToken(Protocol):
    """Gets a token from the platform; `is_forced` asks for a new one though the old should be good."""

    def __call__(self, ctx: SendContext, *, is_forced: bool) -> Awaitable[AccessToken]: ...


def read_token(response: httpx.Response | Sent, now: float) -> AccessToken:
    """The token in a response.

    Raises:
        TokenError: there is none.
    """
    if isinstance(response, Sent):
        raise TokenError(response.code)
    body = body_of(response)
    value = string(body, "access_token")
    if not value:
        raise TokenError(string(body, "errcode") or str(response.status_code))
    lifetime = string(body, "expires_in")
    # Renewed five minutes early: the old token stays good that long after a new one was given.
    return AccessToken(value, now + max(float(lifetime or 7200) - 300.0, 60.0))


async def call(ctx: SendContext, url: str, body: bytes, fetch: FetchToken) -> tuple[int, dict[str, object]] | Sent:
    """The errcode and body of a call, with one refresh of the token where it is refused."""
    stale = ""
    for _ in range(2):

        async def renew(_refresh: str, stale: str = stale) -> AccessToken:
            found = await fetch(ctx, is_forced=False)
            return await fetch(ctx, is_forced=True) if found.value == stale else found

        try:
            token = await ctx.tokens.get("access", renew, stale=stale)
        except TokenError as error:
            return Sent("retry", after_s=30.0, code=error.code)
        headers = {"content-type": "application/json; charset=utf-8"}
        response = await post(ctx.http, f"{url}?access_token={token}", content=body, headers=headers)
        if isinstance(response, Sent):
            return response
        failed = by_status(response)
        if failed is not None:
            return failed
        found = body_of(response)
        code = string(found, "errcode")
        errcode = int(code) if code.lstrip("-").isdigit() else (0 if found else -1)
        if errcode not in _TOKEN_ERRORS:
            return errcode, found
        stale = token
    return Sent("retry", after_s=60.0, code=str(errcode))


async def call_with_token(
    ctx: SendContext, url: str, body: bytes, fetch: FetchToken, *, closed: frozenset[int]
) -> Sent:
    """How a send ended. `closed` are the error codes of a window or quota that has closed."""
    answer = await call(ctx, url, body, fetch)
    if isinstance(answer, Sent):
        return answer
    errcode, found = answer
    if errcode == 0:
        return Sent("ok", provider_id=string(found, "msgid"))
    if errcode in closed:
        return Sent("expired", code=str(errcode))
    if errcode in _BUSY_ERRORS:
        return Sent("retry", after_s=_BUSY_ERRORS[errcode], code=str(errcode))
    if errcode in (40164, 60020):
        # Our server's address is not on the list in the console: ours to mend, so the answer keeps.
        return Sent("retry", after_s=120.0, code=str(errcode))
    return Sent("refused", code=str(errcode))


async def token_complaints(ctx: SendContext, fetch: FetchToken) -> list[str]:
    """What is wrong where no token can be had: mostly the secret, or an address that is not listed."""

    async def renew(_refresh: str) -> AccessToken:
        return await fetch(ctx, is_forced=False)

    try:
        await ctx.tokens.get("access", renew)
    except TokenError as error:
        return [str(error)]
    return []
