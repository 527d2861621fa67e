"""SMS by Twilio.

Sources: twilio.com `docs/usage/security`, `docs/usage/api-security-reference-guide/webhook` (October 2026),
`docs/messaging/api/media-resource` (September 2026; basic authentication, then a redirect to mms.twiliocdn.com),
errors 57012 and 14109; read November 2026. The signature follows the vectors of Twilio's own library.
"""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

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
from web.channels.bodies import clean, read_json, string
from web.channels.errors import PayloadError, SignatureError
from web.channels.http import body_of, by_status, fetch, post
from web.channels.phrases import FORGET_WORDS
from web.channels.platform import DAY_S, Platform, common_settings
from web.signatures import any_same, hmac_sha1_base64

MAX_FIELDS = 200
# 20429: too many requests; 30001: queue full; 14107, 63018: rate limits.
_BUSY_CODES = frozenset({"20429", "30001", "14107", "63018"})


class Sms(Platform):
    """Answers by API, because a failed delivery is not repeated: an answer in the body could be lost."""

    name = "sms"
    title = "SMS (Twilio)"
    api_url = "https://api.twilio.com"
    # Three parts of 67 UCS-2 characters, or of 153 in the GSM alphabet.
    caps = Caps(
        unit="sms",
        max_units=201,
        max_parts=1,
        links="full",
        redelivers=False,
        holds_late=True,
        account_rate_per_s=1.0,
        conversation_rate_per_s=0.5,
    )
    settings = (
        Setting("ACCOUNT_SID", "Account SID, AC…"),
        Setting("AUTH_TOKEN", "Auth token: signs deliveries and authorises sends", secret=True, rotates=True),
        Setting("FROM", "our number (+…) or Messaging Service SID (MG…)"),
        *common_settings(api_url),
    )

    def verify(self, req: RawRequest, account: Account) -> bytes:
        given = req.header("x-twilio-signature")
        tokens = account.current_and_previous("AUTH_TOKEN")
        if "bodySHA256" in req.query:
            body_hash = req.param("bodySHA256")
            if not any_same(hashlib.sha256(req.body).hexdigest(), (body_hash,)):
                raise SignatureError
            params: list[tuple[str, str]] = []
        else:
            try:
                params = _form(req.body)
            except PayloadError:
                raise SignatureError from None
        expected = [signature(token, url, params) for token in tokens for url in _spellings(req.public_url)]
        if not any_same(given, expected):
            raise SignatureError
        return req.body

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        if "bodySHA256" in req.query:
            fields = {key: string(value) for key, value in read_json(clear).items()}
        else:
            fields = dict(reversed(_form(clear)))
        person = fields.get("From", "")
        message_id = fields.get("MessageSid") or fields.get("SmsSid", "")
        # Reports on our own messages come to the same address where it is entered twice.
        if (
            not person
            or not message_id
            or fields.get("MessageStatus", fields.get("SmsStatus")) not in (None, "received")
        ):
            return []
        text = clean(fields.get("Body", ""))
        kind: Kind = "text"
        media: tuple[MediaRef, ...] = ()
        if fields.get("OptOutType") == "STOP" or text.strip().lower() in FORGET_WORDS:
            kind = "unfollow"
        elif fields.get("MediaContentType0", "").startswith("image/"):
            kind, media = "image", (MediaRef("image", url=fields.get("MediaUrl0", "")),)
        elif not text.strip():
            kind = "link"
        return [
            Inbound(
                channel=account.platform,
                account=account.name,
                dedupe=message_id,
                conversation=person,
                sender=person,
                kind=kind,
                text=text or None,
                media=media,
                reply=ReplyPlan((ReplyMode("api", req.received_at + DAY_S),)),
                message_ref=message_id,
            )
        ]

    def ack(self, req: RawRequest, account: Account) -> HookResponse:
        return HookResponse(body=b"<Response/>", media_type="text/xml")

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        (part,) = parts
        sid, own = ctx.account.get("ACCOUNT_SID"), ctx.account.get("FROM")
        data = {
            "To": to.sender,
            "Body": part.text,
            "MessagingServiceSid" if own.startswith("MG") else "From": own,
        }
        response = await post(
            ctx.http,
            f"{self.base(ctx.account)}/2010-04-01/Accounts/{sid}/Messages.json",
            data=data,
            auth=(sid, ctx.account.get("AUTH_TOKEN")),
        )
        if isinstance(response, Sent):
            return response
        found = body_of(response)
        code = string(found, "code")
        if code in _BUSY_CODES:
            return Sent("retry", after_s=30.0, code=code, pause=True)
        failed = by_status(response)
        if failed is not None:
            return Sent(failed.outcome, after_s=failed.after_s, code=code or failed.code, pause=failed.pause)
        return Sent("ok", provider_id=string(found, "sid"))

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        sid = ctx.account.get("ACCOUNT_SID")
        # The auth token goes to the files of our own account and nowhere else.
        ours = tuple(f"{api}/2010-04-01/Accounts/{sid}/" for api in (self.api_url, self.base(ctx.account)))
        if not ref.url.startswith(ours):
            return None
        # Twilio answers with the address of its store, which is good for four hours and needs no token.
        return await fetch(
            ctx.http,
            ref.url,
            hosts=self.media_hosts(ctx.account, "api.twilio.com"),
            auth=(sid, ctx.account.get("AUTH_TOKEN")),
            redirect_hosts=("twiliocdn.com",),
        )

    def simulated_sender(self) -> str:
        return "+0"

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        params = [
            ("AccountSid", account.get("ACCOUNT_SID")),
            ("Body", text),
            ("From", sender),
            ("MessageSid", message_id),
            ("To", account.get("FROM")),
        ]
        url = account.get("_PUBLIC_URL").rstrip("/") + account.path
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": signature(account.get("AUTH_TOKEN"), url, params),
        }
        return SampleRequest("POST", account.path, headers, urlencode(params).encode())

    def describe(self, account: Account) -> list[str]:
        return [
            "Console: Phone Numbers → the number → A message comes in: the URL, HTTP POST; the same URL as",
            "fallback, because Twilio does not repeat a failed delivery. The signature covers the URL:",
            "GUITU_PUBLIC_URL must be exactly the address that people outside see.",
        ]


def signature(token: str, url: str, params: list[tuple[str, str]]) -> str:
    """The signature over the URL and the sorted parameters; values untrimmed, equal pairs once."""
    joined = url + "".join(key + value for key, value in sorted(set(params)))
    return hmac_sha1_base64(token, joined.encode("utf-8", "replace"))


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise PayloadError("the body is not a form") from error


def _spellings(url: str) -> tuple[str, ...]:
    """An address with and without its standard port: Twilio signs either, depending on the product."""
    parts = urlsplit(url)
    standard = {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    if parts.port is None:
        return url, urlunsplit(parts._replace(netloc=f"{host}:{standard}"))
    if parts.port == standard:
        return url, urlunsplit(parts._replace(netloc=host))
    return (url,)
