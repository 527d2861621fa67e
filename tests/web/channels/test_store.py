"""The database under trouble: locked, wrong key, old, away; and what is kept of people."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.bench.channels_load import kill_run
from tests.web.channels.support import Clock, running
from web.channels.errors import ChannelSettingsError, KeyMismatchError, StoreError
from web.database import Database, metadata, upgrade
from web.vault import Vault, open_vault

pytestmark = pytest.mark.anyio


async def test_a_locked_database_answers_503_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.database.BUSY_TIMEOUT_S", 0.3)
    async with running(tmp_path, "telegram", "line") as run:
        other = sqlite3.connect(tmp_path / "guitu.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        sample = run.sample("telegram", "问")
        refused = await run.deliver(sample)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        # LINE may not bring it again: it goes to the second store, and is answered when the first one is
        # back.
        taken = await run.say("line", "只此一次")
        assert taken.status_code == 200
        assert len(list((tmp_path / "spill").glob("*.json"))) == 1
        assert "只此一次" not in next((tmp_path / "spill").glob("*.json")).read_text()
        other.execute("ROLLBACK")
        other.close()
        assert (await run.deliver(sample)).status_code == 200
        await run.until(lambda: run.states() == ["sent", "sent"], within_s=15)
        assert not list((tmp_path / "spill").glob("*.json"))
    assert sorted(text.split(" ")[0] for text in run.stand_in.texts) == ["答：只此一次", "答：问"]


def test_migrations_make_the_tables_of_the_code(database_url: str) -> None:
    database = Database(database_url, Vault(b"k" * 40))
    try:
        upgrade(database.engine)
        upgrade(database.engine)  # nothing to do, and nothing happens
        with database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        database.close()


def test_another_key_is_noticed_at_start(database_url: str) -> None:
    for key, is_right in ((b"a" * 40, True), (b"b" * 40, False), (b"a" * 40, True)):
        database = Database(database_url, Vault(key))
        try:
            if is_right:
                database.open()
            else:
                with pytest.raises(KeyMismatchError, match=r"channels\.key"):
                    database.open()
        finally:
            database.close()


def test_a_database_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    database = Database("postgresql://guitu:pass-word@127.0.0.1:1/none", Vault(b"k" * 40))
    with pytest.raises(StoreError) as caught:
        database.open()
    database.close()
    assert "pass-word" not in str(caught.value)
    for bad in ("mysql://x", "nonsense"):
        with pytest.raises(ChannelSettingsError):
            Database(bad, Vault(b"k" * 40))


def test_sqlite_is_safe_against_power_cuts(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}", Vault(b"k" * 40))
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


def test_the_key_file_is_private_and_stays(tmp_path: Path) -> None:
    first = open_vault("", tmp_path)
    assert stat.S_IMODE((tmp_path / "channels.key").stat().st_mode) == 0o600
    sealed = first.seal(b"x")
    assert open_vault("", tmp_path).open(sealed) == b"x"
    assert open_vault("", tmp_path).hide("a", "b") == first.hide("a", "b") != first.hide("ab")
    with pytest.raises(KeyMismatchError):
        open_vault("s" * 40, tmp_path).open(sealed)
    with pytest.raises(KeyMismatchError):
        first.open(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(ChannelSettingsError):
        open_vault("short", tmp_path)


async def test_nothing_of_a_person_is_readable_in_the_database(tmp_path: Path) -> None:
    async with running(tmp_path, "telegram", "whatsapp") as run:
        await run.say("telegram", "我的秘密问题", message_id="1", sender="77123456")
        await run.say("whatsapp", "我的秘密问题", message_id="wamid.secret", sender="8613912345678")
        await run.until(lambda: run.states() == ["sent"] * 2)
        with run.service.hub.database.engine.begin() as connection:
            for table in metadata.tables:
                for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                    text = repr(tuple(row))
                    for word in ("秘密", "77123456", "8613912345678", "wamid", "person"):
                        assert word not in text
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("guitu.db*"))
    assert "秘密".encode() not in raw
    assert b"8613912345678" not in raw


async def test_bodies_go_after_a_week_and_keys_after_a_month(tmp_path: Path, database_url: str) -> None:
    clock = Clock()
    async with running(tmp_path, "telegram", database_url=database_url, clock=clock) as run:
        await run.say("telegram", "问")
        await run.until(lambda: run.states() == ["sent"])
        clock.added_s = 8 * 86_400
        await run.service.upkeep.reconcile()
        assert run.rows("body", "event") == [(None,)]
        assert run.rows("payload") == [(None,)]
        clock.added_s = 31 * 86_400
        await run.service.upkeep.reconcile()
        assert run.rows("id", "event") == []
        assert run.rows("id") == []


async def test_a_dead_workers_message_is_taken_over(tmp_path: Path, database_url: str) -> None:
    """Another machine leased it and died: its lease ends, and the answer comes all the same."""
    clock = Clock()
    async with running(tmp_path, "line", database_url=database_url, clock=clock) as run:
        run.service.answering.running.update(range(-100, 0))  # too busy to take it at once
        await run.say("line", "问")
        with run.service.hub.database.engine.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE event SET state = 'leased', lease_owner = 'dead', tries = 1, lease_until = {time.time() + 50}"
            )
        run.service.answering.running.clear()
        await asyncio.sleep(1.2)
        assert run.stand_in.accepted == []
        clock.added_s = 60.0
        await run.until(lambda: run.states() == ["sent"])


async def test_three_hundred_deliveries_and_five_kills(tmp_path: Path, database_url: str) -> None:
    report = await kill_run(tmp_path, n_deliveries=300, database_url=database_url)
    print(report)
    assert report.n_answers == {1: 240}
    assert (report.lost, report.doubled, report.n_unequal_bodies) == ([], [], 0)
