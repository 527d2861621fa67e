"""From the delivery to the answer, on both databases: stored first, answered once, delivered or visibly
held.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.web.channels.support import PLATFORMS, Clock, running
from web.channels.registry import ADAPTERS

pytestmark = pytest.mark.anyio
BY_API = [name for name in PLATFORMS if not ADAPTERS[name].caps.passive_budget_s and name != "wechat_kf"]


@pytest.mark.parametrize("platform", BY_API)
async def test_answers_by_api(tmp_path: Path, database_url: str, platform: str) -> None:
    async with running(tmp_path, platform, database_url=database_url) as run:
        response = await run.say(platform, "热线有人接吗")
        assert response.status_code == 200
        await run.until(lambda: run.stand_in.accepted)
        await run.until(lambda: run.states() == ["sent"])
    assert "热线有人接吗" in run.stand_in.texts[0]
    assert len(run.stand_in.accepted) == 1


@pytest.mark.parametrize("platform", ["wechat", "wecom", "generic"])
async def test_answers_in_the_body(tmp_path: Path, database_url: str, platform: str) -> None:
    async with running(tmp_path, platform, database_url=database_url) as run:
        response = await run.say(platform, "热线有人接吗")
        assert response.status_code == 200
        assert len(response.content) > 60
        await run.until(lambda: run.rows("state, mode") == [("sent", "passive")])
    assert run.stand_in.accepted == []


@pytest.mark.parametrize("platform", [*BY_API, "wechat", "wecom", "generic"])
async def test_ten_deliveries_at_once_are_one(tmp_path: Path, database_url: str, platform: str) -> None:
    async with running(tmp_path, platform, database_url=database_url) as run:
        sample = run.sample(platform, "sleep 0.3")
        responses = await asyncio.gather(*(run.deliver(sample) for _ in range(10)))
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        if platform in BY_API:
            await run.until(lambda: run.states() == ["sent"])
            assert len(run.stand_in.accepted) == 1
        assert run.responder.asked == ["sleep 0.3"]
        assert run.rows("attempts", "event") == [(10,)]


@pytest.mark.parametrize("platform", ["wechat", "wecom"])
async def test_equal_message_ids_of_two_people_are_two_messages(
    tmp_path: Path, database_url: str, platform: str
) -> None:
    async with running(tmp_path, platform, database_url=database_url) as run:
        now = time.time()
        first = await run.say(platform, "甲的问题", message_id="7", sender="a", now=now)
        second = await run.say(platform, "乙的问题", message_id="7", sender="b", now=now)
        assert first.content != second.content
        assert sorted(run.responder.asked) == ["乙的问题", "甲的问题"]


@pytest.mark.parametrize("days", [0.25, 7])
async def test_a_late_repeat_is_not_answered_again(tmp_path: Path, database_url: str, days: float) -> None:
    clock = Clock()
    async with running(tmp_path, "telegram", database_url=database_url, clock=clock) as run:
        sample = run.sample("telegram", "问")
        await run.deliver(sample)
        await run.until(lambda: run.states() == ["sent"])
        clock.added_s = days * 86_400
        await run.service.upkeep.reconcile()
        assert (await run.deliver(sample)).status_code == 200
        await asyncio.sleep(0.2)
        assert len(run.stand_in.accepted) == 1
        assert run.responder.asked == ["问"]


async def test_messages_of_a_conversation_are_answered_in_order(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "line", database_url=database_url) as run:
        await run.say("line", "sleep 0.4 first", message_id="e1")
        await run.say("line", "second", message_id="e2")
        await run.say("line", "third", message_id="e3")
        await run.until(lambda: run.states() == ["sent"] * 3)
        assert [text.split("\n")[0][2:].split(" [")[0] for text in run.stand_in.texts] == [
            "sleep 0.4 first",
            "second",
            "third",
        ]


@pytest.mark.parametrize(
    ("act", "n_calls"),
    [("429", 2), ("500", 2), ("refuse", 2), ("lost", 2), ("hang", 2)],
)
@pytest.mark.parametrize("platform", ["line", "generic"])
async def test_a_misbehaving_platform_gets_the_answer_once(
    tmp_path: Path, database_url: str, platform: str, act: str, n_calls: int
) -> None:
    """With an id that the platform knows again, even a lost answer makes no double."""
    more = {"GENERIC_CALLBACK_URL": "https://stand-in.example/callback"} if platform == "generic" else None
    clock = Clock()
    async with running(tmp_path, platform, database_url=database_url, more=more, clock=clock) as run:
        run.stand_in.plan.append(act)
        if platform == "generic":
            # Nobody takes the body: the answer has to go to the callback.
            run.service.passive.has_waiter = lambda event_id: False  # type: ignore[method-assign]
            sample = run.sample("generic", "sleep 0.1")
            task = asyncio.create_task(run.deliver(sample))
            await run.until(lambda: len(run.rows("id", "event")) == 1)
            task.cancel()
            clock.added_s = 10.0
        else:
            await run.say("line", "问")
        await run.until(lambda: run.states() == ["sent"])
        sends = sum(count for path, count in run.stand_in.calls.items() if "loading" not in path)
        assert sends == n_calls
        assert len(run.stand_in.accepted) == 1


async def test_retry_after_is_obeyed(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "telegram", database_url=database_url) as run:
        run.stand_in.plan.append("429")
        run.stand_in.retry_after = 2
        started = time.monotonic()
        await run.say("telegram", "问")
        await run.until(lambda: run.states() == ["sent"])
        assert time.monotonic() - started >= 2.0
        assert len(run.stand_in.accepted) == 1


async def test_an_unknown_outcome_is_sent_once_more_and_then_given_up(tmp_path: Path, database_url: str) -> None:
    """Messenger knows no ids: one double at most, and the end is visible."""
    async with running(tmp_path, "messenger", database_url=database_url) as run:
        run.stand_in.plan.extend(["hang", "hang"])
        await run.say("messenger", "问")
        await run.until(lambda: run.states() == ["gave_up"])
        assert run.stand_in.calls["/me/messages"] == 2
        assert "outcome unknown" in run.rows()[0][2]


async def test_a_status_report_settles_an_unknown_outcome(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "whatsapp", database_url=database_url) as run:
        run.stand_in.plan.append("lost")
        await run.say("whatsapp", "问", sender="8613800000000")
        await run.until(lambda: run.rows("code") == [("waits for a status report",)])
        idem = run.rows("idem")[0][0]
        account = run.account("whatsapp")
        from web.channels import meta
        from web.channels.bodies import compact_json

        status = {"id": "wamid.1", "status": "delivered", "biz_opaque_callback_data": idem}
        body = compact_json({"entry": [{"changes": [{"value": {"statuses": [status]}}]}]})
        response = await run.client.post(account.path, content=body, headers=meta.signed_headers(body, account))
        assert response.status_code == 200
        assert run.states() == ["sent"]
        assert len(run.stand_in.accepted) == 1


async def test_refused_for_good_is_visible(tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, "line", database_url=database_url) as run:
        run.stand_in.plan.append("bad")
        await run.say("line", "秘密的问题")
        await run.until(lambda: run.states() == ["refused"])
    assert "refused it: 400" in caplog.text
    assert "秘密的问题" not in caplog.text


async def test_markup_refused_goes_out_plain(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "telegram", database_url=database_url) as run:
        run.stand_in.plan.append("markup")
        await run.say("telegram", "<b>问")
        await run.until(lambda: run.states() == ["sent"])
        (sent,) = run.stand_in.accepted
        assert "parse_mode" not in sent.body
        assert "<b>问" in sent.text


async def test_line_falls_back_from_token_to_push(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "line", database_url=database_url) as run:
        run.stand_in.plan.append("token")
        await run.say("line", "问")
        await run.until(lambda: run.states() == ["sent"])
        assert [one.by for one in run.stand_in.accepted] == ["api"]


async def test_a_closed_window_holds_the_answer_for_the_next_message(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "messenger", database_url=database_url) as run:
        run.stand_in.plan.append("window")
        await run.say("messenger", "第一问", message_id="m1")
        await run.until(lambda: run.states() == ["held"])
        await run.say("messenger", "第二问", message_id="m2")
        await run.until(lambda: run.states() == ["moved", "sent", "sent"])
        assert "第二问" in run.stand_in.texts[0]
        assert (
            run.stand_in.texts[1].startswith("Answer to your earlier question:")
            or "上次的回答" in run.stand_in.texts[1]
        )
        assert "第一问" in run.stand_in.texts[1]


@pytest.mark.parametrize("platform", ["telegram", "whatsapp", "messenger", "zalo", "sms"])
async def test_late_answers_wait_for_the_person(tmp_path: Path, database_url: str, platform: str) -> None:
    """An answer older than ten minutes could light up a screen that somebody else looks at."""
    clock = Clock()
    async with running(tmp_path, platform, database_url=database_url, clock=clock) as run:
        run.stand_in.plan.append("500")
        await run.say(platform, "第一问", message_id="1", sender="100")
        await run.until(lambda: run.rows("code") in ([("500",)], [("-32",)]))
        clock.added_s = 700.0
        await run.until(lambda: run.states() == ["held"])
        assert run.stand_in.accepted == []


async def test_a_person_who_may_be_watched_gets_neutral_first_lines(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "telegram", database_url=database_url) as run:
        await run.say("telegram", "trapped", message_id="1", sender="5")
        await run.until(lambda: run.states() == ["sent"])
        await run.say("telegram", "还有一问", message_id="2", sender="5")
        await run.until(lambda: run.states() == ["sent"] * 2)
        for text in run.stand_in.texts:
            assert text.startswith("您好，这是您之前想要的资料")
            assert not any(word in text[:40] for word in ("12308", "热线", "trapped", "答"))
        assert run.stand_in.texts[0].index("+86-10-12308") < run.stand_in.texts[0].index("答：")


async def test_late_pushes_to_watched_people_are_held_on_every_platform(tmp_path: Path, database_url: str) -> None:
    clock = Clock()
    async with running(tmp_path, "line", database_url=database_url, clock=clock) as run:
        await run.say("line", "trapped", message_id="1")
        await run.until(lambda: run.states() == ["sent"])
        run.stand_in.plan.append("500")
        await run.say("line", "又一问", message_id="2")
        await run.until(lambda: run.rows("code")[1:] == [("500",)])
        clock.added_s = 700.0
        await run.until(lambda: run.states() == ["sent", "held"])


async def test_forgetting(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "telegram", database_url=database_url) as run:
        await run.say("telegram", "秘密", message_id="1", sender="5")
        await run.until(lambda: run.states() == ["sent"])
        await run.say("telegram", "清除", message_id="2", sender="5")
        await run.until(lambda: run.rows("body", "event") == [(None,), (None,)])
        assert run.rows("payload, provider_id") == [(None, "")]
        with run.service.hub.database.engine.begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM conversation").scalar() == 0
            assert connection.exec_driver_sql("SELECT count(*) FROM page").scalar() == 0
        assert len(run.stand_in.accepted) == 1  # nothing more is sent


async def test_a_failing_bot_says_so(tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, "generic", database_url=database_url) as run:
        response = await run.say("generic", "boom 秘密")
        assert "No answer could be found just now" in response.text
    assert "秘密" not in caplog.text


async def test_the_answer_page(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "sms", database_url=database_url) as run:
        await run.say("sms", "<script>热线", sender="+15550001")
        await run.until(lambda: run.states() == ["sent"])
        url = next(word for word in run.stand_in.texts[0].split() if word.startswith("https://"))
        page = await run.client.get(url.removeprefix("https://guitu.example.org"))
        assert page.status_code == 200
        assert "&lt;script&gt;热线" in page.text
        assert "<script>" not in page.text
        assert (await run.client.get("/a/" + "x" * 22)).status_code == 404
