"""Signed JSON by Standard Webhooks: for partners' own apps, hotlines and test benches.

Source: the Standard Webhooks specification 1.0.0 (standard-webhooks/standard-webhooks, read November 2026).
"""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import UTC, datetime

from web.channels.base import (
    Account,
    Caps,
    HookResponse,
    Inbound,
    Kind,
    Part,
    RawRequest,
    ReplyMode,
    ReplyPlan,
    SampleRequest,
    SendContext,
    Sent,
    Setting,
)
from web.channels.bodies import child, compact_json, read_json, string
from web.channels.errors import SignatureError
from web.channels.http import by_status, post
from web.channels.platform import DAY_S, Platform, common_settings, url_problem
from web.signatures import hmac_sha256_base64, is_ed25519, is_recent, same

WINDOW_S = 300.0
BUDGET_S = 9.0
_KINDS: dict[str, Kind] = {"text": "text", "follow": "follow", "unfollow": "unfollow", "voice": "voice"}


def secret_problem(value: str) -> str | None:
    """What is wrong with a signing secret, or None."""
    try:
        size = len(_key(value))
    except ValueError:
        return "must be whsec_ or whpk_ followed by base64"
    if value.startswith("whpk_"):
        return None if size == 32 else "must be whpk_ and an Ed25519 public key of 32 bytes"
    return None if 24 <= size <= 64 else "must be whsec_ and 24 to 64 bytes in base64"


def _key(secret: str) -> bytes:
    for prefix in ("whsec_", "whpk_"):
        if secret.startswith(prefix):
            try:
                return base64.b64decode(secret.removeprefix(prefix), validate=True)
            except binascii.Error as error:
                raise ValueError("not base64") from error
    raise ValueError("unknown kind of secret")


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `v1` signature of a message."""
    return "v1," + hmac_sha256_base64(_key(secret), f"{message_id}.{timestamp}.".encode() + body)


class Generic(Platform):
    """Answers in the body within nine seconds, else later at the configured address."""

    name = "generic"
    title = "Signed JSON (Standard Webhooks)"
    caps = Caps(
        unit="chars",
        max_units=20_000,
        max_parts=1,
        passive_budget_s=BUDGET_S,
        idempotent_send=True,
        joins_parts=True,
        repeats_until_taken=True,
        account_rate_per_s=200.0,
        conversation_rate_per_s=20.0,
    )
    settings = (
        Setting(
            "SECRET",
            "signing secret: whsec_… (v1, HMAC) or whpk_… (v1a, Ed25519 public key)",
            secret=True,
            rotates=True,
            problem=secret_problem,
        ),
        Setting("CALLBACK_URL", "where late answers are posted", required=False, problem=url_problem),
        Setting(
            "CALLBACK_SECRET",
            "whsec_… that late answers are signed with; SECRET where it is not set",
            required=False,
            secret=True,
            problem=secret_problem,
        ),
        *common_settings(""),
    )

    def problems(self, account: Account) -> list[str]:
        signs_with = account.get("CALLBACK_SECRET", account.get("SECRET"))
        if account.get("CALLBACK_URL") and not signs_with.startswith("whsec_"):
            return ["CALLBACK_URL needs CALLBACK_SECRET with a whsec_ secret, because whpk_ can only verify"]
        return []

    def verify(self, req: RawRequest, account: Account) -> bytes:
        message_id = req.header("webhook-id")
        timestamp = req.header("webhook-timestamp")
        given = req.header("webhook-signature").split(" ")
        if not message_id or not is_recent(timestamp, req.received_at, WINDOW_S):
            raise SignatureError
        signed = f"{message_id}.{timestamp}.".encode() + req.body
        is_good = False
        for secret in account.current_and_previous("SECRET"):
            key = _key(secret)
            for one in given[:10]:
                scheme, _, value = one.partition(",")
                if scheme == "v1" and secret.startswith("whsec_"):
                    is_good |= same(value, hmac_sha256_base64(key, signed))
                elif scheme == "v1a" and secret.startswith("whpk_"):
                    is_good |= is_ed25519(key, value, signed)
        if not is_good:
            raise SignatureError
        return req.body

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        event = read_json(clear)
        data = child(event, "data")
        conversation = string(data, "conversation")
        if string(event, "type") != "message.created" or not conversation:
            return []
        modes = [ReplyMode("passive", req.received_at + BUDGET_S)]
        if account.get("CALLBACK_URL"):
            modes.append(ReplyMode("api", req.received_at + 3 * DAY_S))
        return [
            Inbound(
                channel=self.name,
                account=account.name,
                dedupe=req.header("webhook-id"),
                conversation=conversation,
                sender=string(data, "sender") or conversation,
                kind=_KINDS.get(string(data, "kind") or "text", "unknown"),
                text=string(data, "text"),
                lang_hint=string(data, "lang") or None,
                reply=ReplyPlan(tuple(modes)),
                sent_at=req.received_at,
                address={"conversation": conversation, "in_reply_to": req.header("webhook-id")},
            )
        ]

    def passive(self, parts: list[Part], to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        return HookResponse(body=compact_json({"replies": _replies(parts)}), media_type="application/json")

    def late(self, delivery: int, to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        if account.get("CALLBACK_URL"):
            return self.ack(req, account)
        # Without an address for late answers the sender has to ask again; the stored answer is then ready.
        return HookResponse(503, headers={"Retry-After": "2"})

    def ack(self, req: RawRequest, account: Account) -> HookResponse:
        return HookResponse(202)

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        now = int(ctx.now())
        body = compact_json(
            {
                "type": "message.reply",
                "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
                "data": {
                    "conversation": to.address.get("conversation", ""),
                    "in_reply_to": to.address.get("in_reply_to", ""),
                    "replies": _replies(parts),
                },
            }
        )
        secret = ctx.account.get("CALLBACK_SECRET", ctx.account.get("SECRET"))
        # The id stays the same over all tries, so that the receiver can tell a repeat.
        headers = {
            "content-type": "application/json",
            "webhook-id": f"msg_{idem}",
            "webhook-timestamp": str(now),
            "webhook-signature": signature(secret, f"msg_{idem}", now, body),
        }
        response = await post(ctx.http, ctx.account.get("CALLBACK_URL"), content=body, headers=headers)
        if isinstance(response, Sent):
            return response
        if response.status_code == 410:
            return Sent("refused", code="410")
        return by_status(response) or Sent("ok")

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        body = compact_json(
            {
                "type": "message.created",
                "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
                "data": {"conversation": sender, "sender": sender, "text": text},
            }
        )
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id or f"msg_{uuid.uuid4().hex}",
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signature(account.get("SECRET"), message_id, int(now), body),
        }
        return SampleRequest("POST", account.path, headers, body)

    def describe(self, account: Account) -> list[str]:
        return [
            "Give the partner the URL and the secret. The body of a message:",
            '{"type":"message.created","timestamp":…,"data":{"conversation":…,"sender":…,"text":…}}',
            'Answer: 200 {"replies":[…]} within 9 s, else 202 and a signed POST to CALLBACK_URL.',
        ]


def _replies(parts: list[Part]) -> list[dict[str, object]]:
    return [{"text": part.text} for part in parts]
