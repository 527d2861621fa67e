"""Databases for the tests of messaging platforms: the same tests run on SQLite and on a real PostgreSQL
server.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.web.channels.support import StandIn

_SERVER_USER = "postgres"


def _find_server() -> tuple[Path, Path] | None:
    """`initdb` and `postgres`, wherever a package has put them."""
    packaged = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    folders = [*packaged, "/opt/homebrew/bin", "/usr/local/bin"]
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), *folders]:
        initdb, server = Path(folder) / "initdb", Path(folder) / "postgres"
        if initdb.exists() and server.exists():
            return initdb.resolve(), server.resolve()
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, without a database name."""
    found = _find_server()
    if found is None:
        pytest.skip("no PostgreSQL server was found (initdb, postgres); `apt-get install postgresql` brings it")
    initdb, server = found
    folder = Path(tempfile.mkdtemp(prefix="guitu-postgres-"))
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        # The server refuses to run as root.
        try:
            user = pwd.getpwnam(_SERVER_USER)
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user `postgres` to run it as")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, port = folder / "data", _free_port()
    made = subprocess.run(
        [initdb, "-D", data, "-U", "guitu", "-A", "trust", "-E", "UTF8", "--no-locale"],
        capture_output=True,
        text=True,
        cwd=folder,
        **as_user,  # type: ignore[call-overload]
    )
    assert made.returncode == 0, made.stderr
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                server,
                "-D",
                data,
                "-p",
                str(port),
                "-h",
                "127.0.0.1",
                "-k",
                folder,
                "-c",
                "max_connections=80",
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
            **as_user,  # type: ignore[call-overload]
        )
    address = f"postgresql+psycopg://guitu@127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                engine = create_engine(f"{address}/postgres")
                with engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                engine.dispose()
                break
            except Exception:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'guitu.db'}"
    address: str = request.getfixturevalue("postgres_server")
    # One database, emptied for each test: making one takes a thousand files each time.
    engine = create_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # What a killed server left open would hold locks on the tables.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return f"{address}/postgres"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stand_in() -> Iterator[tuple[StandIn, str]]:
    """The platforms' APIs behind a socket."""
    found = StandIn()
    server = found.server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
