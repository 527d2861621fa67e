"""LINE Official Accounts.

Sources: developers.line.biz `docs/messaging-api/` verify-webhook-signature, receiving-messages,
retrying-api-request, text-character-count; `mention.mentionees[].isSelf` in line/line-openapi `webhook.yml`;
read November 2026.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from web.channels.base import (
    Account,
    Caps,
    Inbound,
    Kind,
    MediaRef,
    Outbound,
    Part,
    RawRequest,
    ReplyMode,
    ReplyPlan,
    SampleRequest,
    SendContext,
    Sent,
    Setting,
)
from web.channels.bodies import child, compact_json, items, read_json, seconds, string
from web.channels.errors import SignatureError
from web.channels.http import body_of, by_status, fetch, post
from web.channels.platform import DAY_S, Platform, common_settings
from web.render import render_parts
from web.signatures import any_same, hmac_sha256_base64

TOKEN_LIFE_S = 50.0  # a reply token lives for about a minute (cofacts/rumors-line-bot#154)
MAX_OBJECTS = 5


class Line(Platform):
    """All parts in one reply while the token is good, else push, which counts against the monthly quota."""

    name = "line"
    title = "LINE"
    api_url = "https://api.line.me"
    caps = Caps(
        unit="utf16",
        max_units=5000,
        max_parts=MAX_OBJECTS,
        # Only pushes carry a retry key; a reply token works once, which is as good (see `send`).
        idempotent_send=True,
        joins_parts=True,
        # Redelivery is off by default in the console, so a delivery that is not stored may be the only one.
        redelivers=False,
        account_rate_per_s=200.0,
        conversation_rate_per_s=5.0,
    )
    settings = (
        Setting("CHANNEL_SECRET", "channel secret (Basic settings)", secret=True, rotates=True),
        Setting("ACCESS_TOKEN", "long-lived channel access token (Messaging API)", secret=True),
        *common_settings(api_url),
    )

    def verify(self, req: RawRequest, account: Account) -> bytes:
        secrets = account.current_and_previous("CHANNEL_SECRET")
        expected = [hmac_sha256_base64(secret.encode(), req.body) for secret in secrets]
        if not any_same(req.header("x-line-signature"), expected):
            raise SignatureError
        return req.body

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        found = []
        for event in items(read_json(clear), "events"):
            # In standby another party has the conversation.
            if string(event, "mode") == "standby":
                continue
            inbound = _inbound(event, req, account)
            if inbound is not None:
                found.append(inbound)
        return found

    def render(self, out: Outbound, to: Inbound, *, max_parts: int) -> list[Part]:
        parts = render_parts(out, self.caps, max_parts=max_parts)
        if parts and out.choices:
            parts[-1] = replace(parts[-1], choices=out.choices)
        return parts

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        messages = [_message(part) for part in parts[:MAX_OBJECTS]]
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {ctx.account.get('ACCESS_TOKEN')}",
        }
        if mode.mode == "token":
            body: dict[str, object] = {"replyToken": mode.token, "messages": messages}
            url = f"{self.base(ctx.account)}/v2/bot/message/reply"
        else:
            body = {"to": to.address["to"], "messages": messages}
            url = f"{self.base(ctx.account)}/v2/bot/message/push"
            headers["x-line-retry-key"] = idem  # refused on replies
        response = await post(ctx.http, url, content=compact_json(body), headers=headers)
        if isinstance(response, Sent):
            return response
        complaint = string(body_of(response), "message").lower()
        if response.status_code == 409 and mode.mode == "api":
            return Sent("ok", code="409 accepted before")
        if response.status_code == 400 and "reply token" in complaint:
            return Sent("expired", code="reply-token")
        if response.status_code == 429 and "monthly limit" in complaint:
            return Sent("expired", code="monthly-limit")
        failed = by_status(response)
        if failed is not None:
            return failed
        sent = items(body_of(response), "sentMessages")
        return Sent("ok", provider_id=string(sent[0], "id") if sent else "")

    async def show_working(self, to: Inbound, ctx: SendContext) -> None:
        if to.address.get("source") != "user":
            return
        body = compact_json({"chatId": to.address["to"], "loadingSeconds": 20})
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {ctx.account.get('ACCESS_TOKEN')}",
        }
        await post(ctx.http, f"{self.base(ctx.account)}/v2/bot/chat/loading/start", content=body, headers=headers)

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        base = self.base(ctx.account).replace("//api.line.me", "//api-data.line.me")
        if not ref.media_id.isdigit():
            return None
        url = f"{base}/v2/bot/message/{ref.media_id}/content"
        headers = {"authorization": f"Bearer {ctx.account.get('ACCESS_TOKEN')}"}
        return await fetch(ctx.http, url, hosts=self.media_hosts(ctx.account, "api-data.line.me"), headers=headers)

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        event = {
            "type": "message",
            "mode": "active",
            "timestamp": int(now * 1000),
            "source": {"type": "user", "userId": sender},
            "webhookEventId": message_id,
            "deliveryContext": {"isRedelivery": False},
            "replyToken": f"reply-{message_id}",
            "message": {"type": "text", "id": "1", "text": text},
        }
        body = compact_json({"destination": "U0", "events": [event]})
        signed = hmac_sha256_base64(account.get("CHANNEL_SECRET").encode(), body)
        headers = {"content-type": "application/json", "x-line-signature": signed}
        return SampleRequest("POST", account.path, headers, body)

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: Messaging API → Webhook URL, Use webhook: on, Webhook redelivery: on (off by default),",
            "Auto-reply messages: off. The Verify button sends POST with an empty list of events.",
        ]


def _message(part: Part) -> dict[str, object]:
    message: dict[str, object] = {"type": "text", "text": part.text}
    if part.choices:
        actions = [
            {
                "type": "action",
                "action": {"type": "message", "label": choice.label[:20], "text": choice.value[:300]},
            }
            for choice in part.choices
        ]
        message["quickReply"] = {"items": actions}
    return message


def _inbound(event: dict[str, Any], req: RawRequest, account: Account) -> Inbound | None:
    source = child(event, "source")
    source_type = string(source, "type")
    target = string(source, {"group": "groupId", "room": "roomId"}.get(source_type, "userId"))
    event_id = string(event, "webhookEventId")
    if not target or not event_id:
        return None
    message = child(event, "message")
    kind: Kind = "unknown"
    text: str | None = None
    media: tuple[MediaRef, ...] = ()
    ref = string(message, "id")
    match string(event, "type"), string(message, "type"):
        case "message", "text":
            mentioned = [one for one in items(child(message, "mention"), "mentionees") if one.get("isSelf") is True]
            if source_type != "user" and not mentioned:
                return None
            kind, text = "text", _without(string(message, "text"), mentioned)
        case "message", _ if source_type != "user":
            return None
        case "message", "image":
            kind = "image"
            if string(message, "contentProvider", "type") in ("line", ""):
                media = (MediaRef("image", ref),)
        case "message", "location":
            kind = "location"
            text = string(message, "address") or f"{message.get('latitude')}, {message.get('longitude')}"
        case "message", "audio":
            kind = "voice"
        case "message", _:
            kind = "link"
        case "follow", _:
            kind = "follow"
        case (("unfollow" | "leave"), _):
            kind = "unfollow"
        case "postback", _:
            kind, text = "postback", string(event, "postback", "data")
        case "unsend", _:
            kind, ref = "unsend", string(event, "unsend", "messageId")
        case _:
            pass
    modes = [ReplyMode("api", req.received_at + 2 * DAY_S)]
    if reply_token := string(event, "replyToken"):
        modes.insert(0, ReplyMode("token", req.received_at + TOKEN_LIFE_S, reply_token))
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=event_id,
        conversation=target,
        sender=string(source, "userId") or target,
        kind=kind,
        text=text,
        media=media,
        sent_at=seconds(string(event, "timestamp")),
        reply=ReplyPlan(tuple(modes)),
        message_ref=ref,
        address={"to": target, "source": source_type},
    )


def _without(text: str, mentioned: list[dict[str, Any]]) -> str:
    """A text without our own name. Places count UTF-16 units."""
    units = text.encode("utf-16-le")
    for one in sorted(mentioned, key=lambda one: -_int(one, "index")):
        index, length = _int(one, "index"), _int(one, "length")
        if index >= 0 and length > 0:
            units = units[: 2 * index] + units[2 * (index + length) :]
    return units.decode("utf-16-le", "replace").strip()


def _int(value: dict[str, Any], key: str) -> int:
    found = value.get(key)
    return found if isinstance(found, int) and 0 <= found < 100_000 else -1
