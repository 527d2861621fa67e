"""Real processes for tests: the command line, and a server over the real corpus and model."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
START_LIMIT_S = 600


def guitu(*arguments: str, data: Path, stdin: str | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Runs the real command line with its data folder at `data`."""
    return subprocess.run(
        [sys.executable, "-m", "web", *arguments],
        cwd=REPOSITORY,
        env=environment(data, extra),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )


def environment(data: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without settings of its own, with the data folder at `data`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUITU_")}
    return {**kept, "GUITU_DATA": str(data), "GUITU_REQUESTS_PER_MINUTE": "100000", **(extra or {})}


def copy_data(source: Path, target: Path) -> Path:
    """A data folder of its own with the model of `source` (linked) and its index (copied)."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "models").symlink_to(source / "models")
    shutil.copytree(source / "index", target / "index")
    return target


@dataclass
class RunningServer:
    """A server process that answers at `url`."""

    url: str
    process: subprocess.Popen[str]
    data: Path


@contextlib.contextmanager
def running_server(data: Path, **extra: str) -> Iterator[RunningServer]:
    """Starts `guitu serve` on a free port and waits until it says that it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (data / "server.log").open("w", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "web", "serve", "--port", str(port)],
        cwd=REPOSITORY,
        env=environment(data, extra),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    killer = threading.Timer(START_LIMIT_S, process.kill)
    killer.start()
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        killer.cancel()
        assert "ready" in line, (data / "server.log").read_text("utf-8")
        yield RunningServer(f"http://127.0.0.1:{port}", process, data)
    finally:
        killer.cancel()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        log.close()
