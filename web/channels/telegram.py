"""Telegram bots by webhook.

Sources: core.telegram.org `bots/api#setwebhook`, `bots/api#sendmessage`, `bots/faq` (limits); read November
2026.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

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
from web.channels.bodies import child, compact_json, items, read_json, seconds, string
from web.channels.errors import SignatureError
from web.channels.http import MAX_RETRY_AFTER_S, body_of, by_status, fetch, post
from web.channels.platform import DAY_S, Platform, common_settings
from web.render import render_parts
from web.signatures import any_same

HEADER = "x-telegram-bot-api-secret-token"


def secret_problem(value: str) -> str | None:
    """What is wrong with a secret token. The body is not signed: the secret is all there is."""
    if re.fullmatch(r"[A-Za-z0-9_-]{32,256}", value):
        return None
    return "must be 32 to 256 of A-Z a-z 0-9 _ - (make one with `openssl rand -hex 32`)"


class Telegram(Platform):
    """Answers by the Bot API, whose result can be read, rather than in the body, whose result cannot."""

    name = "telegram"
    title = "Telegram"
    api_url = "https://api.telegram.org"
    caps = Caps(
        unit="utf16",
        max_units=4096,
        max_parts=3,
        markup="telegram",
        holds_late=True,
        account_rate_per_s=25.0,
        conversation_rate_per_s=1.0,
    )
    settings = (
        Setting("BOT_TOKEN", "token from @BotFather", secret=True),
        Setting(
            "SECRET",
            "secret_token of setWebhook, 32 characters or more",
            secret=True,
            rotates=True,
            problem=secret_problem,
        ),
        Setting("USERNAME", "name of the bot without @, so that it hears its name in groups", required=False),
        *common_settings(api_url),
    )

    def verify(self, req: RawRequest, account: Account) -> bytes:
        if not any_same(req.header(HEADER), account.current_and_previous("SECRET")):
            raise SignatureError
        return req.body

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        update = read_json(clear)
        update_id = string(update, "update_id")
        if not update_id:
            return []
        if member := child(update, "my_chat_member"):
            is_blocked = string(member, "new_chat_member", "status") in ("kicked", "left")
            found = _inbound(member, "unfollow" if is_blocked else "unknown", update_id, account)
            return [found] if found.conversation else []
        if callback := child(update, "callback_query"):
            message = child(callback, "message")
            found = _inbound({**message, "from": callback.get("from")}, "postback", update_id, account)
            found = replace(found, text=string(callback, "data"))
        else:
            message = child(update, "message") or child(update, "edited_message")
            if not message or child(message, "from").get("is_bot") is True:
                return []
            found = _read_message(message, update_id, account)
        if not found.conversation or (not _is_private(message) and not self._is_addressed(message, account)):
            return []
        plan = ReplyPlan((ReplyMode("api", req.received_at + 2 * DAY_S),))
        return [replace(found, reply=plan)]

    def _is_addressed(self, message: dict[str, Any], account: Account) -> bool:
        """Whether a message in a group is meant for us."""
        username = account.get("USERNAME").lower().removeprefix("@")
        replied = child(message, "reply_to_message", "from")
        if replied.get("is_bot") is True and (not username or string(replied, "username").lower() == username):
            return True
        text = (string(message, "text") or string(message, "caption")).lower()
        return bool(username) and re.search(rf"@{re.escape(username)}\b", text) is not None

    def ack(self, req: RawRequest, account: Account) -> HookResponse:
        # A touched button shows a clock until it is answered. The outcome of a call in the body is not told,
        # so nothing that matters goes there.
        callback_id = string(read_json(req.body), "callback_query", "id")
        if not callback_id:
            return HookResponse()
        body = {"method": "answerCallbackQuery", "callback_query_id": callback_id}
        return HookResponse(body=compact_json(body), media_type="application/json")

    def render(self, out: Outbound, to: Inbound, *, max_parts: int) -> list[Part]:
        parts = render_parts(out, self.caps, max_parts=max_parts)
        if parts and out.choices:
            parts[-1] = replace(parts[-1], choices=out.choices)
        return parts

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        (part,) = parts
        body: dict[str, object] = {
            "chat_id": to.address["chat"],
            "text": part.text,
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        if part.choices:
            keyboard = [[{"text": choice.value}] for choice in part.choices]
            body["reply_markup"] = {"keyboard": keyboard, "one_time_keyboard": True, "resize_keyboard": True}
        sent = await self._call("sendMessage", body, ctx)
        if sent.outcome == "refused" and "can't parse entities" in sent.code:
            body = {**body, "text": part.plain[: self.caps.max_units]}
            del body["parse_mode"]
            sent = await self._call("sendMessage", body, ctx)
        return sent

    async def _call(self, method: str, body: dict[str, object], ctx: SendContext) -> Sent:
        url = f"{self.base(ctx.account)}/bot{ctx.account.get('BOT_TOKEN')}/{method}"
        response = await post(ctx.http, url, content=compact_json(body), headers={"content-type": "application/json"})
        if isinstance(response, Sent):
            return response
        found = body_of(response)
        if response.status_code == 200 and found.get("ok") is True:
            return Sent("ok", provider_id=string(found, "result", "message_id"))
        if response.status_code == 429:
            after = string(found, "parameters", "retry_after")
            after_s = min(float(after), MAX_RETRY_AFTER_S) if after.isdigit() else None
            return Sent("retry", after_s=after_s, code="429", pause=True)
        description = string(found, "description").lower()
        if response.status_code == 403:
            return Sent("refused", code="403 blocked by the person")
        if response.status_code == 400:
            # The description names no person and no text; it is what the operator needs.
            return Sent("refused", code=f"400 {description[:80]}")
        if response.status_code == 404:
            return Sent("retry", after_s=60.0, code="404 BOT_TOKEN")
        return by_status(response) or Sent("unknown", code="no ok")

    async def show_working(self, to: Inbound, ctx: SendContext) -> None:
        await self._call("sendChatAction", {"chat_id": to.address["chat"], "action": "typing"}, ctx)

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        base, token = self.base(ctx.account), ctx.account.get("BOT_TOKEN")
        body = compact_json({"file_id": ref.media_id})
        response = await post(
            ctx.http, f"{base}/bot{token}/getFile", content=body, headers={"content-type": "application/json"}
        )
        if isinstance(response, Sent):
            return None
        path = string(body_of(response), "result", "file_path")
        if not re.fullmatch(r"[A-Za-z0-9_./-]+", path) or ".." in path:
            return None
        return await fetch(ctx.http, f"{base}/file/bot{token}/{path}", hosts=self.media_hosts(ctx.account))

    async def health(self, ctx: SendContext) -> list[str]:
        response = await ctx.http.get(f"{self.base(ctx.account)}/bot{ctx.account.get('BOT_TOKEN')}/getWebhookInfo")
        if response.status_code != 200:
            return [f"Telegram does not take BOT_TOKEN ({response.status_code})"]
        info = child(body_of(response), "result")
        complaints = []
        if not string(info, "url").rstrip("/").endswith(ctx.account.path):
            complaints.append(f"the webhook of the bot does not end in {ctx.account.path}: call setWebhook")
        if int(string(info, "pending_update_count") or 0) > 100:
            complaints.append(f"{string(info, 'pending_update_count')} messages wait at Telegram")
        if message := string(info, "last_error_message"):
            complaints.append(f"Telegram's last error: {message[:120]}")
        return complaints

    def simulated_sender(self) -> str:
        return "0"

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        person = int(sender) if sender.isdigit() else sender
        message = {
            "message_id": 1,
            "date": int(now),
            "chat": {"id": person, "type": "private"},
            "from": {"id": person, "is_bot": False, "first_name": "-"},
            "text": text,
        }
        body = compact_json({"update_id": message_id, "message": message})
        headers = {"content-type": "application/json", HEADER: account.get("SECRET")}
        return SampleRequest("POST", account.path, headers, body)

    def describe(self, account: Account) -> list[str]:
        return [
            "Call setWebhook once with url, secret_token (SECRET) and allowed_updates "
            '["message","edited_message","callback_query","my_chat_member"].',
            "Telegram sends POST with the secret in X-Telegram-Bot-Api-Secret-Token,",
            "to ports 443, 80, 88 and 8443 only.",
        ]


def _is_private(message: dict[str, Any]) -> bool:
    return string(message, "chat", "type") in ("private", "")


def _inbound(message: dict[str, Any], kind: Kind, update_id: str, account: Account) -> Inbound:
    chat = string(message, "chat", "id")
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=update_id,
        conversation=chat,
        sender=string(message, "from", "id"),
        kind=kind,
        sent_at=seconds(string(message, "date")),
        lang_hint=string(message, "from", "language_code") or None,
        message_ref=f"{chat}/{string(message, 'message_id')}",
        address={"chat": chat},
    )


def _read_message(message: dict[str, Any], update_id: str, account: Account) -> Inbound:
    text = string(message, "text") or string(message, "caption")
    username = account.get("USERNAME").removeprefix("@")
    if username:
        text = re.sub(rf"@{re.escape(username)}\b", "", text, flags=re.IGNORECASE).strip()
    photos = items(message, "photo")
    location = child(message, "location")
    kind: Kind
    media: tuple[MediaRef, ...] = ()
    if text.split(" ")[0] == "/start":
        kind = "follow"
    elif photos:
        # Sizes of one picture, smallest first: the largest is the one to read.
        kind, media = "image", (MediaRef("image", string(photos[-1], "file_id")),)
    elif location:
        # Coordinates are floats, which `string` leaves out on purpose elsewhere.
        kind = "location"
        text = string(message, "venue", "address") or f"{location.get('latitude')}, {location.get('longitude')}"
    elif child(message, "voice") or child(message, "audio"):
        kind = "voice"
    elif text:
        kind = "text"
    else:
        kind = "link" if child(message, "document") or child(message, "sticker") else "unknown"
    found = _inbound(message, kind, update_id, account)
    return replace(found, text=text or None, media=media)
