"""WhatsApp Cloud API.

Sources: developers.facebook.com `documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint`
and `.../business-scoped-user-ids` (May 2026), read November 2026. `biz_opaque_callback_data` comes back in
status reports (typed so in the status record of whatsapp-api-js 6.2.1).
"""

from __future__ import annotations

from typing import Any

from web.channels import meta
from web.channels.base import (
    Account,
    Caps,
    HookResponse,
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
from web.channels.http import body_of, fetch
from web.channels.platform import DAY_S, Platform, common_settings

_SENT_STATUSES = ("sent", "delivered", "read", "played")


class WhatsApp(Platform):
    """Answers by API within 24 hours of the person's message; a status report settles what is unknown."""

    name = "whatsapp"
    title = "WhatsApp Cloud API"
    api_url = "https://graph.facebook.com/v25.0"
    caps = Caps(
        unit="chars",
        max_units=4096,
        max_parts=2,
        markup="stars",
        holds_late=True,
        unknown_wait_s=60.0,
        account_rate_per_s=40.0,
        # One message in six seconds for a pair of numbers, with some allowance for bursts.
        conversation_rate_per_s=1 / 6,
    )
    settings = (
        *meta.META_SETTINGS,
        Setting("PHONE_NUMBER_ID", "Phone number ID (API Setup), not the number itself"),
        *common_settings(api_url),
    )

    def handshake(self, req: RawRequest, account: Account) -> HookResponse | None:
        return meta.handshake(req, account)

    def verify(self, req: RawRequest, account: Account) -> bytes:
        return meta.verify(req, account)

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        found: list[Inbound] = []
        for entry in items(read_json(clear), "entry"):
            for change in items(entry, "changes"):
                value = child(change, "value")
                # One app may serve several numbers; each account answers for its own.
                number_id = string(value, "metadata", "phone_number_id")
                if number_id and number_id != account.get("PHONE_NUMBER_ID"):
                    continue
                contacts = items(value, "contacts")
                for message in items(value, "messages"):
                    inbound = _message(message, contacts, req, account)
                    if inbound is not None:
                        found.append(inbound)
                found += [_status(status, account) for status in items(value, "statuses")]
        return found

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        (part,) = parts
        # People without a visible number are reached by their business-scoped id.
        target = {"to": to.address["phone"]} if to.address.get("phone") else {"recipient": to.address["user_id"]}
        body: dict[str, object] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **target,
            "type": "text",
            "text": {"preview_url": False, "body": part.text},
            "biz_opaque_callback_data": idem,
        }
        url = f"{self.base(ctx.account)}/{ctx.account.get('PHONE_NUMBER_ID')}/messages"
        response = await meta.graph(ctx, url, body)
        if isinstance(response, Sent):
            return response
        messages = items(body_of(response), "messages")
        return Sent("ok", provider_id=string(messages[0], "id") if messages else "")

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        if not ref.media_id.isalnum():
            return None
        headers = {"authorization": f"Bearer {ctx.account.get('ACCESS_TOKEN')}"}
        hosts = self.media_hosts(ctx.account, "graph.facebook.com", "lookaside.fbsbx.com")
        described = await fetch(ctx.http, f"{self.base(ctx.account)}/{ref.media_id}", hosts=hosts, headers=headers)
        if described is None:
            return None
        return await fetch(ctx.http, string(read_json(described), "url"), hosts=hosts, headers=headers)

    def simulated_sender(self) -> str:
        return "0"

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        message = {
            "from": sender,
            "id": message_id,
            "timestamp": str(int(now)),
            "type": "text",
            "text": {"body": text},
        }
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"phone_number_id": account.get("PHONE_NUMBER_ID")},
            "contacts": [{"wa_id": sender}],
            "messages": [message],
        }
        body = compact_json(
            {
                "object": "whatsapp_business_account",
                "entry": [{"id": "0", "changes": [{"field": "messages", "value": value}]}],
            }
        )
        return SampleRequest("POST", account.path, meta.signed_headers(body, account), body)

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: WhatsApp → Configuration → Callback URL and verify token; subscribe to `messages`.",
            "Meta first sends GET with hub.challenge. It repeats a delivery for up to 7 days.",
        ]


def _message(
    message: dict[str, Any], contacts: list[dict[str, Any]], req: RawRequest, account: Account
) -> Inbound | None:
    message_id = string(message, "id")
    phone = string(message, "from")
    # The contact of this message: several come in one delivery.
    contact = next(
        (one for one in contacts if phone and string(one, "wa_id") == phone),
        contacts[0] if len(contacts) == 1 else {},
    )
    user_id = first((string(message, "from_user_id"), string(contact, "user_id")))
    # WhatsApp has usernames since 2026: the id is the identity, the number may be missing.
    identity = first((user_id, phone))
    if not message_id or not identity or child(message, "group_id") or string(message, "group_id"):
        return None
    kind: Kind = "unknown"
    text: str | None = None
    media: tuple[MediaRef, ...] = ()
    match string(message, "type"):
        case "text":
            kind, text = "text", string(message, "text", "body")
        case "button":
            kind, text = "postback", string(message, "button", "text")
        case "interactive":
            reply = child(message, "interactive")
            kind = "postback"
            text = first((string(reply, "button_reply", "title"), string(reply, "list_reply", "title")))
        case "audio":
            kind = "voice"
        case "image":
            kind, text = "image", string(message, "image", "caption") or None
            media = (MediaRef("image", string(message, "image", "id")),)
        case "location":
            place = child(message, "location")
            kind = "location"
            text = first((string(place, "address"), string(place, "name")))
            text = text or f"{place.get('latitude')}, {place.get('longitude')}"
        case "document" | "video" | "sticker" | "contacts":
            kind = "link"
        case _:  # system, reaction, unsupported
            pass
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=message_id,
        conversation=identity,
        sender=identity,
        kind=kind,
        text=text,
        media=media,
        sent_at=seconds(string(message, "timestamp")),
        reply=ReplyPlan((ReplyMode("api", req.received_at + DAY_S),)),
        message_ref=message_id,
        address={"phone": phone, "user_id": user_id},
    )


def _status(status: dict[str, Any], account: Account) -> Inbound:
    state = string(status, "status")
    errors = items(status, "errors")
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=f"{string(status, 'id')}/{state}",
        conversation="",
        sender="",
        kind="status",
        meta={
            "idem": string(status, "biz_opaque_callback_data"),
            "provider_id": string(status, "id"),
            "outcome": "ok" if state in _SENT_STATUSES else "refused" if state == "failed" else "",
            "code": string(errors[0], "code") if errors else state,
        },
    )
