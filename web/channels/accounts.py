"""The accounts of the organisation, read from settings of the form
GUITU_CHANNEL_<PLATFORM>_<ACCOUNT>_<NAME>.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from web.channels.base import Account, ChannelAdapter, Setting
from web.channels.errors import ChannelSettingsError
from web.channels.registry import ADAPTERS

logger = logging.getLogger(__name__)

PREFIX = "GUITU_CHANNEL_"
PREVIOUS = "_PREVIOUS"
# Settings of this module outside the prefix; the rest of GUITU_* belongs to `web.settings`.
OTHER_SETTINGS = {
    "GUITU_DATABASE_URL": "database of deliveries and answers; sqlite:///<data>/guitu.db by default, "
    "postgresql+psycopg://… for several machines",
    "GUITU_PUBLIC_URL": "address of this server as people outside see it, https://…; for links and Twilio signatures",
    "GUITU_SECRET_KEY": "key of 32 characters or more that stored messages are encrypted with; by "
    "default a file in the data folder; must be the same on all machines",
}


@dataclass(frozen=True, slots=True)
class Incomplete:
    """An account that cannot be routed: settings that are missing, by full name, and other problems."""

    platform: str
    name: str
    missing: tuple[str, ...]
    problems: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Each thing that is wrong, with its remedy."""
        return (*(f"set {name}" for name in self.missing), *self.problems)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Everything that the messaging platforms need to know, read once."""

    data: Path
    database_url: str = field(repr=False)
    public_url: str = "http://127.0.0.1:8000"
    secret_key: str = field(default="", repr=False)
    accounts: tuple[Account, ...] = ()
    incomplete: tuple[Incomplete, ...] = ()
    # Threads that compute answers. The model saturates the cores by itself; more only wait.
    n_answer_threads: int = 2
    n_send_tasks: int = 16
    # How long work is another worker's without a sign of life.
    lease_s: float = 60.0


def env_platform(adapter: ChannelAdapter) -> str:
    """The name of a platform in settings: capitals without an underscore, so that account names cannot blur
    it.
    """
    return adapter.name.replace("_", "").upper()


def setting_name(adapter: ChannelAdapter, account: str, name: str) -> str:
    """The full name of a setting."""
    return f"{PREFIX}{env_platform(adapter)}_{account.upper()}_{name}"


def read_channel_settings(environ: Mapping[str, str], *, data: Path) -> ChannelSettings:
    """The settings of the messaging platforms.

    Raises:
        ChannelSettingsError: a name with our prefix is not known, or a value cannot be right. The message
        names the
            setting and near matches, and never repeats a value.
    """
    public_url = environ.get("GUITU_PUBLIC_URL", "").strip().rstrip("/") or "http://127.0.0.1:8000"
    if urlsplit(public_url).scheme not in ("http", "https") or not urlsplit(public_url).hostname:
        raise ChannelSettingsError("GUITU_PUBLIC_URL must be an address such as https://guitu.example.org")
    values: dict[tuple[str, str], dict[str, str]] = {}
    for full_name, value in sorted(environ.items()):
        if full_name.startswith(PREFIX):
            adapter, owner, name = _parse_name(full_name)
            if value.strip():
                _check_value(adapter, full_name, name, value.strip())
                values.setdefault((adapter.name, owner), {})[name] = value.strip()
            else:
                values.setdefault((adapter.name, owner), {})
    accounts, incomplete = [], []
    for (platform, name), found in values.items():
        adapter = ADAPTERS[platform]
        defaults = {one.name: one.default for one in adapter.settings if one.default is not None}
        # Twilio's signature covers the public address, so the account has to know it.
        account = Account(platform, name, {**defaults, **found, "_PUBLIC_URL": public_url})
        missing = tuple(
            setting_name(adapter, name, one.name)
            for one in adapter.settings
            if one.required and not found.get(one.name)
        )
        problems = tuple(adapter.problems(account))
        if missing or problems:
            incomplete.append(Incomplete(platform, name, missing, problems))
        else:
            accounts.append(account)
    return ChannelSettings(
        data=data,
        database_url=environ.get("GUITU_DATABASE_URL", "").strip() or f"sqlite:///{data / 'guitu.db'}",
        public_url=public_url,
        secret_key=environ.get("GUITU_SECRET_KEY", "").strip(),
        accounts=tuple(accounts),
        incomplete=tuple(incomplete),
    )


def _parse_name(full_name: str) -> tuple[ChannelAdapter, str, str]:
    if full_name != full_name.upper():
        raise ChannelSettingsError(f"{full_name} is not a setting; write it in capitals, {full_name.upper()}")
    rest = full_name.removeprefix(PREFIX)
    platform, _, rest = rest.partition("_")
    by_env = {env_platform(adapter): adapter for adapter in ADAPTERS.values()}
    adapter = by_env.get(platform)
    if adapter is None:
        near = difflib.get_close_matches(platform, by_env, n=1)
        hint = f"did you mean {PREFIX}{near[0]}_…?" if near else f"platforms are {', '.join(sorted(by_env))}"
        raise ChannelSettingsError(f"{full_name} names no platform; {hint}")
    names = _names(adapter)
    # The longest name that fits: ACCESS_TOKEN before TOKEN.
    for name in sorted(names, key=len, reverse=True):
        account = rest.removesuffix("_" + name)
        if account != rest and re.fullmatch(r"[A-Z0-9]+(_[A-Z0-9]+)*", account):
            return adapter, account.lower(), name
    account = rest.split("_")[0] or "MAIN"
    near = difflib.get_close_matches(rest, [f"{account}_{name}" for name in names], n=2, cutoff=0.4)
    hint = "did you mean " + " or ".join(f"{PREFIX}{platform}_{one}" for one in near) + "?" if near else ""
    pattern = f"settings of {adapter.title} are {PREFIX}{platform}_<ACCOUNT>_ and one of {', '.join(sorted(names))}"
    raise ChannelSettingsError(f"{full_name} is not a setting; {hint or pattern}")


def _names(adapter: ChannelAdapter) -> dict[str, Setting]:
    found = {setting.name: setting for setting in adapter.settings}
    found |= {setting.name + PREVIOUS: setting for setting in adapter.settings if setting.rotates}
    return found


def _check_value(adapter: ChannelAdapter, full_name: str, name: str, value: str) -> None:
    problem = _names(adapter)[name].problem
    complaint = problem(value) if problem else None
    if complaint:
        raise ChannelSettingsError(f"{full_name} {complaint}")


def log_accounts(settings: ChannelSettings) -> None:
    """Says which accounts are on, and which platforms are not routed and why. No value is ever written."""
    by_platform = Counter(account.platform for account in settings.accounts)
    for account in settings.accounts:
        logger.info("%s is on: %s", account.path, ADAPTERS[account.platform].title)
    for one in settings.incomplete:
        logger.error("/hooks/%s/%s is NOT routed: %s", one.platform, one.name, "; ".join(one.reasons))
    for adapter in ADAPTERS.values():
        if not by_platform[adapter.name] and not any(one.platform == adapter.name for one in settings.incomplete):
            needed = ", ".join(setting_name(adapter, "<account>", one.name) for one in adapter.settings if one.required)
            logger.info(
                "%s is not routed: no account; set %s",
                adapter.title,
                needed.replace("<ACCOUNT>", "<account>"),
            )


def settings_table() -> str:
    """All settings of all platforms as Markdown, for the documentation."""
    lines = ["| Setting | Needed | Secret | What it is |", "|---|---|---|---|"]
    for adapter in ADAPTERS.values():
        lines.append(f"| **{adapter.title}** → `/hooks/{adapter.name}/<account>` | | | |")
        for one in adapter.settings:
            name = f"`{PREFIX}{env_platform(adapter)}_<ACCOUNT>_{one.name}`"
            if one.rotates:
                name += f" (also `{PREVIOUS}`)"
            default = f"; default `{one.default}`" if one.default else ""
            lines.append(
                f"| {name} | {'yes' if one.required else ''} | {'yes' if one.secret else ''} | {one.what}{default} |"
            )
    lines += [f"| `{name}` | | {'yes' if 'KEY' in name else ''} | {what} |" for name, what in OTHER_SETTINGS.items()]
    return "\n".join(lines)
