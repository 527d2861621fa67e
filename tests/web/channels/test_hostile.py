"""What strangers and broken senders send: 401, 400 or 413, never 500, and no work is done for it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.channels.support import PLATFORMS, SECRETS, Running, environment, running
from web.channels import meta
from web.channels.accounts import read_channel_settings
from web.channels.base import Account, RawRequest, SampleRequest
from web.channels.bodies import MAX_JSON_DEPTH, compact_json, json_depth, read_json, read_xml
from web.channels.envelope import seal_envelope, sign, write_fields
from web.channels.errors import PayloadError, SignatureError
from web.channels.generic import signature as generic_signature
from web.channels.line import hmac_sha256_base64
from web.channels.registry import ADAPTERS
from web.channels.sms import signature as twilio_signature
from web.channels.telegram import HEADER
from web.channels.zalo import mac

pytestmark = pytest.mark.anyio
SIGNATURE_HEADERS = {
    "generic": "webhook-signature",
    "telegram": HEADER,
    "line": "x-line-signature",
    "whatsapp": "x-hub-signature-256",
    "messenger": "x-hub-signature-256",
    "zalo": "x-zevent-signature",
    "sms": "x-twilio-signature",
}
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c SYSTEM "file:///etc/passwd">]><xml><MsgType>&b;&c;</MsgType></xml>'
)
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


def account_of(platform: str) -> Account:
    return next(
        one
        for one in read_channel_settings(environment(platform), data=Path("unused")).accounts
        if one.platform == platform
    )


def signed(platform: str, body: bytes, account: Account) -> SampleRequest:
    """Any body, signed as the platform would."""
    now = int(time.time())
    path, headers = account.path, {"content-type": "application/json"}
    match platform:
        case "generic":
            headers |= {
                "webhook-id": "m",
                "webhook-timestamp": str(now),
                "webhook-signature": generic_signature(account.get("SECRET"), "m", now, body),
            }
        case "telegram":
            headers[HEADER] = account.get("SECRET")
        case "line":
            headers["x-line-signature"] = hmac_sha256_base64(account.get("CHANNEL_SECRET").encode(), body)
        case "whatsapp" | "messenger":
            headers |= meta.signed_headers(body, account)
        case "zalo":
            try:
                timestamp = str(json.loads(body).get("timestamp", ""))
            except (ValueError, AttributeError, RecursionError):
                timestamp = ""
            headers["x-zevent-signature"] = "mac=" + mac(
                account.get("APP_ID"), body, timestamp, account.get("OA_SECRET")
            )
        case "sms":
            headers["content-type"] = "application/x-www-form-urlencoded"
            import hashlib

            path += f"?bodySHA256={hashlib.sha256(body).hexdigest()}"
            url = "https://guitu.example.org" + path
            headers["x-twilio-signature"] = twilio_signature(account.get("AUTH_TOKEN"), url, [])
        case _:
            receive_id = account.get("APP_ID") or account.get("CORP_ID")
            encrypted = seal_envelope(account.get("AES_KEY"), body.decode("utf-8", "replace"), receive_id)
            proof = sign(account.get("TOKEN"), "1", "2", encrypted)
            path += f"?timestamp=1&nonce=2&msg_signature={proof}&encrypt_type=aes"
            body = write_fields({"Encrypt": encrypted}, as_json=False)
    return SampleRequest("POST", path, headers, body)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    yield found
    found.close()


@pytest.fixture(scope="module")
def run(loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all hostile requests: it has to survive them all."""
    context = running(tmp_path_factory.mktemp("hostile"))
    found = loop.run_until_complete(context.__aenter__())
    yield found
    loop.run_until_complete(context.__aexit__(None, None, None))


def post(loop: asyncio.AbstractEventLoop, run: Running, sample: SampleRequest) -> httpx.Response:
    return loop.run_until_complete(run.deliver(sample))


def n_events(run: Running) -> int:
    return len(run.rows("id", "event"))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_wrong_missing_and_repeated_proofs(loop: asyncio.AbstractEventLoop, run: Running, platform: str) -> None:
    sample = run.sample(platform, "问", message_id="1", sender=ADAPTERS[platform].simulated_sender())
    before = n_events(run)
    bad: list[SampleRequest] = []
    if platform in SIGNATURE_HEADERS:
        name = SIGNATURE_HEADERS[platform]
        proof = sample.headers[name]
        for wrong in (
            "",
            "x",
            proof[:-2] + ("AA" if proof[-2:] != "AA" else "BB"),
            "é",
            proof + "x",
            "v1,",
            "sha256=",
        ):
            bad.append(dataclasses.replace(sample, headers={**sample.headers, name: wrong}))
        without = {key: value for key, value in sample.headers.items() if key != name}
        bad.append(dataclasses.replace(sample, headers=without))
        if platform != "telegram":
            bad.append(dataclasses.replace(sample, body=sample.body + b" "))
            bad.append(dataclasses.replace(sample, body=b"X" + sample.body[1:]))
    else:
        url, _, query = sample.path.partition("?")
        for part in query.split("&"):
            key = part.partition("=")[0]
            if key in ("openid", "encrypt_type", "signature"):
                continue
            others = [one for one in query.split("&") if one != part]
            bad.append(dataclasses.replace(sample, path=f"{url}?{'&'.join(others)}"))
            bad.append(dataclasses.replace(sample, path=f"{url}?{'&'.join([*others, key + '=0'])}"))
            bad.append(dataclasses.replace(sample, path=f"{url}?{query}&{part}"))
        bad.append(dataclasses.replace(sample, body=sample.body.replace(b"Encrypt", b"Decrypt")))
        bad.append(dataclasses.replace(sample, body=sample.body[:60] + b"A" + sample.body[61:]))
    assert len(bad) >= 8
    for one in bad:
        response = post(loop, run, one)
        assert (response.status_code, response.content) == (401, b""), (one.path, one.headers)
    if platform in SIGNATURE_HEADERS:
        name = SIGNATURE_HEADERS[platform]
        twice = [*sample.headers.items(), (name, sample.headers[name])]
        response = loop.run_until_complete(run.client.post(sample.path, headers=twice, content=sample.body))
        assert response.status_code == 401
    assert n_events(run) == before


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe{}", b"{", b"[]", b"null", BOMB, DEEP, b"<xml>", b'{"a":NaN}', b"\x00"]
)
def test_signed_nonsense_is_400_at_worst(
    loop: asyncio.AbstractEventLoop, run: Running, platform: str, body: bytes
) -> None:
    before = n_events(run)
    response = post(loop, run, signed(platform, body, run.account(platform)))
    assert response.status_code in (200, 202, 400, 401)
    assert n_events(run) == before


@pytest.mark.parametrize("platform", PLATFORMS)
def test_oversize_is_413(loop: asyncio.AbstractEventLoop, run: Running, platform: str) -> None:
    sample = signed(platform, b"{}", run.account(platform))
    response = post(loop, run, dataclasses.replace(sample, body=b"x" * (2 * 1024 * 1024)))
    assert response.status_code == 413

    async def chunks() -> object:
        for _ in range(40):
            yield b"x" * 65536

    async def stream() -> httpx.Response:
        return await run.client.post(sample.path, headers=dict(sample.headers), content=chunks())  # type: ignore[arg-type]

    assert loop.run_until_complete(stream()).status_code == 413
    long = loop.run_until_complete(run.client.post(sample.path, headers={"x-long": "x" * 40_000}, content=b"{}"))
    assert long.status_code == 413


def test_unknown_routes_and_slashes(loop: asyncio.AbstractEventLoop, run: Running) -> None:
    get = loop.run_until_complete
    assert get(run.client.post("/hooks/nowhere/main")).status_code == 404
    assert get(run.client.post("/hooks/line/other")).status_code == 404
    sample = run.sample("line", "问", message_id="slash")
    slashed = dataclasses.replace(sample, path=sample.path + "/")
    assert post(loop, run, slashed).status_code == 200


@pytest.mark.parametrize("platform", ["whatsapp", "messenger"])
def test_the_url_check_of_meta(loop: asyncio.AbstractEventLoop, run: Running, platform: str) -> None:
    path = f"/hooks/{platform}/main"
    good = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "1158201444"}
    response = loop.run_until_complete(run.client.get(path, params=good))
    assert (response.status_code, response.text) == (200, "1158201444")
    assert response.headers["content-type"].startswith("text/plain")
    bad: list[dict[str, object]] = [
        {**good, "hub.verify_token": "x"},
        {**good, "hub.verify_token[$ne]": "x", "hub.verify_token": ""},
        {**good, "hub.verify_token": ["verify-me", "verify-me"]},
        {key: value for key, value in good.items() if key != "hub.challenge"},
        {},
    ]
    for params in bad:
        assert loop.run_until_complete(run.client.get(path, params=params)).status_code == 401  # type: ignore[arg-type]


def test_telegram_takes_nothing_by_get(loop: asyncio.AbstractEventLoop, run: Running) -> None:
    assert loop.run_until_complete(run.client.get("/hooks/telegram/main")).status_code == 401


def test_twilio_behind_a_proxy_signs_the_address_outside(loop: asyncio.AbstractEventLoop, run: Running) -> None:
    """The client talks to http://inside; the signature is over https://guitu.example.org."""
    assert post(loop, run, run.sample("sms", "问", message_id="SMproxy", sender="+0")).status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "entry",
        "changes",
        "value",
        "messages",
        "statuses",
        "contacts",
        "messaging",
        "message",
        "sender",
        "id",
        "text",
        "body",
        "type",
        "events",
        "source",
        "userId",
        "groupId",
        "webhookEventId",
        "replyToken",
        "mode",
        "timestamp",
        "update_id",
        "chat",
        "from",
        "callback_query",
        "data",
        "my_chat_member",
        "photo",
        "location",
        "metadata",
        "phone_number_id",
        "interactive",
        "image",
        "mid",
        "attachments",
        "payload",
        "url",
        "event_name",
        "app_id",
        "recipient",
        "conversation",
        "mention",
        "mentionees",
        "index",
        "length",
        "isSelf",
        "unsend",
        "messageId",
        "postback",
        "msg_id",
        "coordinates",
        "order",
    ]
)
SHAPED = st.recursive(
    JSON
    | st.sampled_from(["text", "image", "message", "user", "group", "message.created", "user_send_location", "follow"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_any_signed_json_is_read_or_refused(platform: str) -> None:
    adapter, account = ADAPTERS[platform], account_of(platform)

    @FUZZ
    @given(st.dictionaries(KEYS, SHAPED, max_size=6))
    def check(found: dict[str, object]) -> None:
        if platform == "telegram":
            found = {"update_id": 1, **found}
        if platform == "generic":
            found = {"type": "message.created", **found}
        if platform == "zalo":
            found = {**found, "app_id": SECRETS["zalo"]["APP_ID"]}
        body = json.dumps(found).encode()
        sample = signed(platform, body, account)
        _read(adapter, account, sample)

    check()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_any_bytes_are_read_or_refused(platform: str) -> None:
    adapter, account = ADAPTERS[platform], account_of(platform)

    @FUZZ
    @given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def check(body: bytes) -> None:
        _read(adapter, account, signed(platform, body, account))
        _read(adapter, account, SampleRequest("POST", account.path, {}, body))

    check()


@pytest.mark.parametrize("platform", ["wechat", "wecom", "wechat_kf"])
def test_any_xml_fields_are_read_or_refused(platform: str) -> None:
    adapter, account = ADAPTERS[platform], account_of(platform)
    names = [
        "ToUserName",
        "FromUserName",
        "CreateTime",
        "MsgType",
        "Event",
        "EventKey",
        "MsgId",
        "Content",
        "PicUrl",
        "Label",
        "Token",
        "OpenKfId",
    ]
    words = st.text(max_size=30) | st.sampled_from(
        ["text", "event", "image", "voice", "subscribe", "kf_msg_or_event", "1"]
    )

    @FUZZ
    @given(st.dictionaries(st.sampled_from(names), words), st.booleans())
    def check(fields: dict[str, str | int], as_json: bool) -> None:
        body = write_fields({"ToUserName": "a", "FromUserName": "b", "MsgType": "text", **fields}, as_json=as_json)
        _read(adapter, account, signed(platform, body, account))

    check()


def _read(adapter: object, account: Account, sample: SampleRequest) -> None:
    """Verify and parse, as the route does; only the two errors that it knows may come."""
    query = sample.path.partition("?")[2]
    params = dict(part.split("=", 1) for part in query.split("&") if part)
    headers = {name.lower(): value for name, value in sample.headers.items()}
    url = f"https://guitu.example.org{sample.path}"
    req = RawRequest(sample.method, url, params, headers, sample.body, time.time())
    try:
        clear = ADAPTERS[account.platform].verify(req, account)
        inbounds = ADAPTERS[account.platform].parse(clear, req, account)
        ADAPTERS[account.platform].ack(req, account)
    except (SignatureError, PayloadError):
        return
    from web.records import read_inbound, write_inbound

    for inbound in inbounds:
        assert read_inbound(write_inbound(inbound)) == inbound


def test_json_depth_is_found_without_parsing() -> None:
    assert json_depth(b'{"a":[1,{"b":"]]]]\\"{{{"}]}') == 3
    assert json_depth(b'"' + b'\\"' * 200_000 + b"[[[[") == 0  # an open string, read once
    assert read_json(b'{"a":' * (MAX_JSON_DEPTH - 1) + b"{}" + b"}" * (MAX_JSON_DEPTH - 1))
    with pytest.raises(PayloadError):
        read_json(b'{"a":' * MAX_JSON_DEPTH + b"{}" + b"}" * MAX_JSON_DEPTH)


def test_xml_entities_are_refused() -> None:
    with pytest.raises(PayloadError):
        read_xml(BOMB)
    assert read_xml(b"<xml><a><![CDATA[<b>]]></a><c><d>1</d></c></xml>") == {"a": "<b>", "c.d": "1"}


def test_replies_survive_hostile_text() -> None:
    fields: dict[str, str | int] = {"Content": "a]]>b\x00\x0b<!ENTITY", "CreateTime": 1}
    assert read_xml(write_fields(fields, as_json=False)) == {"Content": "a]]>b<!ENTITY", "CreateTime": "1"}
    assert base64.b64encode(compact_json({"a": "\x00"}))
