"""Starts, kills and restarts server processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

PROJECT = Path(__file__).resolve().parents[3]


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """One server process on a fixed port; it can be started again after it was killed."""

    def __init__(self, data: Path, environ: Mapping[str, str]) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("GUITU_")} | dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, "-m", "tests.web.channels.server", str(self.port), str(self.data)]
        with (self.data / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=PROJECT, env=self._environ | more, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 30
        while True:
            assert self._process.poll() is None, self.log
            try:
                httpx.get(f"{self.url}/hooks/none/none", timeout=1, trust_env=False)
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.05)

    def kill(self) -> None:
        """Ends it as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def wait_dead(self, within_s: float = 15) -> None:
        """Waits until it has killed itself."""
        assert self._process is not None
        assert self._process.wait(within_s) == -signal.SIGKILL, self.log

    def stop(self) -> int:
        """Ends it politely; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(15)

    @property
    def log(self) -> str:
        return (self.data / "server.log").read_text()
