"""Two load runs of the messaging platforms, against a real server process with a fake bot.

    python -m tests.bench.channels_load kill [--deliveries 10000] [--database URL]
    python -m tests.bench.channels_load wechat [--rate 50] [--seconds 60] [--think 0.02] [--url URL]

`kill`: signed deliveries to WeChat, LINE and signed JSON, a fifth of them repeats; the server is killed five
times on the way. Each message has to be answered exactly once. `wechat`: passive replies at a steady rate,
open loop: late answers do not slow the senders down. With `--url` a running server is asked the Chinese development
questions, with the accounts in the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import httpx

from bot.question_set import read_questions
from tests.web.channels.processes import ServerProcess
from tests.web.channels.support import StandIn, environment
from web.channels.accounts import read_channel_settings
from web.channels.base import Account, SampleRequest
from web.channels.envelope import open_envelope
from web.channels.registry import ADAPTERS

PLATFORMS = ("wechat", "line", "generic")
REPEATS = 0.2
N_KILLS = 5
AT_ONCE = 24


@dataclass
class KillReport:
    """What came of the run with kills."""

    n_deliveries: int
    n_repeats: int
    n_messages: int
    n_kills: int
    n_http: Counter[str]
    n_asked_again: int = 0
    n_never_arrived: int = 0
    n_answers: Counter[int] = field(default_factory=Counter)
    n_unequal_bodies: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    seconds: float = 0.0
    states: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.n_deliveries} deliveries ({self.n_repeats} of them repeats) of {self.n_messages} "
            f"messages, server killed {self.n_kills} times, {self.seconds:.0f} s\n"
            f"people who had to write again, because WeChat met a dead server three times: "
            f"{self.n_asked_again} (of which never reached us: {self.n_never_arrived})\n"
            f"answers per message: {dict(sorted(self.n_answers.items()))}; lost {len(self.lost)}, "
            f"doubled {len(self.doubled)}, repeats with another body {self.n_unequal_bodies}\n"
            f"HTTP as the platforms saw it: {dict(self.n_http)}\nrows in the end: {dict(self.states)}"
        )


class Platforms:
    """Sends as the platforms do: WeChat three times, 5 s apart; the others until they are heard."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.n_http: Counter[str] = Counter()
        self.bodies: dict[str, list[bytes]] = defaultdict(list)

    async def deliver(self, client: httpx.AsyncClient, platform: str, key: str, sample: SampleRequest) -> None:
        for attempt in range(3 if platform == "wechat" else 60):
            started = time.monotonic()
            try:
                response = await client.request(
                    sample.method,
                    self.server.url + sample.path,
                    headers=dict(sample.headers),
                    content=sample.body,
                    timeout=5.0 if platform == "wechat" else 10.0,
                )
                self.n_http[str(response.status_code)] += 1
                if response.status_code in (200, 202):
                    if response.status_code == 200:
                        self.bodies[key].append(response.content)
                    return
            except httpx.TransportError as error:
                self.n_http[type(error).__name__] += 1
            pause_s = 5.0 if platform == "wechat" else min(0.3 * 2**attempt, 3.0)
            await asyncio.sleep(max(pause_s - (time.monotonic() - started), 0.05))
        self.n_http[f"{platform} gave up"] += 1


async def kill_run(data: Path, *, n_deliveries: int, database_url: str | None, seed: int = 7) -> KillReport:
    """The run with kills; nothing is assumed about its outcome."""
    chance = random.Random(seed)
    stand_in = StandIn()
    api = stand_in.server
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    api_url = f"http://127.0.0.1:{api.server_address[1]}"
    environ = environment(*PLATFORMS, api_url=api_url, more={"GENERIC_CALLBACK_URL": f"{api_url}/callback"})
    if database_url:
        environ |= {"GUITU_DATABASE_URL": database_url, "GUITU_SECRET_KEY": "k" * 40}
    settings = read_channel_settings(environ, data=data)
    accounts = {account.platform: account for account in settings.accounts}
    n_repeats = int(n_deliveries * REPEATS)
    n_messages = n_deliveries - n_repeats
    messages: dict[str, tuple[str, SampleRequest]] = {}
    now = float(int(time.time()))
    for number in range(n_messages):
        platform = PLATFORMS[number % len(PLATFORMS)]
        key = f"问题{number:06d}"
        # Several messages of one person, so that order within a conversation is at stake too.
        sample = ADAPTERS[platform].sample(
            key,
            accounts[platform],
            message_id=f"id{number}",
            sender=f"person{number % 997}-{number}",
            now=now,
        )
        messages[key] = (platform, sample)
    queue = list(messages)
    for key in chance.sample(sorted(messages), n_repeats):
        # A repeat comes soon after, or much later.
        queue.insert(min(len(queue), queue.index(key) + 1 + int(chance.expovariate(1 / 400))), key)
    server = ServerProcess(data, environ)
    server.start(LEASE_S="4", THINK_S="0.005")
    senders = Platforms(server)
    kills = [int(len(queue) * (n + 1) / (N_KILLS + 1)) for n in range(N_KILLS)]
    n_asked_again = n_never_arrived = 0
    started = time.monotonic()
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> None:
            async with gate:
                await senders.deliver(client, messages[key][0], key, messages[key][1])

        running: set[asyncio.Task[None]] = set()
        for number, key in enumerate(queue):
            if kills and number >= kills[0]:
                kills.pop(0)
                server.kill()
                await asyncio.to_thread(server.start, LEASE_S="4", THINK_S="0.005")
            while len(running) >= AT_ONCE:
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.add(asyncio.create_task(one(key)))
        await asyncio.gather(*running)
        # All three deliveries met a dead server: the person sees that nothing comes and writes again. What
        # was stored is held for exactly that; what never reached us the person has to ask once more.
        wechat = accounts["wechat"]
        for key, (platform, _) in messages.items():
            if platform != "wechat" or senders.bodies[key]:
                continue
            n_asked_again += 1
            sender = f"person{int(key[2:]) % 997}-{int(key[2:])}"
            for attempt, text in enumerate(("1", key)):
                sample = ADAPTERS["wechat"].sample(
                    text, wechat, message_id=f"again{attempt}-{key[2:]}", sender=sender, now=now
                )
                await senders.deliver(client, "wechat", key, sample)
                if key in open_wechat(senders.bodies[key][-1], wechat):
                    break
                n_never_arrived += 1
                senders.bodies[key].clear()
    n_lines = sum(1 for platform, _ in messages.values() if platform == "line")
    deadline = time.monotonic() + 60
    while sum(one.platform == "line" for one in stand_in.accepted) < n_lines and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await asyncio.sleep(6)  # whatever would still come, comes
    seconds = time.monotonic() - started
    server.stop()
    api.shutdown()
    api.server_close()
    report = KillReport(n_deliveries, n_repeats, n_messages, N_KILLS, senders.n_http, n_asked_again, seconds=seconds)
    _count(report, messages, senders, stand_in, accounts["wechat"])
    _count_rows(report, settings.database_url)
    return report


def _count(
    report: KillReport,
    messages: dict[str, tuple[str, SampleRequest]],
    senders: Platforms,
    stand_in: StandIn,
    wechat: Account,
) -> None:
    pushed: Counter[str] = Counter()
    for accepted in stand_in.accepted:
        found = re.search(r"问题\d{6}", accepted.text)
        assert found, "an answer without its question"
        pushed[found.group()] += 1
    for key, (platform, _) in messages.items():
        told = set()
        for body in senders.bodies[key]:
            clear = open_wechat(body, wechat) if platform == "wechat" else body.decode()
            if key in clear:
                told.add(clear)
        if len(told) > 1:
            report.n_unequal_bodies += 1
        n_answers = len(told) + pushed[key]
        report.n_answers[n_answers] += 1
        if n_answers == 0:
            report.lost.append(f"{platform} {key}")
        elif n_answers > 1:
            report.doubled.append(f"{platform} {key}")


def _count_rows(report: KillReport, database_url: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(database_url)
    with engine.connect() as connection:
        for table in ("event", "outbox"):
            for state, count in connection.execute(text(f"SELECT state, count(*) FROM {table} GROUP BY state")):
                report.states[f"{table} {state}"] = count
    engine.dispose()


def open_wechat(body: bytes, account: Account) -> str:
    """The text of a sealed passive reply, "" where there is none."""
    if not body.startswith(b"<xml>"):
        return ""
    encrypted = ElementTree.fromstring(body).findtext("Encrypt") or ""
    message = open_envelope(account.get("AES_KEY"), encrypted, account.get("APP_ID"))
    return ElementTree.fromstring(message).findtext("Content") or ""


def chinese_questions() -> list[str]:
    """The development questions in Chinese."""
    folder = Path(__file__).resolve().parents[2] / "corpus" / "eval"
    judged = [question for name in ("dev", "dev-more") for question in read_questions(folder, name)]
    return [question.question for question in judged if question.language == "zh-Hans"]


async def wechat_run(
    url: str, account: Account, questions: Sequence[str], *, rate: float, seconds: float
) -> dict[str, float]:
    """Passive replies at a steady rate; times in seconds from the request to the last byte of the reply."""
    times: list[float] = []
    n_bad = 0
    run = f"{time.time():.0f}"
    async with httpx.AsyncClient(
        trust_env=False, timeout=10, limits=httpx.Limits(max_connections=400, max_keepalive_connections=100)
    ) as client:

        async def one(number: int) -> None:
            nonlocal n_bad
            sample = ADAPTERS["wechat"].sample(
                questions[number % len(questions)],
                account,
                message_id=f"{run}{number}",
                sender=f"p{number % 500}-{run}",
                now=time.time(),
            )
            started = time.monotonic()
            try:
                response = await client.post(url + sample.path, headers=dict(sample.headers), content=sample.body)
                is_good = response.status_code == 200 and bool(open_wechat(response.content, account))
            except httpx.TransportError:
                is_good = False
            times.append(time.monotonic() - started)
            n_bad += not is_good

        tasks = []
        started = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(started + number / rate - time.monotonic(), 0.0))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        spent = time.monotonic() - started
    times.sort()
    return {
        "n": len(times),
        "bad": n_bad,
        "per_s": len(times) / spent,
        "p50_s": times[len(times) // 2],
        "p99_s": times[min(int(len(times) * 0.99), len(times) - 1)],
        "max_s": times[-1],
        "over_4_s": sum(one > 4 for one in times),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.channels_load")
    commands = parser.add_subparsers(dest="command", required=True)
    kill = commands.add_parser("kill")
    kill.add_argument("--deliveries", type=int, default=10_000)
    kill.add_argument("--database", help="SQLAlchemy address of an empty database; SQLite by default")
    wechat = commands.add_parser("wechat")
    wechat.add_argument("--rate", type=float, default=50)
    wechat.add_argument("--seconds", type=float, default=60)
    wechat.add_argument("--think", type=float, default=0.02, help="seconds that the fake bot takes")
    wechat.add_argument("--database")
    wechat.add_argument("--url", help="a running server, with its GUITU_CHANNEL_WECHAT_ settings in the environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="guitu-load-") as folder:
        data = Path(folder)
        if options.command == "kill":
            report = asyncio.run(kill_run(data, n_deliveries=options.deliveries, database_url=options.database))
            print(report)
            return int(bool(report.lost or report.doubled or report.n_unequal_bodies))
        environ = dict(os.environ) if options.url else environment("wechat")
        if options.database:
            environ |= {"GUITU_DATABASE_URL": options.database}
        settings = read_channel_settings(environ, data=data)
        account = next(one for one in settings.accounts if one.platform == "wechat")
        server = None
        if not options.url:
            server = ServerProcess(data, environ)
            server.start(THINK_S=str(options.think), LEASE_S="60")
        try:
            url = options.url or (server.url if server else "")
            questions = chinese_questions() if options.url else ["问题"]
            run = wechat_run(url.rstrip("/"), account, questions, rate=options.rate, seconds=options.seconds)
            found = asyncio.run(run)
        finally:
            if server is not None:
                server.stop()
        print(
            " ".join(
                f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={value}"
                for name, value in found.items()
            )
        )
        return int(bool(found["bad"] or found["over_4_s"]))


if __name__ == "__main__":
    sys.exit(main())
