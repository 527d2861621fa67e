"""`guitu channels`: checks the settings of the accounts, and tries one out against a running server.

The database and httpx are imported by the commands that need them: the parser is part of every `guitu`.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl, urlsplit

from web.channels.accounts import (
    ChannelSettings,
    env_platform,
    read_channel_settings,
    setting_name,
    settings_table,
)
from web.channels.base import Account, ChannelAdapter, RawRequest, SampleRequest
from web.channels.bodies import read_json
from web.channels.envelope import open_envelope, read_fields
from web.channels.errors import ChannelError
from web.channels.registry import ADAPTERS

DONE, FAILED = 0, 1
_WAIT_S = 30.0


def add_parser(subparsers: Any) -> None:
    """Adds `channels` to the command line."""
    channels = subparsers.add_parser("channels", help="messaging platforms: check accounts, try one out")
    commands = channels.add_subparsers(dest="channels_command", required=True)
    check = commands.add_parser("check", help="verify the settings of each account, and print what to enter where")
    check.add_argument("--offline", action="store_true", help="do not ask the platforms")
    check.add_argument("--settings", action="store_true", help="print the table of all settings instead")
    simulate = commands.add_parser("simulate", help="post a signed message to a running server and show the reply")
    simulate.add_argument("platform", choices=sorted(ADAPTERS))
    simulate.add_argument("text")
    simulate.add_argument("--account", help="which account, where the platform has several")
    simulate.add_argument("--server", default="http://127.0.0.1:8000", help="address of the running server")


def run(options: argparse.Namespace, environ: Mapping[str, str], data: Path, *, out: TextIO | None = None) -> int:
    """Runs `guitu channels …`; gives the exit status. `environ` holds the settings, `.env` included."""
    out = out or sys.stdout
    try:
        settings = read_channel_settings(environ, data=data)
        if options.channels_command == "check":
            if options.settings:
                print(settings_table(), file=out)
                return DONE
            return asyncio.run(_check(settings, is_offline=options.offline, out=out))
        return _simulate(settings, options, out=out)
    except ChannelError as error:
        print(f"guitu channels: {error}", file=sys.stderr)
        return FAILED


async def _check(settings: ChannelSettings, *, is_offline: bool, out: TextIO) -> int:
    from web.messaging.hub import Hub
    from web.messaging.report import health, tally
    from web.messaging.watch import AccountState, read_states

    n_problems = 0
    if not settings.accounts and not settings.incomplete:
        print("No account is set. The settings of a platform: guitu channels check --settings", file=out)
        return FAILED
    hub = None
    states: dict[tuple[str, str], AccountState] = {}
    if not is_offline and settings.accounts:
        hub = Hub(settings)
        await hub.open()
        states = await hub.database.run(read_states)
    try:
        for account in settings.accounts:
            adapter = ADAPTERS[account.platform]
            state = states.get((account.platform, account.name), AccountState())
            complaints = [] if hub is None else [*await health(hub, account), *state.complaints(time.time())]
            n_problems += len(complaints)
            print(f"{adapter.title}, account {account.name}: {'to mend' if complaints else 'ok'}", file=out)
            print(f"  URL to enter: {settings.public_url}{account.path}", file=out)
            for line in adapter.describe(account):
                print(f"  {line}", file=out)
            for complaint in complaints:
                print(f"  ! {complaint}", file=out)
            if hub is not None:
                print(f"  {state.told()}", file=out)
                counts = await hub.database.run(functools.partial(tally, account=account, state=state))
                print(f"  {counts}", file=out)
    finally:
        if hub is not None:
            await hub.close()
    if not settings.public_url.startswith("https://"):
        n_problems += 1
        print(f"! GUITU_PUBLIC_URL is {settings.public_url}: platforms deliver to https:// only", file=out)
    for one in settings.incomplete:
        n_problems += 1
        print(f"{ADAPTERS[one.platform].title}, account {one.name}: NOT routed", file=out)
        for reason in one.reasons:
            print(f"  ! {reason}", file=out)
    return FAILED if n_problems else DONE


def _simulate(settings: ChannelSettings, options: argparse.Namespace, *, out: TextIO) -> int:
    import httpx

    adapter = ADAPTERS[options.platform]
    account = _pick(settings, adapter, options.account)
    now = time.time()
    # Platforms with numbers for ids get a number.
    message_id = str(uuid.uuid4().int)[:15]
    sample = adapter.sample(
        options.text, account, message_id=message_id, sender=adapter.simulated_sender(), now=float(int(now))
    )
    try:
        response = httpx.request(
            sample.method,
            options.server.rstrip("/") + sample.path,
            headers=dict(sample.headers),
            content=sample.body,
            timeout=15.0,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise ChannelError(
            f"no server answers at {options.server} ({type(error).__name__}); start it with `guitu serve`"
        ) from error
    print(f"HTTP {response.status_code} {response.headers.get('content-type', '')}", file=out)
    if response.status_code >= 400:
        hint = {401: "the server runs with other secrets", 404: "the server does not route this account"}
        raise ChannelError(
            f"the server answered {response.status_code}: {hint.get(response.status_code, 'see its log')}"
        )
    body = _opened(response.content, account)
    if body:
        print(body, file=out)
    if adapter.caps.passive_budget_s and response.status_code == 200 and body not in ("", "success"):
        return DONE
    return _show_stored(settings, adapter, account, sample, out=out)


def _pick(settings: ChannelSettings, adapter: ChannelAdapter, name: str | None) -> Account:
    found = [one for one in settings.accounts if one.platform == adapter.name and name in (None, one.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ChannelError(f"choose with --account: {', '.join(one.name for one in found)}")
    for one in settings.incomplete:
        if one.platform == adapter.name and name in (None, one.name):
            raise ChannelError(f"{adapter.title}, account {one.name}, is not routed: {'; '.join(one.reasons)}")
    needed = ", ".join(setting_name(adapter, name or "main", one.name) for one in adapter.settings if one.required)
    raise ChannelError(f"{adapter.title} has no such account; set {needed}")


def _opened(body: bytes, account: Account) -> str:
    """A reply in the body as a person would see it."""
    text = body.decode(errors="replace")
    try:
        fields = read_fields(body)
        if "Encrypt" in fields:
            receive_id = account.get("APP_ID") or account.get("CORP_ID")
            fields = read_fields(open_envelope(account.get("AES_KEY"), fields["Encrypt"], receive_id).encode())
        if "Content" in fields:
            return fields["Content"]
        replies = read_json(body).get("replies")
        return "\n".join(str(reply.get("text", "")) for reply in replies) if isinstance(replies, list) else text
    except ChannelError:
        return text


def _show_stored(
    settings: ChannelSettings,
    adapter: ChannelAdapter,
    account: Account,
    sample: SampleRequest,
    *,
    out: TextIO,
) -> int:
    """The answer as it stands in the outbox: nothing is sent to the person of a simulation."""
    from web.database import Database
    from web.messaging.report import find_answer
    from web.vault import open_vault

    query = dict(parse_qsl(urlsplit(sample.path).query, keep_blank_values=True))
    headers = {name.lower(): value for name, value in sample.headers.items()}
    url = settings.public_url + sample.path
    req = RawRequest(sample.method, url, query, headers, sample.body, time.time())
    inbounds = adapter.parse(adapter.verify(req, account), req, account)
    if not inbounds or inbounds[0].kind == "wake":
        print("The server was woken; the message itself would come from the platform.", file=out)
        return DONE
    database = Database(settings.database_url, open_vault(settings.secret_key, settings.data))
    try:
        database.open()
        deadline = time.monotonic() + _WAIT_S
        while True:
            state, texts = database.run_now(
                lambda c: find_answer(c, database, account.platform, account.name, inbounds[0].dedupe)
            )
            if state in ("answered", "noted") or time.monotonic() > deadline:
                break
            time.sleep(0.2)
    finally:
        database.close()
    if not state:
        raise ChannelError(
            "the message is not in the database: the server uses another one (GUITU_DATABASE_URL, GUITU_DATA)"
        )
    for text in texts:
        print(text, file=out)
    return DONE if texts else FAILED


def settings_names(platforms: Sequence[str] = ()) -> list[str]:
    """All names of settings with `<ACCOUNT>` in place of the account, for tests of the documentation."""
    return [
        f"GUITU_CHANNEL_{env_platform(adapter)}_<ACCOUNT>_{one.name}"
        for adapter in ADAPTERS.values()
        if not platforms or adapter.name in platforms
        for one in adapter.settings
    ]
