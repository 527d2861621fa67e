"""A real browser: Debian's Chromium, driven by Playwright. Where it is missing, these tests are skipped."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.browser.tools import REPOSITORY

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e '.[dev]')")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 860}
OPEN_LIMIT_S = 60
SCREENSHOTS = REPOSITORY / "var" / "screenshots"
# Where quick exit leads is answered here: no test leaves this machine.
NEUTRAL = ("https://www.baidu.com/", "https://www.google.com/")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (bash tests/install_browser.sh)")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages in contexts of their own. `page.problems` gathers what goes wrong."""
    contexts = []

    def opened(url: str | None = None, **options: Any) -> Any:
        options = {"viewport": PHONE, "locale": "zh-CN", "service_workers": "block", **options}
        context = browser.new_context(**options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        # Chromium takes navigations away from service workers where requests are intercepted.
        for neutral in NEUTRAL if options["service_workers"] == "block" else ():
            context.route(neutral, _sunny)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda said: _note(page, said))
        if url:
            page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


def _sunny(route: Any) -> None:
    route.fulfill(content_type="text/html", body="<title>weather</title>sunny")


def _note(page: Any, said: Any) -> None:
    # What the network refuses is reported by the browser too; tests that break the network expect it.
    expected = ("Failed to load resource", "blocked by Playwright")
    if said.type in ("error", "warning") and not any(text in said.text for text in expected):
        page.problems.append(said.text)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _served(*arguments: str, probe: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "fake_app.py"), *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        until = time.monotonic() + OPEN_LIMIT_S
        while True:
            try:
                urllib.request.urlopen(probe, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "the fake server ended"
                assert time.monotonic() < until, "the fake server does not answer"
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def ports() -> tuple[int, int]:
    """Ports of the fake server and of the hosts' pages: two origins, as in life."""
    return free_port(), free_port()


@pytest.fixture(scope="session")
def fake(ports: tuple[int, int]) -> Iterator[str]:
    """The address of a server with canned answers, which allows the origin of `host`."""
    with _served(str(ports[0]), f"http://127.0.0.1:{ports[1]}", probe=f"http://127.0.0.1:{ports[0]}/robots.txt"):
        yield f"http://127.0.0.1:{ports[0]}"


@pytest.fixture(scope="session")
def host(ports: tuple[int, int], fake: str) -> Iterator[str]:
    """The address of a server with pages of other people that embed the widget of `fake`."""
    with _served(str(ports[1]), "host", fake, probe=f"http://127.0.0.1:{ports[1]}/neutral"):
        yield f"http://127.0.0.1:{ports[1]}"


@pytest.fixture
def shot() -> Callable[..., None]:
    """Keeps a screenshot under var/screenshots."""

    def keep(page: Any, name: str, **options: Any) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        if options:
            page.screenshot(path=path, **options)
            return
        # As the screen shows it: Playwright's own capture is off by the overflow of a page that runs
        # from right to left.
        shown = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(shown["data"]))

    return keep
