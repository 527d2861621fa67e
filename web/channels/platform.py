"""What most platforms have in common, so that a file of a platform holds only what is its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from web.channels.base import (
    Account,
    Caps,
    HookResponse,
    Inbound,
    MediaRef,
    Outbound,
    Part,
    Pulled,
    RawRequest,
    ReplyMode,
    SendContext,
    Sent,
    Setting,
)
from web.channels.phrases import nearest_language
from web.render import render_parts

DAY_S = 86_400.0


def url_problem(value: str) -> str | None:
    """What is wrong with the address of an API or callback, or None. Plain http only to this very machine."""
    parts = urlsplit(value)
    if parts.scheme == "https" and parts.hostname:
        return None
    if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"):
        return None
    return "must be an https:// address"


def yes_no_problem(value: str) -> str | None:
    """What is wrong with a yes-or-no setting, or None."""
    return None if value.lower() in ("true", "false", "yes", "no", "1", "0", "on", "off") else "must be true or false"


def common_settings(api_url: str) -> tuple[Setting, ...]:
    """The settings that every platform has."""
    return (
        Setting("LANGUAGE", "language of greetings, where the platform does not tell the person's", required=False),
        Setting(
            "API_URL",
            "address of the platform's API, for tests and proxies",
            required=False,
            default=api_url,
            problem=url_problem,
        ),
    )


class Platform:
    """Defaults of an adapter: no URL check, no passive answer, nothing to pull, no pictures."""

    name: str = ""
    title: str = ""
    caps: Caps
    settings: tuple[Setting, ...] = ()
    api_url: str = ""

    def problems(self, account: Account) -> list[str]:
        return []

    def handshake(self, req: RawRequest, account: Account) -> HookResponse | None:
        return None

    def render(self, out: Outbound, to: Inbound, *, max_parts: int) -> list[Part]:
        return render_parts(out, self.caps, max_parts=max_parts)

    def passive(self, parts: list[Part], to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        return None

    def late(self, delivery: int, to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        """What to write when the answer is not ready in time; None leaves the delivery open too long."""
        return self.ack(req, account)

    def ack(self, req: RawRequest, account: Account) -> HookResponse:
        return HookResponse()

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        return Sent("expired", code="no-api")

    async def pull(self, stream: str, cursor: str, token: str, ctx: SendContext) -> Pulled | None:
        return None

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        return None

    async def show_working(self, to: Inbound, ctx: SendContext) -> None:
        """Lets the person see that an answer is under way. Failure is of no consequence."""

    async def health(self, ctx: SendContext) -> list[str]:
        return []

    def simulated_sender(self) -> str:
        return "guitu-simulated"

    def describe(self, account: Account) -> list[str]:
        return []

    def base(self, account: Account) -> str:
        """The address of the API, without a slash at its end."""
        return account.get("API_URL", self.api_url).rstrip("/")

    def media_hosts(self, account: Account, *hosts: str) -> tuple[str, ...]:
        """The hosts that pictures may come from."""
        host = urlsplit(self.base(account)).hostname
        return (*hosts, host) if host else hosts

    def language(self, account: Account, hint: str | None, default: str) -> str:
        """The language to greet a person in."""
        return nearest_language(hint or account.get("LANGUAGE") or default, default)
