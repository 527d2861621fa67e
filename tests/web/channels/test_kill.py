"""A server killed at any point, started again: each person gets the answer, once, and nothing is left half
done.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.web.channels.processes import ServerProcess
from tests.web.channels.server import KILL_POINTS
from tests.web.channels.support import StandIn, environment
from web.channels.accounts import read_channel_settings
from web.channels.registry import ADAPTERS

# uvicorn shuts down in order, and then ends by the signal that asked for it.
STOPPED = -signal.SIGTERM


def deliver(
    server: ServerProcess, settings: Any, platform: str, question: str, message_id: str, now: float
) -> httpx.Response | None:
    """A delivery as a platform makes it; None where the server died over it."""
    account = next(one for one in settings.accounts if one.platform == platform)
    sample = ADAPTERS[platform].sample(question, account, message_id=message_id, sender=f"person-{message_id}", now=now)
    try:
        return httpx.post(
            server.url + sample.path,
            content=sample.body,
            headers=dict(sample.headers),
            timeout=10,
            trust_env=False,
        )
    except httpx.TransportError:
        return None


def wait_for(engine: Any, query: str, wanted: Any, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with engine.begin() as connection:
            found = [tuple(row) for row in connection.execute(text(query))]
        if found == wanted:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("point", [point for point in KILL_POINTS if point != "after-handed"])
def test_killed_on_the_way_to_a_push(
    tmp_path: Path, database_url: str, stand_in: tuple[StandIn, str], point: str
) -> None:
    platforms, url = stand_in
    environ = environment("line", api_url=url) | {"GUITU_DATABASE_URL": database_url}
    settings = read_channel_settings(environ, data=tmp_path)
    server = ServerProcess(tmp_path, environ)
    now = float(int(time.time()))
    server.start(KILL_AT=point)
    first = deliver(server, settings, "line", "问题", "e1", now)
    server.wait_dead()
    server.start()
    try:
        if first is None:
            assert point == "after-commit"
            again = deliver(server, settings, "line", "问题", "e1", now)
            assert again is not None
            assert again.status_code == 200
        engine = create_engine(database_url)
        wait_for(
            engine,
            "SELECT e.state, o.state FROM event e JOIN outbox o ON o.event_id = e.id",
            [("answered", "sent")],
        )
        engine.dispose()
    finally:
        assert server.stop() == STOPPED
    assert len(platforms.accepted) == 1
    assert "问题" in platforms.texts[0]
    assert "Traceback" not in server.log


@pytest.mark.parametrize("point", ["after-commit", "after-answer", "after-handed"])
def test_killed_on_the_way_to_a_body(
    tmp_path: Path, database_url: str, stand_in: tuple[StandIn, str], point: str
) -> None:
    """WeChat brings the delivery again, and gets the answer that was stored."""
    _, url = stand_in
    environ = environment("wechat", api_url=url) | {"GUITU_DATABASE_URL": database_url}
    settings = read_channel_settings(environ, data=tmp_path)
    server = ServerProcess(tmp_path, environ)
    now = float(int(time.time()))
    server.start(KILL_AT=point)
    assert deliver(server, settings, "wechat", "问题", "1", now) is None
    server.wait_dead()
    server.start()
    try:
        bodies = []
        for _ in range(2):
            response = deliver(server, settings, "wechat", "问题", "1", now)
            assert response is not None
            assert response.status_code == 200
            bodies.append(response.content)
        assert b"<Encrypt>" in bodies[0]
        engine = create_engine(database_url)
        wait_for(engine, "SELECT state, mode FROM outbox", [("sent", "passive")])
        engine.dispose()
    finally:
        assert server.stop() == STOPPED


def test_two_servers_share_one_database(tmp_path: Path, postgres_server: str, stand_in: tuple[StandIn, str]) -> None:
    """The same deliveries at both at once: one answer each."""
    platforms, url = stand_in
    name = f"two{time.time_ns()}"
    engine = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    environ = environment("line", "wechat", api_url=url) | {
        "GUITU_DATABASE_URL": f"{postgres_server}/{name}",
        "GUITU_SECRET_KEY": "k" * 40,
    }
    settings = read_channel_settings(environ, data=tmp_path)
    servers = []
    now = float(int(time.time()))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        servers.append(ServerProcess(tmp_path / folder, environ))
    for server in servers:
        server.start(THINK_S="0.05")
    try:
        bodies: dict[str, set[int]] = {}
        lock = threading.Lock()

        def send(server: ServerProcess, number: int) -> None:
            platform = "line" if number % 2 else "wechat"
            response = deliver(server, settings, platform, f"问题{number}。", str(number), now)
            assert response is not None
            with lock:
                bodies.setdefault(str(number), set()).add(response.status_code)

        threads = [threading.Thread(target=send, args=(server, n)) for n in range(40) for server in servers]
        for start in range(0, len(threads), 16):
            for thread in threads[start : start + 16]:
                thread.start()
            for thread in threads[start : start + 16]:
                thread.join()
        assert all(found == {200} for found in bodies.values())
        assert len(bodies) == 40
        deadline = time.monotonic() + 15
        while len(platforms.accepted) < 20 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
    finally:
        assert [server.stop() for server in servers] == [STOPPED, STOPPED]
    assert len(platforms.accepted) == 20
    assert platforms.doubled == []
