"""WeChat: five seconds, three deliveries, and two kinds of accounts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.channels_load import open_wechat
from tests.web.channels.support import FakeOfferChecker, Running, running
from web.channels.base import HookResponse, SampleRequest
from web.channels.bodies import read_json
from web.channels.envelope import open_envelope, seal_envelope, sign, write_fields
from web.channels.wechat import WeChat

pytestmark = pytest.mark.anyio
SHORT_S = 0.8


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that is in more of a hurry, so that the tests need not wait for seconds."""
    import dataclasses

    monkeypatch.setattr("web.channels.wechat.BUDGET_S", SHORT_S)
    monkeypatch.setattr(WeChat, "caps", dataclasses.replace(WeChat.caps, passive_budget_s=SHORT_S))
    monkeypatch.setattr("web.messaging.passive.HOLD_OPEN_S", SHORT_S + 0.1)


def opened(run: Running, content: bytes) -> str:
    return open_wechat(content, run.account("wechat"))


def event(run: Running, name: str, key: str = "", *, as_json: bool = False, **more: Any) -> SampleRequest:
    """A sealed event, or with `MsgType` any message."""
    account = run.account("wechat")
    fields: dict[str, str | int] = {
        "ToUserName": "gh_guitu",
        "FromUserName": "person-1",
        "CreateTime": int(time.time()),
        "MsgType": "event",
        "Event": name,
        "EventKey": key,
        **more,
    }
    message = write_fields(fields, as_json=as_json).decode()
    encrypted = seal_envelope(account.get("AES_KEY"), message, account.get("APP_ID"))
    proof = sign(account.get("TOKEN"), "1", "2", encrypted)
    query = f"?timestamp=1&nonce=2&encrypt_type=aes&msg_signature={proof}"
    body = write_fields({"ToUserName": "gh_guitu", "Encrypt": encrypted}, as_json=as_json)
    return SampleRequest("POST", account.path + query, {}, body)


async def test_a_slow_answer_of_an_unverified_account_comes_with_a_later_delivery(
    tmp_path: Path, database_url: str, short: None
) -> None:
    """The first delivery is left open; the second, which WeChat makes when it gave up on the first, has the
    answer.
    """
    async with running(tmp_path, "wechat", database_url=database_url) as run:
        sample = run.sample("wechat", "sleep 1.2")
        first = await run.deliver(sample)
        assert first.status_code == 503  # nobody reads it: WeChat has hung up
        second = await run.deliver(sample)
        assert "sleep 1.2" in opened(run, second.content)
        assert run.responder.asked == ["sleep 1.2"]


async def test_a_very_slow_answer_is_promised_and_then_fetched(tmp_path: Path, database_url: str, short: None) -> None:
    async with running(tmp_path, "wechat", database_url=database_url) as run:
        sample = run.sample("wechat", "sleep 3.2")
        replies = [await run.deliver(sample) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [503, 503, 200]
        assert opened(run, replies[2].content) == "还在查，请稍后回复 1 取结果。"
        await run.until(lambda: run.states() == ["held"])
        fetched = await run.say("wechat", "1", message_id="1002")
        assert opened(run, fetched.content).startswith("上次的回答：\n答：sleep 3.2")
        await run.until(lambda: run.states() == ["moved", "sent"])
        assert run.responder.asked == ["sleep 3.2"]


async def test_another_question_brings_the_held_answer_along(tmp_path: Path, short: None) -> None:
    async with running(tmp_path, "wechat") as run:
        sample = run.sample("wechat", "sleep 3.2")
        for _ in range(3):
            await run.deliver(sample)
        await run.until(lambda: run.states() == ["held"])
        both = opened(run, (await run.say("wechat", "第二问", message_id="1002")).content)
        assert both.index("第二问") < both.index("上次的回答：") < both.index("sleep 3.2")


async def test_a_slow_answer_of_a_verified_account_is_pushed(tmp_path: Path, database_url: str, short: None) -> None:
    more = {"WECHAT_VERIFIED": "true"}
    async with running(tmp_path, "wechat", database_url=database_url, more=more) as run:
        reply = await run.say("wechat", "sleep 1.2 你好")
        assert reply.content == b"success"
        await run.until(lambda: run.states() == ["sent"])
        (sent,) = run.stand_in.accepted
        assert "你好" in sent.text
        # A delivery that comes again now must not bring the answer a second time.
        again = await run.deliver(run.sample("wechat", "sleep 1.2 你好"))
        assert again.content == b"success" or run.responder.asked.count("sleep 1.2 你好") == 2


async def test_pushes_are_written_without_escapes() -> None:
    from web.channels.bodies import compact_json

    assert compact_json({"content": "你好"}) == '{"content":"你好"}'.encode()


async def test_one_token_refresh_for_all(tmp_path: Path, database_url: str, short: None) -> None:
    more = {"WECHAT_VERIFIED": "true"}
    async with running(tmp_path, "wechat", database_url=database_url, more=more) as run:
        run.stand_in.plan.append("token")
        now = time.time()
        samples = [run.sample("wechat", f"sleep 0.9 {n}", message_id=str(n), sender=f"p{n}", now=now) for n in range(6)]
        await asyncio.gather(*(run.deliver(sample) for sample in samples))
        await run.until(lambda: run.states() == ["sent"] * 6, within_s=15)
        # One at first, and one (forced where needed) after the refusal; never one for each message.
        assert run.stand_in.n_tokens <= 3
        assert len(run.stand_in.accepted) == 6


async def test_the_quota_is_counted(tmp_path: Path, short: None) -> None:
    async with running(tmp_path, "wechat", more={"WECHAT_VERIFIED": "true"}) as run:
        await run.say("wechat", "sleep 1.2")
        await run.until(lambda: run.states() == ["sent"])
        with run.service.hub.database.engine.begin() as connection:
            assert connection.exec_driver_sql("SELECT quota_left FROM conversation").scalar() == 4
            connection.exec_driver_sql("UPDATE conversation SET quota_left = 0")
        # Each message of the person fills it again.
        await run.say("wechat", "sleep 1.3", message_id="1002")
        await run.until(lambda: run.states() == ["sent", "sent"])


@pytest.mark.parametrize("code", ["window"])
async def test_a_closed_window_holds(tmp_path: Path, short: None, code: str) -> None:
    async with running(tmp_path, "wechat", more={"WECHAT_VERIFIED": "true"}) as run:
        run.stand_in.plan.append(code)
        await run.say("wechat", "sleep 1.2")
        await run.until(lambda: run.states() == ["held"])
        assert run.rows("code") == [("45015",)]


@pytest.mark.parametrize("as_json", [False, True])
async def test_greeting_and_answers_have_the_form_of_the_question(tmp_path: Path, as_json: bool) -> None:
    async with running(tmp_path, "wechat") as run:
        response = await run.deliver(event(run, "subscribe", "qrscene_1", as_json=as_json))
        account = run.account("wechat")
        if as_json:
            sealed = read_json(response.content)
            assert set(sealed) == {"Encrypt", "MsgSignature", "TimeStamp", "Nonce"}
            message = read_json(
                open_envelope(account.get("AES_KEY"), sealed["Encrypt"], account.get("APP_ID")).encode()
            )
            assert sealed["MsgSignature"] == sign(
                account.get("TOKEN"), str(sealed["TimeStamp"]), sealed["Nonce"], sealed["Encrypt"]
            )
            text = message["Content"]
            assert (message["ToUserName"], message["FromUserName"]) == ("person-1", "gh_guitu")
        else:
            text = opened(run, response.content)
        assert "自动回复" in text


async def test_events(tmp_path: Path) -> None:
    async with running(tmp_path, "wechat") as run:
        assert (await run.deliver(event(run, "VIEW", "https://x"))).content == b"success"
        assert (await run.deliver(event(run, "TEMPLATESENDJOBFINISH"))).content == b"success"
        assert run.service.hub.counts["unknown"] == 2
        clicked = await run.deliver(event(run, "CLICK", "热线怎么打"))
        assert "热线怎么打" in opened(run, clicked.content)
        voice = await run.deliver(event(run, "", MsgType="voice", Recognition="语音问题", MsgId="5"))
        assert "语音问题" in opened(run, voice.content)
        mute = await run.deliver(event(run, "", MsgType="voice", MsgId="6"))
        assert opened(run, mute.content) == "这里只能读文字，请把问题打成文字发过来。"
        place = await run.deliver(event(run, "", MsgType="location", Label="妙瓦底", MsgId="7"))
        assert "我在妙瓦底" in opened(run, place.content)
        gone = await run.deliver(event(run, "unsubscribe"))
        assert gone.content == b"success"
        assert {row[0] for row in run.rows("body", "event")} == {None}


async def test_pictures_go_to_the_offer_check(tmp_path: Path) -> None:
    checker = FakeOfferChecker()
    async with running(tmp_path, "wechat", offer_checker=checker) as run:
        run.stand_in.pictures["/1.jpg"] = b"\xff\xd8picture"
        url = "http://mmbiz.qpic.cn/1.jpg"
        shown = await run.deliver(event(run, "", MsgType="image", PicUrl=url, MediaId="m", MsgId="1"))
        assert opened(run, shown.content) == "高风险：要求先垫付。"
        assert checker.seen == [(None, b"\xff\xd8picture")]
        # A host that is not the platform's is never asked.
        bad = await run.deliver(event(run, "", MsgType="image", PicUrl="http://evil.example/1.jpg", MsgId="2"))
        assert "只能读文字" in opened(run, bad.content)
        assert run.stand_in.calls["/1.jpg"] == 1


async def test_plain_mode_works_and_safe_mode_refuses_plain(tmp_path: Path) -> None:
    from urllib.parse import urlsplit

    async with running(tmp_path, "wechat", more={"WECHAT_MODE": "plain"}) as plain:
        sample = plain.sample("wechat", "明文]]>问题")
        assert urlsplit(sample.path).query.count("msg_signature") == 0
        response = await plain.deliver(sample)
        assert response.status_code == 200
        assert b"<Content>" in response.content
    (tmp_path / "safe").mkdir()
    async with running(tmp_path / "safe", "wechat") as safe:
        assert (await safe.deliver(sample)).status_code == 401


async def test_a_client_that_is_gone_leaves_the_answer_owed(tmp_path: Path, short: None) -> None:
    """The body cannot be written: for a verified account the answer is pushed instead."""
    async with running(tmp_path, "wechat", more={"WECHAT_VERIFIED": "true"}) as run:
        original = run.service.intake.deliver

        async def is_gone() -> bool:
            return True

        async def deliver(*args: Any, **kwargs: Any) -> HookResponse:
            return await original(*args, is_gone=is_gone)

        run.service.intake.deliver = deliver  # type: ignore[method-assign]
        await run.say("wechat", "sleep 0.1")
        await run.until(lambda: run.states() == ["sent"])
        assert len(run.stand_in.accepted) == 1


async def test_shutdown_gives_leases_back(tmp_path: Path, short: None) -> None:
    url = f"sqlite:///{tmp_path / 'guitu.db'}"
    async with running(tmp_path, "wechat", database_url=url) as run:
        task = asyncio.create_task(run.say("wechat", "sleep 1.0"))
        await run.until(lambda: run.rows("state", "event") == [("leased",)])
        await run.service.stop()
        response = await task
        assert response.status_code in (200, 503)
    async with running(tmp_path, "wechat", database_url=url) as again:
        await again.until(lambda: again.rows("state", "event") == [("answered",)])
