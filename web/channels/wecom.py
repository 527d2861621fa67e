"""WeCom (企业微信) applications, and 微信客服, which reaches WeChat users from links and QR codes.

Sources: developer.work.weixin.qq.com `document/path/` 90968 (envelope), 91144 (access), 90236 (sending),
94670 (客服); that a welcome message goes out once and within 20 seconds, and that our own `msgid` of up to 32
characters is kept: silenceper/wechat `work/kf/sendmsgonevent.go`; read November 2026.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, cast

from web.channels.base import (
    AccessToken,
    Account,
    Caps,
    HookResponse,
    Inbound,
    Kind,
    MediaRef,
    Part,
    Pulled,
    RawRequest,
    ReplyMode,
    ReplyPlan,
    SampleRequest,
    SendContext,
    Sent,
    Setting,
)
from web.channels.bodies import child, compact_json, first, items, seconds, string
from web.channels.envelope import (
    aes_key_problem,
    is_json,
    open_sealed,
    open_with_any,
    read_fields,
    seal_envelope,
    seal_reply,
    sign,
    write_fields,
)
from web.channels.errors import SignatureError, TokenError
from web.channels.http import fetch
from web.channels.platform import DAY_S, Platform, common_settings
from web.channels.wechat_api import call, call_with_token, read_token, token_complaints
from web.signatures import any_same

BUDGET_S = 4.3
API_URL = "https://qyapi.weixin.qq.com"
WELCOME_LIFE_S = 18.0
# 95001: five messages in 48 hours are used; 95013, 95018: the conversation is not with the assistant now.
_CLOSED_CONVERSATION = frozenset({95001, 95013, 95018})
_ENVELOPE_SETTINGS = (
    Setting("CORP_ID", "企业ID, ww…"),
    Setting("TOKEN", "Token of the callback", secret=True, rotates=True),
    Setting("AES_KEY", "EncodingAESKey, 43 characters", secret=True, rotates=True, problem=aes_key_problem),
)


class _Envelope(Platform):
    """The callback of WeCom: always sealed, also the check of the URL, whose answer is the opened text."""

    api_url = API_URL

    def handshake(self, req: RawRequest, account: Account) -> HookResponse | None:
        if req.method != "GET":
            return None
        given, timestamp, nonce = req.param("msg_signature"), req.param("timestamp"), req.param("nonce")
        echo = req.param("echostr")
        tokens = account.current_and_previous("TOKEN")
        if not any_same(given, [sign(token, timestamp, nonce, echo) for token in tokens]):
            raise SignatureError
        opened = open_with_any(account.current_and_previous("AES_KEY"), echo, account.get("CORP_ID"))
        return HookResponse(body=opened.encode())

    def verify(self, req: RawRequest, account: Account) -> bytes:
        return open_sealed(
            req.body,
            account.current_and_previous("TOKEN"),
            account.current_and_previous("AES_KEY"),
            account.get("CORP_ID"),
            req,
        )

    async def _fetch_token(self, ctx: SendContext, *, is_forced: bool) -> AccessToken:
        # The platform gives the same token until it ends; there is no way to force another.
        body = {"corpid": ctx.account.get("CORP_ID"), "corpsecret": ctx.account.get("SECRET")}
        try:
            response = await ctx.http.get(f"{self.base(ctx.account)}/cgi-bin/gettoken", params=body)
        except Exception as error:
            raise TokenError(type(error).__name__) from error
        return read_token(response, ctx.now())

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        try:
            token = await ctx.tokens.get("access", lambda _: self._fetch_token(ctx, is_forced=False))
        except TokenError:
            return None
        url = f"{self.base(ctx.account)}/cgi-bin/media/get?access_token={token}&media_id={ref.media_id}"
        found = await fetch(ctx.http, url, hosts=self.media_hosts(ctx.account))
        return None if found is None or found[:1] == b"{" else found

    async def health(self, ctx: SendContext) -> list[str]:
        return await token_complaints(ctx, self._fetch_token)

    def _sealed_sample(self, fields: dict[str, str | int], account: Account, now: float) -> SampleRequest:
        message = write_fields(fields, as_json=False)
        token, timestamp, nonce = account.get("TOKEN"), str(int(now)), secrets.token_hex(5)
        encrypted = seal_envelope(account.get("AES_KEY"), message.decode(), account.get("CORP_ID"))
        query = f"?msg_signature={sign(token, timestamp, nonce, encrypted)}&timestamp={timestamp}&nonce={nonce}"
        body = write_fields({"ToUserName": account.get("CORP_ID"), "Encrypt": encrypted}, as_json=False)
        return SampleRequest("POST", account.path + query, {"content-type": "text/xml"}, body)


class WeCom(_Envelope):
    """A WeCom application: an encrypted answer in the body within 4.3 s, else a message by API."""

    name = "wecom"
    title = "WeCom application"
    caps = Caps(
        unit="bytes",
        max_units=2000,
        max_parts=1,
        markup="wechat",
        passive_budget_s=BUDGET_S,
        conversation_rate_per_s=0.5,
    )
    settings = (
        *_ENVELOPE_SETTINGS,
        Setting("SECRET", "Secret of the application", secret=True),
        Setting("AGENT_ID", "AgentId of the application"),
        *common_settings(API_URL),
    )

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        fields = read_fields(clear)
        person, own = fields.get("FromUserName", ""), fields.get("ToUserName", "")
        if not person or not fields.get("MsgType"):
            return []
        kind: Kind = "unknown"
        text: str | None = None
        media: tuple[MediaRef, ...] = ()
        match fields["MsgType"], fields.get("Event", "").lower():
            case "text", _:
                kind, text = "text", fields.get("Content", "")
            case "image", _:
                kind, media = (
                    "image",
                    (MediaRef("image", fields.get("MediaId", ""), fields.get("PicUrl", "")),),
                )
            case "voice", _:
                kind = "voice"
            case "location", _:
                kind, text = "location", fields.get("Label", "")
            case "link", _:
                kind, text = "link", fields.get("Title", "")
            case "event", "subscribe" | "enter_agent":
                kind = "follow" if fields.get("Event", "").lower() == "subscribe" else "unknown"
            case "event", "unsubscribe":
                kind = "unfollow"
            case "event", "click":
                kind, text = "postback", fields.get("EventKey", "")
            case _:
                pass
        # Several people act within one second: the person and the kind of change belong to the key
        # (Senparc/NeuChar#137).
        key = "|".join(
            fields.get(name, "")
            for name in (
                "ToUserName",
                "FromUserName",
                "MsgId",
                "CreateTime",
                "Event",
                "EventKey",
                "ChangeType",
            )
        )
        modes = (
            ReplyMode("passive", req.received_at + BUDGET_S),
            ReplyMode("api", req.received_at + 2 * DAY_S),
        )
        return [
            Inbound(
                channel=account.platform,
                account=account.name,
                dedupe=key,
                conversation=f"{fields.get('AgentID', '')}|{person}",
                sender=person,
                kind=kind,
                text=text,
                media=media,
                sent_at=seconds(fields.get("CreateTime", "")),
                reply=ReplyPlan(modes),
                message_ref=fields.get("MsgId", ""),
                address={"person": person, "own": own},
            )
        ]

    def passive(self, parts: list[Part], to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        fields: dict[str, str | int] = {
            "ToUserName": to.address["person"],
            "FromUserName": to.address["own"],
            "CreateTime": int(to.sent_at or req.received_at),
            "MsgType": "text",
            "Content": "\n".join(part.text for part in parts),
        }
        as_json = is_json(req.body)
        sealed = seal_reply(
            write_fields(fields, as_json=False),
            account.get("TOKEN"),
            account.get("AES_KEY"),
            account.get("CORP_ID"),
            req,
            as_json=as_json,
        )
        return HookResponse(body=sealed, media_type="application/json" if as_json else "text/xml; charset=utf-8")

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        body = {
            "touser": to.sender,
            "msgtype": "text",
            "agentid": int(ctx.account.get("AGENT_ID")) if ctx.account.get("AGENT_ID").isdigit() else 0,
            "text": {"content": "\n".join(part.text for part in parts)},
            # An equal request within the interval is dropped by the platform, which covers a repeated send.
            "enable_duplicate_check": 1,
            "duplicate_check_interval": 1800,
        }
        url = f"{self.base(ctx.account)}/cgi-bin/message/send"
        return await call_with_token(ctx, url, compact_json(body), self._fetch_token, closed=frozenset())

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        fields: dict[str, str | int] = {
            "ToUserName": account.get("CORP_ID"),
            "FromUserName": sender,
            "CreateTime": int(now),
            "MsgType": "text",
            "Content": text,
            "MsgId": message_id,
            "AgentID": account.get("AGENT_ID"),
        }
        return self._sealed_sample(fields, account, now)

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: 应用管理 → the application → 接收消息 → 设置API接收: the URL, Token, EncodingAESKey;",
            "企业可信IP: the address of this server. WeCom first sends GET with an encrypted echostr.",
        ]


class WeChatKf(_Envelope):
    """微信客服: the callback only wakes us; messages are pulled with a cursor, answers go out by API."""

    name = "wechat_kf"
    title = "微信客服 (WeCom customer service for WeChat users)"
    caps = Caps(
        unit="bytes",
        max_units=2000,
        max_parts=2,
        idempotent_send=True,
        conversation_rate_per_s=1.0,
    )
    settings = (
        *_ENVELOPE_SETTINGS,
        Setting("SECRET", "Secret of 微信客服 (its own, not that of an application)", secret=True),
        *common_settings(API_URL),
    )

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        fields = read_fields(clear)
        if fields.get("Event") != "kf_msg_or_event":
            return []
        # Never recognised as a repeat: each call may stand for new messages. Calls are joined per OpenKfId.
        return [
            Inbound(
                channel=account.platform,
                account=account.name,
                dedupe="",
                conversation="",
                sender="",
                kind="wake",
                meta={"stream": fields.get("OpenKfId", ""), "token": fields.get("Token", "")},
            )
        ]

    async def pull(self, stream: str, cursor: str, token: str, ctx: SendContext) -> Pulled | None:
        body: dict[str, object] = {"cursor": cursor, "token": token, "limit": 1000, "voice_format": 0}
        if stream:
            body["open_kfid"] = stream
        answer = await call(ctx, f"{self.base(ctx.account)}/cgi-bin/kf/sync_msg", compact_json(body), self._fetch_token)
        if isinstance(answer, Sent) or answer[0] != 0:
            raise TokenError(answer.code if isinstance(answer, Sent) else str(answer[0]))
        page = cast(dict[str, Any], answer[1])
        now = ctx.now()
        inbounds = [_kf_message(message, ctx.account, now) for message in items(page, "msg_list")]
        return Pulled(
            tuple(inbound for inbound in inbounds if inbound is not None),
            string(page, "next_cursor") or cursor,
            page.get("has_more") == 1,
        )

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        text = {"content": "\n".join(part.text for part in parts)}
        # Our own id makes a repeated send safe: 32 of [0-9a-zA-Z_-].
        body: dict[str, object] = {"msgid": idem.replace("-", "")[:32], "msgtype": "text", "text": text}
        if mode.mode == "token":
            url = f"{self.base(ctx.account)}/cgi-bin/kf/send_msg_on_event"
            body["code"] = mode.token
        else:
            url = f"{self.base(ctx.account)}/cgi-bin/kf/send_msg"
            body |= {"touser": to.sender, "open_kfid": to.address["open_kfid"]}
        sent = await call_with_token(ctx, url, compact_json(body), self._fetch_token, closed=_CLOSED_CONVERSATION)
        if mode.mode == "token" and sent.outcome == "refused":
            return replace(sent, outcome="expired")
        # 95033: this msgid was taken before, so the send that we did not hear of has arrived.
        return Sent("ok", code=sent.code) if sent.code == "95033" else sent

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        fields: dict[str, str | int] = {
            "ToUserName": account.get("CORP_ID"),
            "CreateTime": int(now),
            "MsgType": "event",
            "Event": "kf_msg_or_event",
            "Token": message_id,
            "OpenKfId": "wk_guitu",
        }
        return self._sealed_sample(fields, account, now)

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: 微信客服 → API → 回调配置: the URL, Token, EncodingAESKey; 企业可信IP: this server.",
            "The callback carries no message: it wakes the worker, which calls kf/sync_msg.",
        ]


def _kf_message(message: dict[str, Any], account: Account, now: float) -> Inbound | None:
    event = child(message, "event")
    open_kfid = first((string(message, "open_kfid"), string(event, "open_kfid")))
    person = first((string(message, "external_userid"), string(event, "external_userid")))
    message_id = string(message, "msgid")
    msgtype = string(message, "msgtype")
    # origin 3: by the customer; 4: by the system (events); 5: by a member of staff.
    if not person or not message_id or (msgtype != "event" and string(message, "origin") != "3"):
        return None
    sent_at = seconds(string(message, "send_time")) or now
    modes = [ReplyMode("api", sent_at + 2 * DAY_S)]
    kind: Kind = "unknown"
    text: str | None = None
    media: tuple[MediaRef, ...] = ()
    match msgtype:
        case "text":
            kind, text = "text", string(message, "text", "content")
        case "image":
            kind, media = "image", (MediaRef("image", string(message, "image", "media_id")),)
        case "voice":
            kind = "voice"
        case "location":
            place = child(message, "location")
            kind, text = "location", first((string(place, "address"), string(place, "name")))
        case "link" | "video" | "file" | "miniprogram" | "business_card":
            kind = "link"
        case "event" if string(event, "event_type") == "enter_session" and string(event, "welcome_code"):
            # Without a code the person was greeted within 48 hours, or has written already.
            kind = "follow"
            modes = [ReplyMode("token", sent_at + WELCOME_LIFE_S, string(event, "welcome_code"))]
        case "event" if string(event, "event_type") == "user_recall_msg":
            kind = "unsend"
        case _:
            pass
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe=message_id,
        conversation=f"{open_kfid}|{person}",
        sender=person,
        kind=kind,
        text=text,
        media=media,
        sent_at=sent_at,
        reply=ReplyPlan(tuple(modes), quota=5),
        message_ref=first((string(event, "recall_msgid"), message_id)),
        address={"open_kfid": open_kfid},
    )
