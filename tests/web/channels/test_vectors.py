"""Published and recomputed test vectors of the platforms: signatures, envelopes and what is in them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from web.channels.base import Account, RawRequest
from web.channels.envelope import open_envelope, seal_envelope, sign, write_fields
from web.channels.errors import SignatureError
from web.channels.registry import ADAPTERS
from web.signatures import any_same, is_recent, same

VECTORS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "channels" / "vectors.json").read_text(encoding="utf-8")
)


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    url: str = "https://guitu.example.org/hooks/x/main",
    at: float = 1_614_265_330.0,
) -> RawRequest:
    return RawRequest(method, url, query or {}, headers or {}, body, at)


def wechat(name: str, **more: str) -> Account:
    vector = VECTORS[name]
    values = {
        "TOKEN": vector["token"],
        "AES_KEY": vector.get("aes_key", "A" * 43),
        "APP_ID": vector.get("app_id", "wx"),
        "MODE": "safe",
    }
    return Account("wechat", "main", values | more)


def test_w1_wechat_checks_the_url_and_plain_messages() -> None:
    get = VECTORS["W1-get"]
    account = wechat("W1-get", MODE="plain")
    query = {name: get[name] for name in ("signature", "timestamp", "nonce", "echostr")}
    response = ADAPTERS["wechat"].handshake(request(method="GET", query=query), account)
    assert response is not None
    assert response.body == b"4375120948345356249"
    assert response.media_type.startswith("text/plain")
    post = VECTORS["W1-post"]
    query = {name: post[name] for name in ("signature", "timestamp", "nonce")}
    assert ADAPTERS["wechat"].verify(request(b"<xml/>", query=query), account) == b"<xml/>"


def test_the_url_check_of_safe_mode_is_plain() -> None:
    get = VECTORS["W1-get"]
    query = {name: get[name] for name in ("signature", "timestamp", "nonce", "echostr")}
    assert ADAPTERS["wechat"].handshake(request(method="GET", query=query), wechat("W1-get")) is not None


def test_w2_safe_json() -> None:
    vector = VECTORS["W2"]
    body = json.dumps({"ToUserName": "gh", "Encrypt": vector["encrypt"]}).encode()
    query = {name: vector[name] for name in ("timestamp", "nonce", "msg_signature")} | {"encrypt_type": "aes"}
    clear = ADAPTERS["wechat"].verify(request(body, query=query), wechat("W2"))
    assert clear.decode() == vector["message"]
    (inbound,) = ADAPTERS["wechat"].parse(clear, request(body, query=query), wechat("W2"))
    assert inbound.kind == "unknown"


def test_w2_the_plain_signature_is_no_proof_in_safe_mode() -> None:
    vector = VECTORS["W2"]
    query = {name: vector[name] for name in ("timestamp", "nonce", "signature")}
    for body in (json.dumps({"Encrypt": vector["encrypt"]}).encode(), vector["message"].encode()):
        with pytest.raises(SignatureError):
            ADAPTERS["wechat"].verify(request(body, query=query), wechat("W2"))
        query_too = query | {"msg_signature": vector["signature"], "encrypt_type": "aes"}
        with pytest.raises(SignatureError):
            ADAPTERS["wechat"].verify(request(body, query=query_too), wechat("W2"))


def test_w3_sealed_reply() -> None:
    vector = VECTORS["W3"]
    sealed = seal_envelope(vector["aes_key"], vector["message"], vector["app_id"], random=vector["random"].encode())
    assert sealed == vector["encrypt"]
    assert sign(vector["token"], vector["timestamp"], vector["nonce"], sealed) == vector["msg_signature"]


def test_w4_compat_xml() -> None:
    vector = VECTORS["W4"]
    fields: dict[str, str | int] = {"ToUserName": "gh", "Content": "forged", "Encrypt": vector["encrypt"]}
    query = {name: vector[name] for name in ("timestamp", "nonce", "msg_signature")} | {"encrypt_type": "aes"}
    req = request(write_fields(fields, as_json=False), query=query)
    for mode in ("safe", "plain"):
        account = wechat("W4", MODE=mode)
        (inbound,) = ADAPTERS["wechat"].parse(ADAPTERS["wechat"].verify(req, account), req, account)
        assert (inbound.text, inbound.sender, inbound.message_ref) == (
            vector["text"],
            vector["from"],
            vector["msg_id"],
        )


def test_w5_envelope_both_ways() -> None:
    vector = VECTORS["W5"]
    sealed = seal_envelope(vector["aes_key"], vector["message"], vector["app_id"], random=vector["random"].encode())
    assert sealed == vector["encrypt"]
    assert open_envelope(vector["aes_key"], sealed, vector["app_id"]) == vector["message"]


def wecom() -> Account:
    vector = VECTORS["C1"]
    values = {"TOKEN": vector["token"], "AES_KEY": vector["aes_key"], "CORP_ID": vector["corp_id"]}
    return Account("wecom", "main", values)


@pytest.mark.parametrize("platform", ["wecom", "wechat_kf"])
def test_c1_wecom_checks_the_url_by_opening(platform: str) -> None:
    vector = VECTORS["C1"]
    query = {name: vector[name] for name in ("msg_signature", "timestamp", "nonce", "echostr")}
    response = ADAPTERS[platform].handshake(request(method="GET", query=query), wecom())
    assert response is not None
    assert response.body.decode() == vector["opened"]


def test_c2_wecom_message() -> None:
    vector = VECTORS["C2"]
    query = {name: vector[name] for name in ("msg_signature", "timestamp", "nonce")}
    req = request(write_fields({"Encrypt": vector["encrypt"]}, as_json=False), query=query)
    (inbound,) = ADAPTERS["wecom"].parse(ADAPTERS["wecom"].verify(req, wecom()), req, wecom())
    assert (inbound.text, inbound.sender, inbound.message_ref) == (
        vector["text"],
        vector["from"],
        vector["msg_id"],
    )
    assert inbound.conversation.startswith(vector["agent_id"])


def test_d1_the_envelope_of_dingtalk_is_the_same() -> None:
    vector = VECTORS["D1"]
    assert sign(vector["token"], vector["timestamp"], vector["nonce"], vector["encrypt"]) == vector["signature"]
    assert open_envelope(vector["aes_key"], vector["encrypt"], vector["id"]) == vector["message"]


@pytest.mark.parametrize("name", ["W5", "D1"])
def test_a_flipped_bit_anywhere_in_the_envelope_is_refused_or_changes_text_only(name: str) -> None:
    """CBC lets a stranger change text, which is why the signature comes first; length, id and padding are
    checked.
    """
    import base64

    vector = VECTORS[name]
    receive_id = vector.get("app_id") or vector["id"]
    sealed = bytearray(base64.b64decode(vector["encrypt"]))
    n_refused = 0
    for index in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[index] ^= 1
        try:
            assert open_envelope(vector["aes_key"], base64.b64encode(flipped).decode(), receive_id) != vector[
                "message"
            ] or (index < 16)
        except SignatureError:
            n_refused += 1
    assert n_refused >= 32
    for bad_id in ("", receive_id[:-1], receive_id + "x"):
        with pytest.raises(SignatureError):
            open_envelope(vector["aes_key"], vector["encrypt"], bad_id)
    for bad in ("", "!!!!", "QUJD", vector["encrypt"][:-4], vector["encrypt"] + "\n", "é"):
        with pytest.raises(SignatureError):
            open_envelope(vector["aes_key"], bad, receive_id)


@pytest.mark.parametrize("size", range(0, 70, 3))
def test_every_padding_length_opens(size: int) -> None:
    key = VECTORS["W5"]["aes_key"]
    assert open_envelope(key, seal_envelope(key, "x" * size, "id"), "id") == "x" * size


def test_l1_line() -> None:
    vector = VECTORS["L1"]
    account = Account("line", "main", {"CHANNEL_SECRET": vector["secret"]})
    req = request(vector["body"].encode(), headers={"x-line-signature": vector["signature"]})
    assert ADAPTERS["line"].verify(req, account) == req.body
    assert ADAPTERS["line"].parse(req.body, req, account) == []


@pytest.mark.parametrize("platform", ["whatsapp", "messenger"])
def test_m1_meta_signs_the_escaped_form(platform: str) -> None:
    vector = VECTORS["M1"]
    account = Account(platform, "main", {"APP_SECRET": vector["secret"]})
    body = vector["body"].encode()
    assert b"\\u4f60" in body
    req = request(body, headers={"x-hub-signature-256": vector["signature"]})
    assert ADAPTERS[platform].verify(req, account) == body
    rewritten = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    with pytest.raises(SignatureError):
        ADAPTERS[platform].verify(dataclasses.replace(req, body=rewritten), account)


def test_z1_zalo() -> None:
    vector = VECTORS["Z1"]
    account = Account("zalo", "main", {"APP_ID": "360846524940903967", "OA_SECRET": vector["secret"]})
    req = request(vector["body"].encode(), headers={"x-zevent-signature": vector["mac"]})
    (inbound,) = ADAPTERS["zalo"].parse(ADAPTERS["zalo"].verify(req, account), req, account)
    assert (inbound.text, inbound.sender, inbound.dedupe) == (
        "xin chào",
        "246845883529197922",
        "96d3cdf3af150460909",
    )


def test_t1_and_t2_twilio() -> None:
    account = Account("sms", "main", {"AUTH_TOKEN": "12345"})
    for name in ("T1", "T2"):
        vector = VECTORS[name]
        body = vector["body"] if "body" in vector else urlencode(vector["params"])
        query = {key: value[0] for key, value in parse_qs(urlsplit(vector["url"]).query).items()}
        req = request(
            body.encode(), headers={"x-twilio-signature": vector["signature"]}, url=vector["url"], query=query
        )
        assert ADAPTERS["sms"].verify(req, account) == req.body
        with pytest.raises(SignatureError):
            ADAPTERS["sms"].verify(dataclasses.replace(req, public_url="https://inside/myapp.php?foo=1&bar=2"), account)


def generic(secret: str) -> tuple[Account, RawRequest]:
    vector = VECTORS["G1"]
    headers = {
        "webhook-id": vector["id"],
        "webhook-timestamp": vector["timestamp"],
        "webhook-signature": f"v1,bad {VECTORS['G2']['signature']} {vector['signature']}",
    }
    return Account("generic", "main", {"SECRET": secret}), request(vector["body"].encode(), headers=headers)


@pytest.mark.parametrize("name", ["G1", "G2"])
def test_g1_and_g2_standard_webhooks(name: str) -> None:
    account, req = generic(VECTORS[name]["secret"])
    assert ADAPTERS["generic"].verify(req, account) == req.body
    for seconds in (-301, 301):
        with pytest.raises(SignatureError):
            ADAPTERS["generic"].verify(dataclasses.replace(req, received_at=req.received_at + seconds), account)
    for seconds in (-300, 300):
        ADAPTERS["generic"].verify(dataclasses.replace(req, received_at=req.received_at + seconds), account)


def test_a_secret_verifies_its_own_scheme_only() -> None:
    account, req = generic(VECTORS["G2"]["secret"])
    headers = {**req.headers, "webhook-signature": VECTORS["G1"]["signature"]}
    with pytest.raises(SignatureError):
        ADAPTERS["generic"].verify(dataclasses.replace(req, headers=headers), account)


def test_the_published_library_of_standard_webhooks_talks_to_ours() -> None:
    from datetime import UTC, datetime

    standardwebhooks = pytest.importorskip("standardwebhooks", reason="the Standard Webhooks library is not installed")
    secret = VECTORS["G1"]["secret"]
    library = standardwebhooks.Webhook(secret)
    now = datetime.now(UTC)
    signed = library.sign("msg_1", now, '{"a":"你"}')
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signed,
    }
    account = Account("generic", "main", {"SECRET": secret})
    body = '{"a":"你"}'.encode()
    ADAPTERS["generic"].verify(request(body, headers=headers, at=now.timestamp()), account)
    sample = ADAPTERS["generic"].sample("问", account, message_id="msg_2", sender="p", now=now.timestamp())
    assert library.verify(sample.body, dict(sample.headers))["data"]["text"] == "问"


def test_the_previous_secret_still_counts_while_it_rotates() -> None:
    account, req = generic("whsec_" + "QUFB" * 8)
    with pytest.raises(SignatureError):
        ADAPTERS["generic"].verify(req, account)
    rotating = Account("generic", "main", {**account.values, "SECRET_PREVIOUS": VECTORS["G1"]["secret"]})
    assert ADAPTERS["generic"].verify(req, rotating) == req.body


def test_helpers_take_any_text() -> None:
    assert same("é\ud800", "é\ud800")
    assert not same("é", "e")
    assert any_same("b", ["a", "b"])
    assert not any_same("b", [])
    for bad in ("", "x", "-1", "1e9", "٣", "9" * 40, " 1"):
        assert not is_recent(bad, 1.0, 10.0)
    assert is_recent("5", 1.0, 4.0)


def test_every_vector_is_used() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert VECTORS
    assert [name for name in VECTORS if f'"{name}"' not in source] == []
