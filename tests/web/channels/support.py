"""Fakes for the tests of messaging platforms: a bot that can be slow, and stand-ins for the platforms'
APIs.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from fastapi import FastAPI

from bot.types import Answer, Citation, Contact, QuotedSentence
from retrieval.types import Source
from web.channels.accounts import ChannelSettings, read_channel_settings
from web.channels.base import Account, Outbound, SampleRequest
from web.channels.registry import ADAPTERS
from web.hooks import install_channels
from web.messaging.composing import OfferChecker
from web.messaging.service import ChannelService
from web.render import say

PUBLIC_URL = "https://guitu.example.org"
CORP = "wx5823bf96d3bd56c7"
SECRETS: dict[str, dict[str, str]] = {
    "generic": {"SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    "wechat": {
        "APP_ID": "wxba5fad812f8e6fb9",
        "TOKEN": "AAAAA",
        "AES_KEY": "A" * 43,
        "APP_SECRET": "app-secret",
    },
    "telegram": {"BOT_TOKEN": "1:bot", "SECRET": "s" * 40, "USERNAME": "guitu_bot"},
    "line": {"CHANNEL_SECRET": "8c570fa6dd201bb328f1c1eac23a96d8", "ACCESS_TOKEN": "line-token"},
    "whatsapp": {
        "APP_SECRET": "app_secret",
        "VERIFY_TOKEN": "verify-me",
        "ACCESS_TOKEN": "wa-token",
        "PHONE_NUMBER_ID": "106540352242922",
    },
    "wecom": {
        "CORP_ID": CORP,
        "TOKEN": "QDG6eK",
        "AES_KEY": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
        "SECRET": "corp-secret",
        "AGENT_ID": "218",
    },
    "wechat_kf": {
        "CORP_ID": CORP,
        "TOKEN": "QDG6eK",
        "AES_KEY": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
        "SECRET": "kf-secret",
    },
    "messenger": {"APP_SECRET": "app_secret", "VERIFY_TOKEN": "verify-me", "ACCESS_TOKEN": "page-token"},
    "zalo": {
        "APP_ID": "360846524940903967",
        "OA_SECRET": "oa_secret",
        "APP_SECRET": "zalo-app",
        "REFRESH_TOKEN": "refresh-0",
    },
    "sms": {"ACCOUNT_SID": "AC0", "AUTH_TOKEN": "12345", "FROM": "+18005551212"},
}
PLATFORMS = tuple(SECRETS)


def environment(
    *platforms: str, api_url: str = "https://stand-in.example", more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Settings of one account, `main`, on each platform; `more` by short name (`WECHAT_VERIFIED`)."""
    found = {"GUITU_PUBLIC_URL": PUBLIC_URL}
    for platform in platforms or PLATFORMS:
        prefix = f"GUITU_CHANNEL_{platform.replace('_', '').upper()}_MAIN_"
        found |= {prefix + name: value for name, value in SECRETS[platform].items()}
        found[prefix + "API_URL"] = api_url
        if platform == "zalo":
            found[prefix + "OAUTH_URL"] = api_url
    for name, value in (more or {}).items():
        if name.startswith("GUITU_"):
            found[name] = value
        else:
            platform, _, rest = name.partition("_")
            found[f"GUITU_CHANNEL_{platform}_MAIN_{rest}"] = value
    return found


HOTLINE = Contact(
    contact_id="cn-12308",
    names={"zh-Hans": "外交部全球领保热线", "en": "Consular hotline"},
    number="+86-10-12308",
    local="12308",
    country="CN",
    serves=("CN",),
    kind="hotline",
    situations=("trapped",),
    dials_from=("*",),
    channels=(),
    address=None,
    hours=None,
    languages=("zh-Hans",),
    priority=1,
    checked="2026-01-19",
    confidence="high",
    sources=(Source("外交部", "领保热线", "https://example.org", "2026-01-19"),),
)


def make_answer(
    text: str = "有人接听。",
    *,
    status: str = "answered",
    situation: str = "general",
    n_sentences: int = 1,
    **more: Any,
) -> Answer:
    """An answer with a quoted sentence for each citation."""
    numbers = range(1, n_sentences + 1)
    fields: dict[str, Any] = {
        "answer_id": "a1",
        "status": status,
        "language": "zh-Hans",
        "situation": situation,
        "sentences": tuple(QuotedSentence(text, (n,)) for n in numbers),
        "citations": tuple(
            Citation(
                n=n,
                article_id=f"article-{n}",
                passage_id=f"article-{n}#1",
                title=f"标题<{n}>",
                publisher="甲报",
                url="https://example.org/1",
                date="2026-01-02",
                language="zh-Hans",
                start=0,
                end=len(text),
                quote=text,
                href=f"/articles/article-{n}#p1",
            )
            for n in numbers
        ),
    }
    return Answer(**{**fields, **more})


class FakeResponder:
    """Repeats the question as a quoted sentence. Words in the question command it.

    `sleep 2.5` waits that long; `boom` raises; `trapped` answers with contacts first; `long` answers at
    length.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hints: list[str | None] = []

    def respond(self, text: str, *, conversation_id: str, lang_hint: str | None) -> Answer:
        self.asked.append(text)
        self.hints.append(lang_hint)
        if found := re.search(r"sleep ([0-9.]+)", text):
            time.sleep(float(found.group(1)))
        if "boom" in text:
            raise RuntimeError(f"the text {text} must not be logged")
        if "trapped" in text:
            return make_answer(
                f"答：{text}",
                status="emergency",
                situation="trapped",
                contacts=(HOTLINE,),
                card=("先说清楚你在哪里。",),
                notice="如果不能打电话，可以发短信。",
            )
        if "long" in text:
            return make_answer(
                "这是一个很长的句子，里面有表情👨‍👩‍👧‍👦和字，一共好几十个字，反复出现很多次。" * 3,
                n_sentences=60,
            )
        return make_answer(f"答：{text}")


class FakeOfferChecker:
    """Finds every offer false, and keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, bytes | None]] = []

    def check_offer(self, text: str | None, image: bytes | None, *, lang_hint: str | None) -> Outbound:
        self.seen.append((text, image))
        return say("高风险：要求先垫付。", "zh-Hans")


@dataclass
class Accepted:
    """A message that a stand-in took."""

    platform: str
    to: str
    text: str
    key: str
    body: dict[str, Any]
    by: str = "api"


@dataclass
class StandIn:
    """The send APIs of all platforms in one. `plan` holds misbehaviour for the next calls, oldest first.

    `ok`; `429` (with `retry_after`); `500`; `refuse` (connection refused); `hang` (nothing arrives,
    time-out); `lost` (the message is taken, its answer is lost); `token` (the access token is refused);
    `window` (closed); `markup` (Telegram cannot parse); `bad` (refused for good).
    `pictures` by path, and where those of `moved` lie; `shown` is the authorisation that each address got.
    """

    plan: deque[str] = field(default_factory=deque)
    retry_after: int = 1
    accepted: list[Accepted] = field(default_factory=list)
    doubled: list[Accepted] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    used_reply_tokens: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    zalo_refresh: str = "refresh-0"
    n_tokens: int = 0
    kf_messages: list[dict[str, Any]] = field(default_factory=list)
    kf_page: int = 1000
    delay_s: float = 0.0
    pictures: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.accepted]

    def take(self, one: Accepted) -> bool:
        """Takes a message; False where its key was taken before."""
        if one.key and one.key in self.keys:
            return False
        self.keys.add(one.key)
        if any(other.text == one.text and other.to == one.to for other in self.accepted):
            self.doubled.append(one)
        self.accepted.append(one)
        return True

    def handle(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """The answer of a platform. Raises LookupError("hang") and the like where there is none."""
        with self.lock:
            return self._handle(method, url, {k.lower(): v for k, v in headers.items()}, body)

    def _handle(self, method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        path, query = parts.path, parse_qs(parts.query)
        self.calls[path] += 1
        self.shown[url] = headers.get("authorization", "")
        if path in self.moved:
            return 307, {"location": self.moved[path]}, b""
        if path in self.pictures:
            return 200, {}, self.pictures[path]
        if "stable_token" in path or "gettoken" in path:
            self.n_tokens += 1
            return _json({"access_token": f"token-{self.n_tokens}", "expires_in": 7200})
        if path.endswith("/v4/oa/access_token"):
            return self._zalo_token(body)
        if path.endswith("/kf/sync_msg"):
            return self._sync(json.loads(body))
        if any(word in path for word in ("sendChatAction", "loading/start")):
            return _json({"ok": True})
        if path.endswith("/getFile"):
            return _json({"ok": True, "result": {"file_path": "photos/1.jpg"}})
        if not _is_send(path):
            return 404, {}, b"{}"
        act = self.plan.popleft() if self.plan else "ok"
        if act == "refuse":
            raise LookupError("refuse")
        if act == "hang":
            raise LookupError("hang")
        if act == "500":
            return 500, {}, b"{}"
        answer = self._send(path, query, headers, body, act)
        if act == "lost":
            raise LookupError("lost")
        return answer

    def _zalo_token(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        given = parse_qs(body.decode()).get("refresh_token", [""])[0]
        if given != self.zalo_refresh:
            return _json({"error": -14014, "error_name": "Invalid refresh token"})
        self.n_tokens += 1
        self.zalo_refresh = f"refresh-{self.n_tokens}"
        return _json(
            {
                "access_token": f"token-{self.n_tokens}",
                "refresh_token": self.zalo_refresh,
                "expires_in": "90000",
            }
        )

    def _sync(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        start = int(body.get("cursor") or 0)
        page = self.kf_messages[start : start + self.kf_page]
        end = start + len(page)
        more = int(end < len(self.kf_messages))
        return _json({"errcode": 0, "next_cursor": str(end), "has_more": more, "msg_list": page})

    def _send(
        self, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes, act: str
    ) -> tuple[int, dict[str, str], bytes]:
        after = {"Retry-After": str(self.retry_after)}
        if path.endswith("/Messages.json"):
            form = {key: value[0] for key, value in parse_qs(body.decode()).items()}
            if act in ("429", "bad"):
                return _json({"code": 20429 if act == "429" else 21211}, 429 if act == "429" else 400, after)
            self.take(Accepted("sms", form["To"], form["Body"], "", form))
            return _json({"sid": f"SM{len(self.accepted)}"}, 201)
        data: dict[str, Any] = json.loads(body)
        if path.endswith("/sendMessage"):
            return self._telegram(data, act)
        if path.startswith("/v2/bot/message/"):
            return self._line(path, data, headers, act, after)
        if "/oa/message/cs" in path:
            codes = {"429": -32, "token": -216, "window": -230, "bad": -201}
            if act in codes:
                return _json({"error": codes[act], "message": act})
            self.take(Accepted("zalo", data["recipient"]["user_id"], data["message"]["text"], "", data))
            return _json({"error": 0, "data": {"message_id": str(len(self.accepted))}})
        if "/cgi-bin/" in path:
            codes = {"429": 45009, "token": 42001, "window": 95001 if "/kf/" in path else 45015, "bad": 45002}
            if act in codes:
                return _json({"errcode": codes[act], "errmsg": act})
            key = data.get("msgid", "")
            one = Accepted("wechat", data.get("touser", data.get("code", "")), data["text"]["content"], key, data)
            if not self.take(one):
                return _json({"errcode": 95033, "errmsg": "msgid repeated"})
            return _json({"errcode": 0, "msgid": "m"})
        if path == "/callback":
            if act in ("429", "bad"):
                return 429 if act == "429" else 400, after, b""
            for reply in data["data"]["replies"]:
                self.take(Accepted("generic", data["data"]["in_reply_to"], reply["text"], headers["webhook-id"], data))
            return 204, {}, b""
        if act in ("429", "window", "bad", "token"):
            code = {"429": 130429, "window": 131047, "bad": 100, "token": 190}[act]
            return _json({"error": {"code": code}}, 429 if act == "429" else 400, after if act == "429" else {})
        if path.endswith("/me/messages"):
            self.take(Accepted("messenger", data["recipient"]["id"], data["message"]["text"], "", data))
            return _json({"message_id": f"m{len(self.accepted)}"})
        target = data.get("to") or data["recipient"]
        self.take(Accepted("whatsapp", target, data["text"]["body"], "", data))
        return _json({"messages": [{"id": f"wamid.{len(self.accepted)}"}]})

    def _telegram(self, data: dict[str, Any], act: str) -> tuple[int, dict[str, str], bytes]:
        if act == "429":
            found = {"ok": False, "error_code": 429, "parameters": {"retry_after": self.retry_after}}
            return _json(found, 429)
        if act == "markup" or (act == "bad" and "parse_mode" in data):
            return _json({"ok": False, "description": "Bad Request: can't parse entities: unsupported tag"}, 400)
        if act == "window":
            return _json({"ok": False, "description": "Forbidden: bot was blocked by the user"}, 403)
        self.take(Accepted("telegram", str(data["chat_id"]), data["text"], "", data))
        return _json({"ok": True, "result": {"message_id": len(self.accepted)}})

    def _line(
        self, path: str, data: dict[str, Any], headers: dict[str, str], act: str, after: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        if act == "429":
            return _json({"message": "The API rate limit has been exceeded. Try again later."}, 429, after)
        if act == "bad":
            return _json({"message": "The request body has 1 error(s)"}, 400)
        if act == "window":
            return _json({"message": "You have reached your monthly limit."}, 429)
        text = "\n".join(message["text"] for message in data["messages"])
        if path.endswith("/reply"):
            if "x-line-retry-key" in headers:
                return _json({"message": "retry key is not allowed"}, 400)
            if data["replyToken"] in self.used_reply_tokens or act == "token":
                return _json({"message": "Invalid reply token"}, 400)
            self.used_reply_tokens.add(data["replyToken"])
            self.take(Accepted("line", data["replyToken"], text, "", data, "token"))
        elif not self.take(Accepted("line", data["to"], text, headers["x-line-retry-key"], data)):
            return _json({"message": "The retry key is already accepted"}, 409)
        return _json({"sentMessages": [{"id": str(len(self.accepted))}]})

    def transport(self) -> httpx.MockTransport:
        """The stand-in without a network."""

        async def respond(request: httpx.Request) -> httpx.Response:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            try:
                status, headers, body = self.handle(request.method, str(request.url), request.headers, request.content)
            except LookupError as error:
                if error.args[0] == "refuse":
                    raise httpx.ConnectError("refused", request=request) from error
                raise httpx.ReadTimeout("no answer", request=request) from error
            return httpx.Response(status, headers=headers, content=body)

        return httpx.MockTransport(respond)

    @property
    def server(self) -> ThreadingHTTPServer:
        """The stand-in behind a real socket, for servers in another process; run it with `serve_forever`."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if stand_in.delay_s:
                    time.sleep(stand_in.delay_s)
                try:
                    status, headers, content = stand_in.handle(
                        self.command, self.path, dict(self.headers.items()), body
                    )
                except LookupError:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A server that is killed leaves broken connections behind; that is what is tested."""

        return Server(("127.0.0.1", 0), Handler)


def _json(
    found: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    return status, {"content-type": "application/json", **(headers or {})}, json.dumps(found).encode()


def _is_send(path: str) -> bool:
    sends = (
        "/sendMessage",
        "/reply",
        "/push",
        "/message/cs",
        "/custom/send",
        "/message/send",
        "/send_msg",
        "/messages",
    )
    return path.endswith((*sends, "/send_msg_on_event", "/Messages.json")) or path == "/callback"


class Clock:
    """Real time plus what a test adds to it."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.added_s


@dataclass
class Running:
    """A running service and what surrounds it."""

    app: FastAPI
    service: ChannelService
    client: httpx.AsyncClient
    responder: FakeResponder
    stand_in: StandIn
    settings: ChannelSettings
    clock: Clock

    def account(self, platform: str) -> Account:
        return next(one for one in self.settings.accounts if one.platform == platform)

    def sample(
        self,
        platform: str,
        text: str,
        *,
        message_id: str = "1001",
        sender: str = "person-1",
        now: float | None = None,
    ) -> SampleRequest:
        at = float(int(time.time() if now is None else now))
        return ADAPTERS[platform].sample(text, self.account(platform), message_id=message_id, sender=sender, now=at)

    async def deliver(self, sample: SampleRequest) -> httpx.Response:
        # As bytes: a hostile header need not be ASCII.
        headers = [(name.encode(), value.encode("latin-1")) for name, value in sample.headers.items()]
        return await self.client.request(sample.method, sample.path, headers=headers, content=sample.body)

    async def say(self, platform: str, text: str, **more: Any) -> httpx.Response:
        return await self.deliver(self.sample(platform, text, **more))

    async def until(self, claim: Any, *, within_s: float = 8.0, what: str = "") -> None:
        """Waits until something is true."""
        deadline = time.monotonic() + within_s
        while not claim():
            assert time.monotonic() < deadline, (
                f"did not come true in time: {what} {self.stand_in.calls} {self.service.hub.counts}"
            )
            await asyncio.sleep(0.02)

    def rows(self, columns: str = "state, mode, code", table: str = "outbox") -> list[tuple[Any, ...]]:
        """Rows of a table, in order."""
        with self.service.hub.database.engine.begin() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(f"SELECT {columns} FROM {table} ORDER BY id")]

    def states(self) -> list[str]:
        return [row[0] for row in self.rows("state")]


@asynccontextmanager
async def running(
    data: Path,
    *platforms: str,
    database_url: str | None = None,
    more: Mapping[str, str] | None = None,
    responder: FakeResponder | None = None,
    stand_in: StandIn | None = None,
    offer_checker: OfferChecker | None = None,
    lease_s: float = 60.0,
    clock: Clock | None = None,
) -> AsyncIterator[Running]:
    """A service in this process with a stand-in for every platform."""
    environ = environment(*platforms, more=more)
    if database_url:
        environ |= {"GUITU_DATABASE_URL": database_url}
    settings = replace(read_channel_settings(environ, data=data), lease_s=lease_s)
    stand_in = stand_in or StandIn()
    responder = responder or FakeResponder()
    clock = clock or Clock()
    app = FastAPI(redirect_slashes=False)
    install_channels(app)
    async with httpx.AsyncClient(transport=stand_in.transport(), timeout=2.0) as http:
        service = ChannelService(settings, responder, http=http, offer_checker=offer_checker, clock=clock)
        await service.start()
        app.state.channels = service
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://inside", timeout=120) as client:
                yield Running(app, service, client, responder, stand_in, settings, clock)
        finally:
            await service.stop()
