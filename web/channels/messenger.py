"""Facebook Messenger pages.

Source: developers.facebook.com `messenger-platform/send-messages` (May 2026) and its
`quick-replies` (April 2026: 13 at most, titles of 20 characters), read November 2026.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from web.channels import meta
from web.channels.base import (
    Account,
    Caps,
    HookResponse,
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
from web.channels.bodies import child, compact_json, first, items, read_json, seconds, string
from web.channels.http import body_of, fetch
from web.channels.platform import DAY_S, Platform, common_settings
from web.render import render_parts

GET_STARTED = "GET_STARTED"


class Messenger(Platform):
    """Answers by API within 24 hours of the person's message."""

    name = "messenger"
    title = "Messenger"
    api_url = "https://graph.facebook.com/v25.0"
    caps = Caps(
        unit="chars",
        max_units=2000,
        max_parts=3,
        markup="stars",
        holds_late=True,
        account_rate_per_s=40.0,
        conversation_rate_per_s=2.0,
    )
    settings = (
        *meta.META_SETTINGS,
        Setting("PAGE_ID", "id of the page; deliveries for other pages are left alone", required=False),
        *common_settings(api_url),
    )

    def handshake(self, req: RawRequest, account: Account) -> HookResponse | None:
        return meta.handshake(req, account)

    def verify(self, req: RawRequest, account: Account) -> bytes:
        return meta.verify(req, account)

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        found = []
        for entry in items(read_json(clear), "entry"):
            if account.get("PAGE_ID") and string(entry, "id") not in ("", account.get("PAGE_ID")):
                continue
            for event in items(entry, "messaging"):
                inbound = _inbound(event, req, account)
                if inbound is not None:
                    found.append(inbound)
        return found

    def render(self, out: Outbound, to: Inbound, *, max_parts: int) -> list[Part]:
        parts = render_parts(out, self.caps, max_parts=max_parts)
        # A quick reply shows 20 characters and sends its title, so only short questions can be one.
        choices = tuple(choice for choice in out.choices if len(choice.value) <= 20)
        if parts and choices:
            parts[-1] = replace(parts[-1], choices=choices)
        return parts

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        (part,) = parts
        message: dict[str, object] = {"text": part.text}
        if part.choices:
            message["quick_replies"] = [
                {"content_type": "text", "title": choice.label[:20], "payload": choice.value} for choice in part.choices
            ]
        body: dict[str, object] = {
            "recipient": {"id": to.sender},
            "messaging_type": "RESPONSE",
            "message": message,
        }
        response = await meta.graph(ctx, f"{self.base(ctx.account)}/me/messages", body)
        if isinstance(response, Sent):
            return response
        return Sent("ok", provider_id=string(body_of(response), "message_id"))

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        return await fetch(ctx.http, ref.url, hosts=self.media_hosts(ctx.account, "fbcdn.net", "fbsbx.com"))

    def simulated_sender(self) -> str:
        return "0"

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        event = {
            "sender": {"id": sender},
            "recipient": {"id": account.get("PAGE_ID", "0")},
            "timestamp": int(now * 1000),
            "message": {"mid": message_id, "text": text},
        }
        entry = {"id": account.get("PAGE_ID", "0"), "time": int(now * 1000), "messaging": [event]}
        body = compact_json({"object": "page", "entry": [entry]})
        return SampleRequest("POST", account.path, meta.signed_headers(body, account), body)

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: Messenger → Webhooks → Callback URL and verify token; subscribe the page to messages",
            f"and messaging_postbacks. Set the Get Started payload to {GET_STARTED}.",
            "Meta first sends GET with hub.challenge.",
        ]


def _inbound(event: dict[str, Any], req: RawRequest, account: Account) -> Inbound | None:
    person = string(event, "sender", "id")
    message, postback = child(event, "message"), child(event, "postback")
    if not person or message.get("is_echo") is True or not (message or postback):
        return None
    kind: Kind = "unknown"
    text: str | None = None
    media: tuple[MediaRef, ...] = ()
    if postback:
        payload = string(postback, "payload")
        kind = "follow" if payload == GET_STARTED else "postback"
        text = first((payload, string(postback, "title")))
        # Old postbacks carry no mid: person and time are then the key.
        key = first((string(postback, "mid"), f"{person}/{string(event, 'timestamp')}/{payload}"))
    else:
        key = string(message, "mid")
        attachments = items(message, "attachments")
        kinds = {string(one, "type") for one in attachments}
        if text := string(message, "quick_reply", "payload") or string(message, "text"):
            kind = "text"
        elif "image" in kinds and not string(message, "sticker_id"):
            kind = "image"
            urls = (string(one, "payload", "url") for one in attachments if string(one, "type") == "image")
            media = (MediaRef("image", url=first(urls)),)
        elif "audio" in kinds:
            kind = "voice"
        elif attachments:
            kind = "link"
    if not key:
        return None
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=key,
        conversation=person,
        sender=person,
        kind=kind,
        text=text or None,
        media=media,
        sent_at=seconds(string(event, "timestamp")),
        reply=ReplyPlan((ReplyMode("api", req.received_at + DAY_S),)),
        message_ref=key,
    )
