"""A platform that falls silent, is rejected every time, or takes no answers is visible to the operator."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update
from starlette.concurrency import run_in_threadpool

from tests.web.channels.support import Clock, Running, environment, running
from tests.web.channels.test_accounts import parse
from tests.web.test_metrics import LINE
from web import channels_cli
from web.api import router
from web.channels.base import SampleRequest
from web.channels.errors import StoreError
from web.channels.registry import ADAPTERS
from web.database import outbox
from web.messaging.watch import MANY_REJECTED, SILENT_AFTER_S, AccountState
from web.metrics import Metrics

pytestmark = pytest.mark.anyio
LINE_MAIN = '{platform="line",account="main"}'


def forged(sample: SampleRequest) -> SampleRequest:
    """The delivery as a platform signs it that has another secret."""
    return replace(sample, headers={**sample.headers, "x-line-signature": "AAAA"})


async def metrics_of(run: Running) -> dict[str, float]:
    """What `/metrics` says, once the service has looked."""
    run.app.state.metrics = Metrics()
    if not any(getattr(route, "path", "") == "/metrics" for route in run.app.routes):
        run.app.include_router(router)
    await run.service.upkeep.sweep()
    response = await run.client.get("/metrics")
    lines = [line for line in response.text.splitlines() if line]
    assert lines
    assert all(LINE.fullmatch(line) for line in lines), response.text
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_metrics_tell_of_each_account(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, "line", "telegram", database_url=database_url) as run:
        before = await metrics_of(run)
        assert before[f"guitu_channel_last_delivery_timestamp_seconds{LINE_MAIN}"] == 0
        assert before[f"guitu_channel_rejected_total{LINE_MAIN}"] == 0
        await run.say("line", "问")
        await run.until(lambda: run.states() == ["sent"])
        for n in range(2):
            refused = await run.deliver(forged(run.sample("line", "问", message_id=f"forged-{n}")))
            assert refused.status_code == 401
        assert (await run.client.get("/hooks/line/main")).status_code == 401  # a browser, not the platform
        run.stand_in.plan.append("bad")
        await run.say("line", "又问", message_id="2")
        await run.until(lambda: run.states() == ["sent", "refused"])
        found = await metrics_of(run)
        assert abs(found[f"guitu_channel_last_delivery_timestamp_seconds{LINE_MAIN}"] - time.time()) < 60
        assert found[f"guitu_channel_rejected_total{LINE_MAIN}"] == 2
        assert found[f"guitu_channel_given_up{LINE_MAIN}"] == 1
        assert found[f"guitu_channel_unsent{LINE_MAIN}"] == 0
        assert found['guitu_channel_given_up{platform="telegram",account="main"}'] == 0
        assert found['guitu_channel_steps_total{step="received"}'] == 2
    # Kept over a restart.
    async with running(tmp_path, "line", "telegram", database_url=database_url) as run:
        assert (await metrics_of(run))[f"guitu_channel_rejected_total{LINE_MAIN}"] == 2


async def test_a_simulation_is_no_sign_of_life(tmp_path: Path) -> None:
    async with running(tmp_path, "line") as run:
        assert (await run.say("line", "问", sender=ADAPTERS["line"].simulated_sender())).status_code == 200
        assert (await metrics_of(run))[f"guitu_channel_last_delivery_timestamp_seconds{LINE_MAIN}"] == 0


async def test_silence_is_logged_and_ends(tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    async with running(tmp_path, "line", database_url=database_url, clock=clock) as run:
        await run.say("line", "问")
        await run.service.upkeep.sweep()
        await run.service.upkeep.reconcile()
        assert "no delivery since" not in caplog.text
        clock.added_s = SILENT_AFTER_S + 60
        await run.service.upkeep.reconcile()
        assert "/hooks/line/main: no delivery since" in caplog.text
        caplog.clear()
        await run.say("line", "又问", message_id="2")
        await run.service.upkeep.sweep()
        await run.service.upkeep.reconcile()
        assert "no delivery since" not in caplog.text


async def test_rounds_that_meet_leave_what_was_read_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, "line") as run:
        watch, database = run.service.watch, run.service.hub.database
        await watch.save()
        has_read, may_end, do = asyncio.Event(), asyncio.Event(), database.run

        async def slow(work: Callable[[Connection], Any]) -> Any:
            """Has read, but hands it back later."""
            found = await do(work)
            has_read.set()
            await may_end.wait()
            return found

        monkeypatch.setattr(database, "run", slow)
        before = asyncio.create_task(watch.save())
        await has_read.wait()
        watch.accept(run.service.hub.accounts["line", "main"])
        monkeypatch.setattr(database, "run", do)
        after = asyncio.create_task(watch.save())
        await asyncio.wait([after], timeout=0.5)
        may_end.set()
        await asyncio.gather(before, after)
        assert watch.states["line", "main"].accepted_at


async def test_check_tells_of_rejected_deliveries_and_of_answers_given_up(tmp_path: Path) -> None:
    environ = environment("line")

    def check() -> tuple[int, str]:
        out = io.StringIO()
        return channels_cli.run(parse("check"), environ, tmp_path, out=out), out.getvalue()

    async with running(tmp_path, "line") as run:
        for n in range(MANY_REJECTED):
            await run.deliver(forged(run.sample("line", "问", message_id=f"forged-{n}")))
        await run.service.upkeep.sweep()
        states = run.service.watch.states
        assert states["line", "main"].complaints(time.time()) != []
        await run.say("line", "问")
        await run.until(lambda: run.states() == ["sent"])
        await run.service.upkeep.sweep()
        assert states != run.service.watch.states
        assert run.service.watch.states["line", "main"].complaints(time.time()) == []
        for n in range(MANY_REJECTED):
            await run.deliver(forged(run.sample("line", "问", message_id=f"again-{n}")))
        with run.service.hub.database.engine.begin() as connection:
            connection.execute(update(outbox).values(state="held", code="gave up after 9: 401"))
    status, text = await run_in_threadpool(check)
    assert status == 1
    assert "! 3 deliveries were rejected since the last good one" in text
    assert f"last delivery {time.strftime('%Y-%m-%d', time.gmtime())}" in text
    assert "rejected 6, the last one" in text
    assert "given up 1 (gave up after 9: 401: 1)" in text


async def test_counts_survive_a_locked_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.database.BUSY_TIMEOUT_S", 0.2)
    async with running(tmp_path, "line") as run:
        watch = run.service.watch
        await run.say("line", "问")
        await run.until(lambda: run.states() == ["sent"])
        await run.deliver(forged(run.sample("line", "问")))
        await watch.save()
        other = sqlite3.connect(tmp_path / "guitu.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            await run.deliver(forged(run.sample("line", "问")))
            with pytest.raises(StoreError):
                await watch.save()
            assert watch.states["line", "main"].n_rejected == 1
        other.execute("ROLLBACK")
        other.close()
        await watch.save()
        state = watch.states["line", "main"]
        assert (state.n_rejected, state.n_rejected_since) == (3, 3)


def test_words_for_the_operator() -> None:
    assert AccountState().told() == "no delivery yet, rejected 0"
    assert AccountState().complaints(1e9) == []  # an account that is not in use yet is no alarm
    (complaint,) = AccountState(rejected_at=1.0, n_rejected=9, n_rejected_since=9).complaints(60.0)
    assert complaint.startswith("9 deliveries were rejected and none was good")
    assert AccountState(accepted_at=86_400.0).told() == "last delivery 1970-01-02 00:00 UTC, rejected 0"
