"""WeChat Official Accounts (公众号 and 服务号).

Sources: developers.weixin.qq.com `doc/service/guide/dev/push/encryption` (envelope),
`doc/service/api/customer/message/api_sendcustommessage` (push and its errors),
`doc/service/guide/product/kf/intro` (5 messages in 48 hours after a message, 3 in one minute after follow,
menu and scan), `doc/service/api/base/api_getstableaccesstoken`; read November 2026.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from web.channels.base import (
    AccessToken,
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
from web.channels.bodies import compact_json, first, seconds
from web.channels.envelope import (
    aes_key_problem,
    is_json,
    open_sealed,
    read_fields,
    seal_envelope,
    seal_reply,
    sign,
    write_fields,
)
from web.channels.errors import PayloadError, SignatureError
from web.channels.http import fetch, post
from web.channels.phrases import phrase
from web.channels.platform import Platform, common_settings, yes_no_problem
from web.channels.wechat_api import call_with_token, read_token
from web.render import render_parts
from web.signatures import any_same

BUDGET_S = 4.3  # WeChat waits five seconds; the rest is for the way there and back
MESSAGE_WINDOW_S = 48 * 3600.0
EVENT_WINDOW_S = 60.0
# 45015: more than 48 hours, or not following; 45047: quota used; 48001: the account may not push.
_WINDOW_ERRORS = frozenset({45015, 45047, 48001})


class WeChat(Platform):
    """One passive message in the body within 4.3 s, else push for verified accounts, else the next one."""

    name = "wechat"
    title = "WeChat Official Account"
    api_url = "https://api.weixin.qq.com"
    # 2048 bytes is the limit of the platform; 2000 leaves room for its own counting of links.
    caps = Caps(
        unit="bytes",
        max_units=2000,
        max_parts=1,
        markup="wechat",
        passive_budget_s=BUDGET_S,
        account_rate_per_s=50.0,
    )
    settings = (
        Setting("APP_ID", "AppID (开发者ID), wx…"),
        Setting("TOKEN", "Token (令牌) of the server configuration", secret=True, rotates=True),
        Setting(
            "AES_KEY",
            "EncodingAESKey (消息加解密密钥), 43 characters",
            required=False,
            secret=True,
            rotates=True,
            problem=aes_key_problem,
        ),
        Setting(
            "MODE",
            "safe (安全模式: plain deliveries are refused) or plain (明文模式)",
            required=False,
            default="safe",
            problem=lambda value: None if value in ("safe", "plain") else "must be safe or plain",
        ),
        Setting(
            "VERIFIED",
            "true where the account is verified (微信认证), so that answers can be pushed later",
            required=False,
            default="false",
            problem=yes_no_problem,
        ),
        Setting("APP_SECRET", "AppSecret; needed to push", required=False, secret=True),
        *common_settings(api_url),
    )

    def problems(self, account: Account) -> list[str]:
        found = []
        if account.get("MODE", "safe") == "safe" and not account.get("AES_KEY"):
            found.append("MODE=safe needs AES_KEY")
        if account.is_on("VERIFIED") and not account.get("APP_SECRET"):
            found.append("VERIFIED=true needs APP_SECRET")
        return found

    def handshake(self, req: RawRequest, account: Account) -> HookResponse | None:
        if req.method != "GET":
            return None
        # The check of the URL is signed the plain way in safe mode too.
        self._check_plain_signature(req, account)
        return HookResponse(body=req.param("echostr").encode())

    def verify(self, req: RawRequest, account: Account) -> bytes:
        is_safe = account.get("MODE", "safe") == "safe"
        if is_safe or (req.query.get("encrypt_type") == "aes" and account.get("AES_KEY")):
            # `signature` does not cover the body, so it proves nothing here; and a plain body is a downgrade.
            return open_sealed(
                req.body,
                account.current_and_previous("TOKEN"),
                account.current_and_previous("AES_KEY"),
                account.get("APP_ID"),
                req,
            )
        self._check_plain_signature(req, account)
        return req.body

    def _check_plain_signature(self, req: RawRequest, account: Account) -> None:
        given, timestamp, nonce = req.param("signature"), req.param("timestamp"), req.param("nonce")
        expected = [sign(token, timestamp, nonce) for token in account.current_and_previous("TOKEN")]
        if not any_same(given, expected):
            raise SignatureError

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        fields = read_fields(clear)
        person, own = fields.get("FromUserName", ""), fields.get("ToUserName", "")
        if not person or not own or not fields.get("MsgType"):
            raise PayloadError("the message has no FromUserName, ToUserName or MsgType")
        inbound = _inbound(fields, person, own, "json" if is_json(clear) else "xml", account)
        if inbound.kind == "unknown":
            return [inbound]
        modes = [ReplyMode("passive", req.received_at + BUDGET_S)]
        is_menu = inbound.kind in ("follow", "postback")
        if account.is_on("VERIFIED"):
            window = EVENT_WINDOW_S if is_menu else MESSAGE_WINDOW_S
            modes.append(ReplyMode("api", req.received_at + window))
        return [replace(inbound, reply=ReplyPlan(tuple(modes), quota=3 if is_menu else 5))]

    def render(self, out: Outbound, to: Inbound, *, max_parts: int) -> list[Part]:
        return render_parts(out, self.caps, max_parts=max_parts, show_choices=True)

    def passive(self, parts: list[Part], to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        message = write_fields(
            {
                "ToUserName": to.address["person"],
                "FromUserName": to.address["own"],
                # The time of the message answered, so that a repeated delivery gets the very same body.
                "CreateTime": int(to.sent_at or req.received_at),
                "MsgType": "text",
                "Content": "\n".join(part.text for part in parts),
            },
            as_json=to.address.get("form") == "json",
        )
        if is_sealed(req):
            message = seal_reply(
                message,
                account.get("TOKEN"),
                account.get("AES_KEY"),
                account.get("APP_ID"),
                req,
                as_json=is_json(req.body),
            )
        return HookResponse(
            body=message, media_type="application/json" if is_json(req.body) else "text/xml; charset=utf-8"
        )

    def late(self, delivery: int, to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        if account.is_on("VERIFIED"):
            return self.ack(req, account)
        if delivery < 3:
            # Left open, the delivery comes again (three times in all), which gives the answer 15 seconds.
            # This is the practice of the field (zhayujie/CowAgent#1310), not documented.
            return None
        language = self.language(account, to.lang_hint, "zh-Hans")
        return self.passive([Part(*2 * (phrase("busy", language),))], to, req, account)

    def ack(self, req: RawRequest, account: Account) -> HookResponse:
        return HookResponse(body=b"success")

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        body = compact_json(
            {
                "touser": to.sender,
                "msgtype": "text",
                "text": {"content": "\n".join(part.text for part in parts)},
            }
        )
        url = f"{self.base(ctx.account)}/cgi-bin/message/custom/send"
        return await call_with_token(ctx, url, body, self._fetch_token, closed=_WINDOW_ERRORS)

    async def _fetch_token(self, ctx: SendContext, *, is_forced: bool) -> AccessToken:
        body = {
            "grant_type": "client_credential",
            "appid": ctx.account.get("APP_ID"),
            "secret": ctx.account.get("APP_SECRET"),
            "force_refresh": is_forced,
        }
        response = await post(ctx.http, f"{self.base(ctx.account)}/cgi-bin/stable_token", content=compact_json(body))
        return read_token(response, ctx.now())

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        return await fetch(ctx.http, ref.url, hosts=self.media_hosts(ctx.account, "qpic.cn", "qlogo.cn"))

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        message = write_fields(
            {
                "ToUserName": "gh_guitu",
                "FromUserName": sender,
                "CreateTime": int(now),
                "MsgType": "text",
                "Content": text,
                "MsgId": message_id,
            },
            as_json=False,
        )
        token, timestamp, nonce = account.get("TOKEN"), str(int(now)), secrets.token_hex(5)
        query = f"?signature={sign(token, timestamp, nonce)}&timestamp={timestamp}&nonce={nonce}&openid={sender}"
        if account.get("MODE", "safe") == "safe":
            encrypted = seal_envelope(account.get("AES_KEY"), message.decode(), account.get("APP_ID"))
            query += f"&encrypt_type=aes&msg_signature={sign(token, timestamp, nonce, encrypted)}"
            message = write_fields({"ToUserName": "gh_guitu", "Encrypt": encrypted}, as_json=False)
        return SampleRequest("POST", account.path + query, {"content-type": "text/xml"}, message)

    def describe(self, account: Account) -> list[str]:
        mode = "安全模式 (safe)" if account.get("MODE", "safe") == "safe" else "明文模式 (plain)"
        return [
            f"Console: 设置与开发 → 基本配置 → 服务器配置: the URL, Token, AESKey, {mode}; XML or JSON.",
            "WeChat first sends GET with echostr, then POST; a delivery waits 5 s and comes up to 3 times.",
        ]


def is_sealed(req: RawRequest) -> bool:
    """Whether a delivery that passed `verify` came in the envelope."""
    return "msg_signature" in req.query


def _inbound(fields: dict[str, str], person: str, own: str, form: str, account: Account) -> Inbound:
    kind: Kind
    text: str | None = None
    media: tuple[MediaRef, ...] = ()
    meta: dict[str, str] = {}
    match fields["MsgType"], fields.get("Event", "").lower():
        case "text", _:
            kind, text = "text", fields.get("Content", "")
            if fields.get("bizmsgmenuid"):
                # A touched suggestion counts as a menu click: three messages within a minute, not five in 48
                # hours.
                kind = "postback"
        case "voice", _:
            kind, text = "voice", fields.get("Recognition") or None
        case "image", _:
            kind = "image"
            media = (MediaRef("image", fields.get("MediaId", ""), fields.get("PicUrl", "")),)
        case "location", _:
            kind = "location"
            text = first((fields.get("Label", ""), f"{fields.get('Location_X', '')}, {fields.get('Location_Y', '')}"))
        case "link", _:
            kind, text = "link", first((fields.get("Title", ""), fields.get("Description", "")))
        case "event", "subscribe":
            kind = "follow"
            meta["scene"] = fields.get("EventKey", "")
        case "event", "scan":
            kind = "follow"
        case "event", "unsubscribe":
            kind = "unfollow"
        case "event", "click":
            kind, text = "postback", fields.get("EventKey", "")
        case _:
            kind = "unknown"
    # MsgId alone is not unique over people (binarywang/WxJava#333); some events write MsgID
    # (WeiXinMPSDK#2605).
    message_id = first((fields.get("MsgId", ""), fields.get("MsgID", "")))
    key: tuple[str, ...]
    if fields["MsgType"] == "event":
        key = (own, person, fields.get("CreateTime", ""), fields.get("Event", ""), fields.get("EventKey", ""))
    else:
        key = (own, person, message_id, fields.get("CreateTime", ""))
    return Inbound(
        channel=account.platform,
        account=account.name,
        dedupe="|".join(key),
        conversation=f"{own}|{person}",
        sender=person,
        kind=kind,
        text=text,
        media=media,
        sent_at=seconds(fields.get("CreateTime", "")),
        lang_hint=None,
        message_ref=message_id,
        address={"person": person, "own": own, "form": form},
        meta=meta,
    )
