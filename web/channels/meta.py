"""What Meta's platforms (WhatsApp, Messenger) share: the check of the URL, the signature, errors of the Graph
API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from web.channels.base import Account, HookResponse, RawRequest, SendContext, Sent, Setting
from web.channels.bodies import compact_json, string
from web.channels.errors import SignatureError
from web.channels.http import body_of, by_status, post, retry_after_s
from web.signatures import any_same, hmac_sha256_hex

if TYPE_CHECKING:
    import httpx

META_SETTINGS = (
    Setting("APP_SECRET", "App secret (App settings → Basic)", secret=True, rotates=True),
    Setting("VERIFY_TOKEN", "the verify token entered in the console, of your own making", secret=True),
    Setting("ACCESS_TOKEN", "permanent access token of a system user or page", secret=True),
)
# Too many calls: of the app, the account, the page, the pair of numbers.
_BUSY_CODES = {"4": 60.0, "80007": 60.0, "130429": 30.0, "131056": 6.0, "613": 60.0, "32": 60.0}
_TRANSIENT_CODES = frozenset({"1", "2", "131000", "131016", "133004", "1200"})
# 131047: more than 24 hours since the person wrote; 10 with subcode 2018278: the same on Messenger.
_WINDOW_CODES = frozenset({"131047", "10"})


def handshake(req: RawRequest, account: Account) -> HookResponse | None:
    """Answers `hub.challenge` where the verify token is ours."""
    if req.method != "GET":
        return None
    if req.param("hub.mode") != "subscribe":
        raise SignatureError
    if not any_same(req.param("hub.verify_token"), (account.get("VERIFY_TOKEN"),)):
        raise SignatureError
    return HookResponse(body=req.param("hub.challenge").encode())


def verify(req: RawRequest, account: Account) -> bytes:
    """The raw body. Meta signs its escaped form (`\\u4f60`), so it is not parsed and written again before."""
    expected = ["sha256=" + hmac_sha256_hex(secret, req.body) for secret in account.current_and_previous("APP_SECRET")]
    if not any_same(req.header("x-hub-signature-256"), expected):
        raise SignatureError
    return req.body


def signed_headers(body: bytes, account: Account) -> dict[str, str]:
    """The headers of a delivery."""
    return {
        "content-type": "application/json",
        "x-hub-signature-256": "sha256=" + hmac_sha256_hex(account.get("APP_SECRET"), body),
    }


async def graph(ctx: SendContext, url: str, body: dict[str, object]) -> httpx.Response | Sent:
    """A call to the Graph API: a response with status 200, or how the send ended."""
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {ctx.account.get('ACCESS_TOKEN')}",
    }
    response = await post(ctx.http, url, content=compact_json(body), headers=headers)
    if isinstance(response, Sent) or response.status_code == 200:
        return response
    code = string(body_of(response), "error", "code")
    if code in _BUSY_CODES:
        return Sent("retry", after_s=retry_after_s(response) or _BUSY_CODES[code], code=code, pause=code != "131056")
    if code in _TRANSIENT_CODES:
        return Sent("retry", code=code)
    if code in _WINDOW_CODES:
        return Sent("expired", code=code)
    if code == "190":
        return Sent("retry", after_s=120.0, code="190 ACCESS_TOKEN")
    failed = by_status(response)
    if failed is None:
        return Sent("unknown", code=str(response.status_code))
    return Sent(failed.outcome, after_s=failed.after_s, code=code or failed.code, pause=failed.pause)
