"""Zalo Official Accounts.

The platform's own page could not be read; event names, signature and limits follow chatwoot/chatwoot
`zalo_events_job.rb` and Vietnamese guides. That an access token lives 25 hours, and a refresh token works
once and for three months: hexasync.vn, "Zalo OA API: Hướng dẫn cách lấy Access Token từ Refresh token"; read
November 2026.
"""

from __future__ import annotations

import hashlib
from typing import Any

from web.channels.base import (
    AccessToken,
    Account,
    Caps,
    Inbound,
    Kind,
    MediaRef,
    Part,
    RawRequest,
    ReplyMode,
    ReplyPlan,
    SampleRequest,
    SendContext,
    Sent,
    Setting,
)
from web.channels.bodies import child, compact_json, first, items, read_json, seconds, string
from web.channels.errors import PayloadError, SignatureError, TokenError
from web.channels.http import body_of, by_status, fetch, post
from web.channels.platform import DAY_S, Platform, common_settings, url_problem
from web.signatures import any_same

_TOKEN_ERRORS = frozenset({"-216", "-220"})
# -230: the person has not been in touch for too long; -234: the window of the message has closed.
_WINDOW_ERRORS = frozenset({"-230", "-234"})
_BUSY_ERRORS = frozenset({"-32", "-211"})


class Zalo(Platform):
    """Answers by API within 48 hours; the refresh token works once, so the next is stored first."""

    name = "zalo"
    title = "Zalo Official Account"
    api_url = "https://openapi.zalo.me"
    caps = Caps(unit="chars", max_units=2000, max_parts=3, holds_late=True, conversation_rate_per_s=1.0)
    settings = (
        Setting("APP_ID", "App ID"),
        Setting("OA_SECRET", "OA Secret Key (Webhook settings), not the app's secret", secret=True, rotates=True),
        Setting("APP_SECRET", "Secret Key of the app, to renew the access token", secret=True),
        Setting("REFRESH_TOKEN", "first refresh token; later ones are kept in the database", secret=True),
        Setting(
            "OAUTH_URL",
            "address that gives tokens, for tests and proxies",
            required=False,
            default="https://oauth.zaloapp.com",
            problem=url_problem,
        ),
        *common_settings(api_url),
    )

    def verify(self, req: RawRequest, account: Account) -> bytes:
        given = req.header("x-zevent-signature")
        try:
            body = read_json(req.body)
        except PayloadError:
            raise SignatureError from None
        app_id, timestamp = string(body, "app_id"), string(body, "timestamp")
        if app_id != account.get("APP_ID"):
            raise SignatureError
        expected = [mac(app_id, req.body, timestamp, secret) for secret in account.current_and_previous("OA_SECRET")]
        # The prefix is part of some descriptions and absent from others.
        if not any_same(given.removeprefix("mac="), expected):
            raise SignatureError
        return req.body

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        event = read_json(clear)
        name = string(event, "event_name")
        if name.startswith("oa_send"):
            return []
        person = first(
            (string(event, "sender", "id"), string(event, "follower", "id"), string(event, "user_id_by_app"))
        )
        if not person:
            return []
        return [_inbound(event, name, person, req, account)]

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        (part,) = parts
        body = compact_json({"recipient": {"user_id": to.sender}, "message": {"text": part.text}})
        stale = ""
        for _ in range(2):
            try:
                token = await ctx.tokens.get(
                    "access",
                    lambda refresh: self._renew(refresh, ctx),
                    stale=stale,
                    seed=ctx.account.get("REFRESH_TOKEN"),
                )
            except TokenError as error:
                return Sent("retry", after_s=60.0, code=error.code)
            headers = {"content-type": "application/json", "access_token": token}
            response = await post(
                ctx.http, f"{self.base(ctx.account)}/v3.0/oa/message/cs", content=body, headers=headers
            )
            if isinstance(response, Sent):
                return response
            failed = by_status(response)
            if failed is not None:
                return failed
            found = body_of(response)
            code = string(found, "error") or "0"
            if code == "0" and found:
                return Sent("ok", provider_id=string(found, "data", "message_id"))
            if code not in _TOKEN_ERRORS:
                break
            stale = token
        else:
            return Sent("retry", after_s=60.0, code=code)
        if code in _WINDOW_ERRORS:
            return Sent("expired", code=code)
        if code in _BUSY_ERRORS:
            return Sent("retry", after_s=30.0, code=code, pause=True)
        return Sent("refused", code=code)

    async def _renew(self, refresh: str, ctx: SendContext) -> AccessToken:
        url = f"{ctx.account.get('OAUTH_URL', 'https://oauth.zaloapp.com').rstrip('/')}/v4/oa/access_token"
        data = {"refresh_token": refresh, "app_id": ctx.account.get("APP_ID"), "grant_type": "refresh_token"}
        response = await post(ctx.http, url, data=data, headers={"secret_key": ctx.account.get("APP_SECRET")})
        if isinstance(response, Sent):
            raise TokenError(response.code)
        found = body_of(response)
        value, next_refresh = string(found, "access_token"), string(found, "refresh_token")
        if not value or not next_refresh:
            raise TokenError(string(found, "error") or str(response.status_code))
        lifetime = string(found, "expires_in")
        return AccessToken(value, ctx.now() + max(float(lifetime or 90_000) - 600.0, 60.0), next_refresh)

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        return await fetch(ctx.http, ref.url, hosts=self.media_hosts(ctx.account, "zdn.vn", "zadn.vn", "zalo.me"))

    def simulated_sender(self) -> str:
        return "0"

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        timestamp = str(int(now * 1000))
        body = compact_json(
            {
                "app_id": account.get("APP_ID"),
                "event_name": "user_send_text",
                "timestamp": timestamp,
                "sender": {"id": sender},
                "recipient": {"id": "0"},
                "message": {"msg_id": message_id, "text": text},
            }
        )
        signed = mac(account.get("APP_ID"), body, timestamp, account.get("OA_SECRET"))
        headers = {"content-type": "application/json", "x-zevent-signature": f"mac={signed}"}
        return SampleRequest("POST", account.path, headers, body)

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: developers.zalo.me → the app → Webhook: the URL; events user_send_*, follow, unfollow.",
            "Zalo wants an answer within 2 s and switches the webhook off when deliveries fail for long.",
        ]


def mac(app_id: str, body: bytes, timestamp: str, oa_secret: str) -> str:
    """The signature: plain SHA-256 with the OA's secret, not HMAC and not the app's secret."""
    return hashlib.sha256(app_id.encode() + body + timestamp.encode() + oa_secret.encode()).hexdigest()


def _inbound(event: dict[str, Any], name: str, person: str, req: RawRequest, account: Account) -> Inbound:
    message = child(event, "message")
    kind: Kind = "unknown"
    text = string(message, "text") or None
    media: tuple[MediaRef, ...] = ()
    match name:
        case "user_send_text" | "anonymous_send_text":
            kind = "text"
        case "user_send_image" | "anonymous_send_image":
            kind = "image"
            urls = (string(one, "payload", "url") for one in items(message, "attachments"))
            media = (MediaRef("image", url=first(urls)),)
        case "user_send_audio":
            kind = "voice"
        case "user_send_location":
            kind = "location"
            place = (
                child(items(message, "attachments")[0], "payload", "coordinates") if message.get("attachments") else {}
            )
            text = first((string(place, "address"), f"{string(place, 'latitude')}, {string(place, 'longitude')}"))
        case "user_send_link" | "user_send_sticker" | "user_send_gif" | "user_send_file":
            kind = "link"
        case "user_click_button" | "user_submit_info":
            kind = "postback"
        case "follow":
            kind = "follow"
        case "unfollow":
            kind = "unfollow"
        case _:
            pass
    timestamp = string(event, "timestamp")
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=first((string(message, "msg_id"), f"{name}/{person}/{timestamp}")),
        conversation=person,
        sender=person,
        kind=kind,
        text=text,
        media=media,
        sent_at=seconds(timestamp),
        lang_hint="vi",
        reply=ReplyPlan((ReplyMode("api", req.received_at + 2 * DAY_S),)),
        message_ref=string(message, "msg_id"),
    )
