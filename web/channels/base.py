"""What a messaging platform is to the rest of the program: records, limits and the adapter protocol.

A delivery goes through `handshake → verify → parse → store → passive answer or ack`; an answer goes through
`render → passive` or `render → send`. Everything but `send`, `pull` and `fetch_media` is pure, so it can be
tested with published vectors and without a network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from web.channels.errors import SignatureError

if TYPE_CHECKING:
    import httpx

Kind = Literal[
    "text",
    "voice",
    "image",
    "location",
    "link",
    "postback",
    "follow",
    "unfollow",
    "unsend",
    "status",
    "wake",
    "unknown",
]
Mode = Literal["passive", "token", "api"]
Unit = Literal["bytes", "utf16", "chars", "sms"]
Outcome = Literal["ok", "retry", "expired", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an account: the end of the name of its environment variable, and what to say about it.

    `rotates` allows a second, previous value under the same name with `_PREVIOUS` appended. `problem` looks
    at a value and gives what is wrong with it (without repeating it), or None.
    """

    name: str
    what: str
    required: bool = True
    secret: bool = False
    rotates: bool = False
    default: str | None = None
    problem: Callable[[str], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the organisation on one platform. `values` hold secrets and stay out of `repr`."""

    platform: str
    name: str
    values: Mapping[str, str] = field(repr=False)

    def get(self, name: str, default: str = "") -> str:
        """The value of a setting, or the default where it is not set."""
        return self.values.get(name) or default

    def current_and_previous(self, name: str) -> tuple[str, ...]:
        """The secrets that a delivery may be signed with: the current one, and while it rotates the last."""
        found = (self.values.get(name), self.values.get(name + "_PREVIOUS"))
        return tuple(value for value in found if value)

    def is_on(self, name: str) -> bool:
        """A yes-or-no setting."""
        return self.get(name).lower() in ("true", "yes", "1", "on")

    @property
    def path(self) -> str:
        """The path that the platform's console is given."""
        return f"/hooks/{self.platform}/{self.name}"


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A delivery as it came, built once by the route; nothing in it is parsed.

    `headers` have lower-case names. Names that came more than once are in `repeated_*`: a doubled signature
    is a trick on verifiers that look at one copy and parsers that look at the other, so `header` and `param`
    refuse it.
    """

    method: str
    public_url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    received_at: float
    repeated_headers: frozenset[str] = frozenset()
    repeated_params: frozenset[str] = frozenset()

    def header(self, name: str) -> str:
        """The one value of a header.

        Raises:
            SignatureError: it is missing or came more than once.
        """
        if name in self.repeated_headers or name not in self.headers:
            raise SignatureError
        return self.headers[name]

    def param(self, name: str) -> str:
        """The one value of a query parameter; the same errors as `header`."""
        if name in self.repeated_params or name not in self.query:
            raise SignatureError
        return self.query[name]


@dataclass(frozen=True, slots=True)
class HookResponse:
    """What the route writes back. `answers`: the id in our database of the message that the body answers."""

    status: int = 200
    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: int | None = None


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A picture that a person sent: where it lies, as the platform names it. Data, never followed blindly."""

    kind: Literal["image"]
    media_id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ReplyMode:
    """One way to answer a message, until a time. `token` is a one-time reply token of the platform."""

    mode: Mode
    until: float
    token: str = ""


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    """The ways to answer a message, best first. `quota` is how many messages the platform allows by `api`."""

    modes: tuple[ReplyMode, ...] = ()
    quota: int | None = None

    def usable(self, now: float) -> tuple[ReplyMode, ...]:
        """The ways that are still open."""
        return tuple(mode for mode in self.modes if mode.until > now)


@dataclass(frozen=True, slots=True)
class Inbound:
    """One thing that a person (or the platform about a person) said.

    `dedupe` is unique for an account; `conversation` and `sender` are the platform's stable ids. Recognised
    speech is in `text` too. `message_ref` is the platform's id of the message, by which it may later be taken
    back. `address` holds what `send` needs besides `sender` and is stored encrypted.
    """

    channel: str
    account: str
    dedupe: str
    conversation: str
    sender: str
    kind: Kind
    text: str | None = None
    media: tuple[MediaRef, ...] = ()
    sent_at: float | None = None
    lang_hint: str | None = None
    reply: ReplyPlan = ReplyPlan()
    message_ref: str = ""
    address: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A link under an answer. `n` is the number of the citation, None for the link to the whole answer."""

    n: int | None
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A question that can be asked by a touch."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text that is never cut unless it alone is larger than a whole part.

    `cites` are the numbers of the citations that it rests on; a quoted sentence (`kind == "sentence"`) is
    never cut.
    """

    kind: Literal["preface", "contact", "card", "notice", "sentence", "say"]
    text: str
    cites: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Outbound:
    """What the bot wants to say, without regard to the platform.

    `full` leads to the whole answer with its sources, for what does not fit. `notice` marks words of ours
    that are not an answer (greeting, "still looking"). `situation` is that of the answer, "" for words of
    ours.
    """

    blocks: tuple[Block, ...]
    links: tuple[Link, ...] = ()
    choices: tuple[Choice, ...] = ()
    full: Link | None = None
    language: str = "en"
    situation: str = ""
    notice: bool = False

    @property
    def text(self) -> str:
        """All blocks as plain text, without links."""
        return "\n".join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Part:
    """One message ready to send: `text` in the markup of the platform, `plain` without any."""

    text: str
    plain: str
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits of a platform, from its documentation.

    `markup` names the flavour in `web.render`. `holds_late` platforms show messages on a lock screen, so that
    an answer that comes late waits until the person writes again. `idempotent_send`: a repeated send with the
    same id is recognised by the platform. `joins_parts`: all parts of an answer go out in one call.
    `redelivers`: a delivery answered 5xx comes again. `repeats_until_taken`: it comes again until a body was
    read, however often that takes. `unknown_wait_s`: how long a later status report may still settle a send
    whose outcome is not known.
    """

    unit: Unit
    max_units: int
    max_parts: int = 3
    markup: Literal["plain", "telegram", "wechat", "stars"] = "plain"
    links: Literal["numbered", "full"] = "numbered"
    passive_budget_s: float = 0.0
    joins_parts: bool = False
    idempotent_send: bool = False
    redelivers: bool = True
    repeats_until_taken: bool = False
    holds_late: bool = False
    unknown_wait_s: float = 0.0
    account_rate_per_s: float = 20.0
    conversation_rate_per_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """How a send ended.

    `ok`: accepted. `retry`: surely not accepted, try again (after `after_s` where the platform says so).
    `expired`: this way to answer is closed, take the next. `refused`: will never be accepted. `unknown`: the
    request left, no reply came. `pause` asks to leave the whole account alone for `after_s`.
    """

    outcome: Outcome
    provider_id: str = ""
    after_s: float | None = None
    code: str = ""
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought: messages in order, and the cursor that comes after them."""

    inbounds: tuple[Inbound, ...]
    cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a refresh brought: the token, when it ends, and the key for the next refresh, if any."""

    value: str
    expires_at: float
    refresh: str = ""


class TokenKeeper(Protocol):
    """Access tokens shared by all workers: one refresh at a time, whoever needs it first."""

    async def get(
        self, name: str, fetch: Callable[[str], Awaitable[AccessToken]], *, stale: str = "", seed: str = ""
    ) -> str:
        """The token of a name. `fetch` is given the key of the last refresh (`seed` at first) and is called
        when there is no token, it has ended, or it equals `stale`. What it brings is stored before it is
        used.

        Raises:
            TokenError: the platform gives none now.
        """


@dataclass(frozen=True, slots=True)
class SendContext:
    """What `send` may use. `now` is the clock."""

    http: httpx.AsyncClient
    account: Account
    tokens: TokenKeeper
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A correctly signed delivery, made for `guitu channels simulate` and for tests."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class ChannelAdapter(Protocol):
    """One platform. See CONTRIBUTING, "Adding a platform"."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def caps(self) -> Caps: ...
    @property
    def settings(self) -> tuple[Setting, ...]: ...

    def problems(self, account: Account) -> list[str]:
        """What is wrong with settings that are each fine alone."""

    def handshake(self, req: RawRequest, account: Account) -> HookResponse | None:
        """The answer to the platform's check of the URL, verified; None where the request is a delivery."""

    def verify(self, req: RawRequest, account: Account) -> bytes:
        """The clear body of a delivery that is proven to come from the platform.

        Raises:
            SignatureError: it is not.
            PayloadError: it is, but cannot be read.
        """

    def parse(self, clear: bytes, req: RawRequest, account: Account) -> list[Inbound]:
        """The messages of a delivery; nothing for what we do not know. Raises only PayloadError."""

    def render(self, out: Outbound, to: Inbound, *, max_parts: int) -> list[Part]:
        """The parts, each within the platform's limits."""

    def passive(self, parts: list[Part], to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        """The answer as the body of the HTTP response; None where the platform has no such way."""

    def late(self, delivery: int, to: Inbound, req: RawRequest, account: Account) -> HookResponse | None:
        """What to write when a passive answer is not ready in time, at the first, second, … delivery of a
        message; None leaves the delivery open past the platform's limit, so that it comes again.
        """

    def ack(self, req: RawRequest, account: Account) -> HookResponse:
        """What tells the platform that the delivery is ours now."""

    async def send(self, parts: list[Part], to: Inbound, mode: ReplyMode, idem: str, ctx: SendContext) -> Sent:
        """Hands parts to the platform: one part by `api`, all parts of an answer by `token`. Never raises."""

    async def pull(self, stream: str, cursor: str, token: str, ctx: SendContext) -> Pulled | None:
        """Fetches messages that the platform only announces; None where there is nothing of the kind."""

    async def fetch_media(self, ref: MediaRef, ctx: SendContext) -> bytes | None:
        """A picture from the platform's own host; None where it cannot be had."""

    async def show_working(self, to: Inbound, ctx: SendContext) -> None:
        """Lets the person see that an answer is under way."""

    async def health(self, ctx: SendContext) -> list[str]:
        """What the platform says is wrong with the account, in words for the operator."""

    def sample(self, text: str, account: Account, *, message_id: str, sender: str, now: float) -> SampleRequest:
        """A correctly signed delivery of a text message."""

    def simulated_sender(self) -> str:
        """A sender id that no person can have: nothing is ever sent to it."""

    def language(self, account: Account, hint: str | None, default: str) -> str:
        """The language to greet a person in."""

    def describe(self, account: Account) -> list[str]:
        """What the operator enters in the console, and what the platform will send."""
