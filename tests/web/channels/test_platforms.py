"""What is particular to a platform: its events, groups, echoes, tokens, and messages that have to be
fetched.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.web.channels.support import HOTLINE, FakeOfferChecker, Running, running
from tests.web.channels.test_hostile import account_of, signed
from web.channels.base import Inbound, RawRequest, SampleRequest
from web.channels.http import MAX_MEDIA_BYTES
from web.channels.registry import ADAPTERS
from web.channels.sms import signature as twilio_signature

pytestmark = pytest.mark.anyio


def parse(platform: str, found: dict[str, Any]) -> list[Inbound]:
    account = account_of(platform)
    body = json.dumps(found).encode()
    sample = signed(platform, body, account)
    headers = {name.lower(): value for name, value in sample.headers.items()}
    req = RawRequest("POST", "https://x", {}, headers, body, time.time())
    return ADAPTERS[platform].parse(body, req, account)


def telegram(**message: Any) -> list[Inbound]:
    base = {"message_id": 1, "chat": {"id": 5, "type": "private"}, "from": {"id": 5, "is_bot": False}}
    return parse("telegram", {"update_id": 9, "message": {**base, **message}})


def test_telegram_events() -> None:
    assert telegram(text="/start abc")[0].kind == "follow"
    assert telegram(text="问", **{"from": {"id": 5, "is_bot": True}}) == []
    photo = telegram(photo=[{"file_id": "small"}, {"file_id": "large"}], caption="看")[0]
    assert (photo.kind, photo.media[0].media_id, photo.text) == ("image", "large", "看")
    assert telegram(voice={"file_id": "v"})[0].kind == "voice"
    group = {"id": -7, "type": "supergroup"}
    assert telegram(text="大家好", chat=group) == []
    named = telegram(text="@Guitu_Bot 热线", chat=group)[0]
    assert (named.text, named.conversation) == ("热线", "-7")
    assert telegram(text="好", chat=group, reply_to_message={"from": {"is_bot": True, "username": "guitu_bot"}})
    assert telegram(text="好", chat=group, reply_to_message={"from": {"is_bot": True, "username": "other_bot"}}) == []
    gone = {
        "update_id": 1,
        "my_chat_member": {"chat": {"id": 5}, "from": {"id": 5}, "new_chat_member": {"status": "kicked"}},
    }
    assert parse("telegram", gone)[0].kind == "unfollow"


def line(**event: Any) -> list[Inbound]:
    base = {
        "webhookEventId": "e",
        "replyToken": "r",
        "source": {"type": "user", "userId": "U1"},
        "mode": "active",
    }
    return parse("line", {"events": [{**base, **event}]})


def test_line_events() -> None:
    text = {"type": "text", "id": "1", "text": "@归途 热线"}
    assert line(type="message", message=text, mode="standby") == []
    group = {"type": "group", "groupId": "G1", "userId": "U1"}
    assert line(type="message", message=text, source=group) == []
    mentioned = {**text, "mention": {"mentionees": [{"index": 0, "length": 3, "isSelf": True}]}}
    (inbound,) = line(type="message", message=mentioned, source=group)
    assert (inbound.text, inbound.conversation) == ("热线", "G1")
    emoji = {
        **text,
        "text": "😀@归途 热线",
        "mention": {"mentionees": [{"index": 2, "length": 3, "isSelf": True}]},
    }
    assert line(type="message", message=emoji, source=group)[0].text == "😀 热线"
    assert line(type="follow")[0].kind == "follow"
    assert line(type="unfollow")[0].kind == "unfollow"
    assert line(type="videoPlayComplete")[0].kind == "unknown"
    assert [mode.mode for mode in line(type="follow")[0].reply.modes] == ["token", "api"]


async def test_line_unsend_deletes_our_copy(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "line", database_url=database_url) as run:
        await run.say("line", "sleep 0.5 秘密")
        event = {
            "type": "unsend",
            "webhookEventId": "e2",
            "source": {"type": "user", "userId": "person-1"},
            "unsend": {"messageId": "1"},
        }
        await run.deliver(signed("line", json.dumps({"events": [event]}).encode(), run.account("line")))
        await asyncio.sleep(0.9)
        assert run.rows("state, body", "event") == [("withdrawn", None), ("noted", None)]
        assert run.stand_in.accepted == []


def test_messenger_and_zalo_echoes_are_ignored() -> None:
    echo = {"sender": {"id": "1"}, "message": {"mid": "m", "text": "x", "is_echo": True}}
    assert parse("messenger", {"entry": [{"messaging": [echo]}]}) == []
    read = {"sender": {"id": "1"}, "read": {"watermark": 1}}
    assert parse("messenger", {"entry": [{"messaging": [read]}]}) == []
    start = {"sender": {"id": "1"}, "timestamp": 1, "postback": {"payload": "GET_STARTED", "mid": "p"}}
    assert parse("messenger", {"entry": [{"messaging": [start]}]})[0].kind == "follow"
    assert parse("zalo", {"event_name": "oa_send_text", "sender": {"id": "1"}}) == []
    assert parse("zalo", {"event_name": "unfollow", "follower": {"id": "1"}})[0].kind == "unfollow"


def test_whatsapp_people_without_a_number() -> None:
    value = {
        "contacts": [{"user_id": "MY.abc123", "profile": {"username": "x"}}],
        "messages": [{"id": "wamid.1", "type": "text", "text": {"body": "问"}}],
        "statuses": [{"id": "wamid.0", "status": "read", "biz_opaque_callback_data": "i"}],
    }
    message, status = parse("whatsapp", {"entry": [{"changes": [{"value": value}]}]})
    assert (message.conversation, message.address["user_id"], message.address["phone"]) == (
        "MY.abc123",
        "MY.abc123",
        "",
    )
    assert (status.kind, status.meta["outcome"]) == ("status", "ok")
    other = {"metadata": {"phone_number_id": "999"}, "messages": [{"id": "1", "from": "1", "type": "text"}]}
    assert parse("whatsapp", {"entry": [{"changes": [{"value": other}]}]}) == []


def kf_message(number: int, text: str, **more: Any) -> dict[str, Any]:
    return {
        "msgid": f"kf{number}",
        "open_kfid": "wk_guitu",
        "external_userid": f"wm{number}",
        "send_time": int(time.time()),
        "origin": 3,
        "msgtype": "text",
        "text": {"content": text},
        **more,
    }


async def wake(run: Running) -> httpx.Response:
    return await run.say("wechat_kf", "", message_id="token")


async def test_kf_messages_are_fetched_once(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "wechat_kf", database_url=database_url) as run:
        run.stand_in.kf_page = 2
        run.stand_in.kf_messages = [kf_message(n, f"问{n}") for n in range(5)]
        run.stand_in.kf_messages.append(kf_message(5, "客服自己", origin=5))
        welcome = {
            "event_type": "enter_session",
            "welcome_code": "W",
            "open_kfid": "wk_guitu",
            "external_userid": "wm9",
        }
        run.stand_in.kf_messages.append(kf_message(9, "", msgtype="event", event=welcome, origin=4))
        responses = await asyncio.gather(*(wake(run) for _ in range(8)))
        assert {response.status_code for response in responses} == {200}
        await run.until(lambda: len(run.stand_in.accepted) == 6)
        greeting = next(one for one in run.stand_in.accepted if "code" in one.body)
        assert "自动回复" in greeting.text
        assert all(len(one.body["msgid"]) == 32 for one in run.stand_in.accepted)
        run.stand_in.kf_messages.append(kf_message(7, "后来的"))
        await wake(run)
        await run.until(lambda: len(run.stand_in.accepted) == 7)
        assert len(set(run.stand_in.texts)) == 7
        assert sorted(run.responder.asked) == ["后来的", "问0", "问1", "问2", "问3", "问4"]


async def test_kf_a_lost_answer_is_sent_again_under_the_same_id(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "wechat_kf", database_url=database_url) as run:
        run.stand_in.plan.append("lost")
        run.stand_in.kf_messages = [kf_message(1, "问")]
        await wake(run)
        await run.until(lambda: run.states() == ["sent"])
        assert run.stand_in.calls["/cgi-bin/kf/send_msg"] == 2
        assert len(run.stand_in.accepted) == 1


async def test_zalo_refresh_tokens_work_once_and_are_kept(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "zalo", database_url=database_url) as run:
        for number in range(3):
            await run.say("zalo", f"问{number}", message_id=str(number), sender=f"{number}")
        await run.until(lambda: run.states() == ["sent"] * 3)
        assert run.stand_in.n_tokens == 1
        run.stand_in.plan.append("token")
        await run.say("zalo", "问3", message_id="3", sender="3")
        await run.until(lambda: run.states() == ["sent"] * 4)
        assert run.stand_in.n_tokens == 2
    # A new process goes on with the key that the database holds, not with the first one of the settings.
    stand_in = run.stand_in
    async with running(tmp_path, "zalo", database_url=database_url, stand_in=stand_in) as again:
        stand_in.plan.append("token")
        await again.say("zalo", "问4", message_id="4", sender="4")
        await again.until(lambda: again.states() == ["sent"] * 5)
        assert stand_in.n_tokens == 3


async def test_sms_words_of_carriers(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "sms", database_url=database_url) as run:
        await run.say("sms", "HELP", message_id="SM1", sender="+15550001")
        await run.until(lambda: len(run.stand_in.accepted) == 1)
        assert "automated" in run.stand_in.texts[0]
        await run.say("sms", " Stop ", message_id="SM2", sender="+15550001")
        await asyncio.sleep(0.3)
        assert len(run.stand_in.accepted) == 1


async def test_a_cry_for_help_reaches_the_bot(tmp_path: Path) -> None:
    async with running(tmp_path, "telegram") as run:
        await run.say("telegram", "HELP", sender="5")
        await run.until(lambda: run.states() == ["sent"])
        assert run.responder.asked == ["HELP"]


async def test_telegram_rate_per_conversation(tmp_path: Path) -> None:
    """Three at once, then one a second: the platform would answer 429."""
    async with running(tmp_path, "telegram") as run:
        started = time.monotonic()
        for number in range(5):
            await run.say("telegram", f"问{number}", message_id=str(number), sender="5")
        await run.until(lambda: run.states() == ["sent"] * 5)
        assert time.monotonic() - started >= 1.5


async def test_generic_without_a_callback_asks_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from web.channels.generic import Generic

    monkeypatch.setattr(Generic, "caps", dataclasses.replace(Generic.caps, passive_budget_s=0.3))
    async with running(tmp_path, "generic") as run:
        sample = run.sample("generic", "sleep 0.8")
        first = await run.deliver(sample)
        assert (first.status_code, first.headers["retry-after"]) == (503, "2")
        await asyncio.sleep(0.9)
        second = await run.deliver(sample)
        assert second.status_code == 200
        assert run.responder.asked == ["sleep 0.8"]


MEDIA = "/2010-04-01/Accounts/AC0/Messages/MM1/Media/ME1"
STORE = "https://mms.twiliocdn.com/AC0/1?Expires=1"
PICTURE = b"\xff\xd8picture"


def mms(run: Running, url: str, text: str = "") -> SampleRequest:
    """A picture by MMS, signed as Twilio does."""
    account = run.account("sms")
    params = [("Body", text), ("From", "+15550001"), ("MediaContentType0", "image/jpeg"), ("MediaUrl0", url)]
    params += [("MessageSid", "MM1"), ("NumMedia", "1")]
    public_url = account.get("_PUBLIC_URL") + account.path
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": twilio_signature(account.get("AUTH_TOKEN"), public_url, params),
    }
    return SampleRequest("POST", account.path, headers, urlencode(params).encode())


@pytest.mark.parametrize("api", ["https://stand-in.example", "https://api.twilio.com"])
async def test_a_picture_by_mms_goes_to_the_offer_check(tmp_path: Path, api: str) -> None:
    checker = FakeOfferChecker()
    async with running(tmp_path, "sms", offer_checker=checker) as run:
        run.stand_in.moved[MEDIA] = STORE
        run.stand_in.pictures["/AC0/1"] = PICTURE
        await run.deliver(mms(run, api + MEDIA))
        await run.until(lambda: run.states() == ["sent"])
        assert checker.seen == [(None, PICTURE)]
        assert "高风险" in run.stand_in.texts[0]
        # The store is not shown the token.
        assert run.stand_in.shown[api + MEDIA] == "Basic " + b64encode(b"AC0:12345").decode()
        assert run.stand_in.shown[STORE] == ""


@pytest.mark.parametrize(("caption", "n_checked"), [("is this job real", 1), ("I am trapped here", 0)])
async def test_a_cry_for_help_beside_a_picture_brings_the_card(tmp_path: Path, caption: str, n_checked: int) -> None:
    checker = FakeOfferChecker()
    async with running(tmp_path, "sms", offer_checker=checker) as run:
        run.stand_in.pictures[MEDIA] = PICTURE
        await run.deliver(mms(run, "https://api.twilio.com" + MEDIA, caption))
        await run.until(lambda: run.states() == ["sent"])
        assert checker.seen == [(caption, PICTURE)][:n_checked]
        assert (HOTLINE.number in run.stand_in.texts[0]) == (n_checked == 0)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://evil.example" + MEDIA, id="foreign-host"),
        pytest.param("https://api.twilio.com.evil.example" + MEDIA, id="host-that-begins-alike"),
        pytest.param("http://api.twilio.com" + MEDIA, id="not-encrypted"),
        pytest.param("https://api.twilio.com:444" + MEDIA, id="other-port"),
        pytest.param("https://api.twilio.com" + MEDIA.replace("AC0", "AC1"), id="other-account"),
        pytest.param("https://mms.twiliocdn.com" + MEDIA, id="store-at-once"),
        pytest.param("", id="no-address"),
    ],
)
async def test_no_token_goes_to_a_foreign_address(tmp_path: Path, url: str) -> None:
    checker = FakeOfferChecker()
    async with running(tmp_path, "sms", offer_checker=checker) as run:
        run.stand_in.pictures[MEDIA] = run.stand_in.pictures[MEDIA.replace("AC0", "AC1")] = PICTURE
        await run.deliver(mms(run, url))
        await run.until(lambda: run.states() == ["sent"])
        assert checker.seen == []
        assert [one for one in run.stand_in.shown if "/Media/" in one] == []


@pytest.mark.parametrize(
    ("store", "again"),
    [
        pytest.param("https://evil.example/AC0/1", "", id="foreign"),
        pytest.param("file:///etc/passwd", "", id="no-web-address"),
        pytest.param("http://[", "", id="no-address"),
        pytest.param(STORE, "https://evil.example/AC0/2", id="foreign-at-the-second-step"),
        pytest.param(STORE, "https://mms.twiliocdn.com/AC0/2", id="too-many-steps"),
    ],
)
async def test_redirects_of_media_end_at_the_store(tmp_path: Path, store: str, again: str) -> None:
    checker = FakeOfferChecker()
    async with running(tmp_path, "sms", offer_checker=checker) as run:
        run.stand_in.moved[MEDIA] = store
        run.stand_in.pictures["/AC0/1"] = run.stand_in.pictures["/AC0/2"] = PICTURE
        if again:
            run.stand_in.moved["/AC0/1"] = again
        await run.deliver(mms(run, "https://api.twilio.com" + MEDIA))
        await run.until(lambda: run.states() == ["sent"])
        assert checker.seen == []
        assert run.stand_in.calls["/AC0/1"] == (1 if again else 0)
        assert run.stand_in.calls["/AC0/2"] == 0


@pytest.mark.parametrize(("n_more", "is_seen"), [(0, True), (1, False)])
async def test_media_have_a_largest_size(tmp_path: Path, n_more: int, is_seen: bool) -> None:
    checker = FakeOfferChecker()
    async with running(tmp_path, "sms", offer_checker=checker) as run:
        run.stand_in.moved[MEDIA] = STORE
        run.stand_in.pictures["/AC0/1"] = b"x" * (MAX_MEDIA_BYTES + n_more)
        await run.deliver(mms(run, "https://api.twilio.com" + MEDIA))
        await run.until(lambda: run.states() == ["sent"])
        assert bool(checker.seen) is is_seen
