"""What strangers may send: so many bytes, so many requests a minute; help is never limited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.testclient import TestClient

import web.limits
from web.limits import MAX_BODY_BYTES, MAX_JSON_BYTES, LimitsMiddleware, TokenBuckets
from web.problems import install_problems

JSON = {"content-type": "application/json"}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Body(BaseModel):
    """A body like that of a question."""

    question: str


@pytest.fixture
def client() -> Callable[..., TestClient]:
    """A client of a small app behind the limits, whose routes read bodies in each of the three ways."""

    def made(per_minute: int = 3, *, trust_proxy: bool = False) -> TestClient:
        app = FastAPI()
        install_problems(app)
        app.add_middleware(LimitsMiddleware, requests_per_minute=per_minute, trust_proxy=trust_proxy)

        @app.post("/v1/ask")
        def ask(body: Body) -> dict[str, int]:
            return {"n": len(body.question)}

        @app.post("/form")
        async def form(request: Request) -> dict[str, int]:
            return {"n": len(await request.form())}

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def rest(path: str, request: Request) -> dict[str, int]:
            return {"n": len(await request.body())}

        return TestClient(app)

    return made


def test_buckets_fill_with_time() -> None:
    clock = Clock()
    buckets = TokenBuckets(60, clock)
    assert [buckets.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert buckets.wait_s("a") == pytest.approx(1.0)
    clock.now += 0.5
    assert buckets.wait_s("a") == pytest.approx(0.5)  # asking in vain costs nothing
    clock.now += 0.5
    assert buckets.wait_s("a") == 0.0
    assert buckets.wait_s("a") > 0
    # Never more than a minute's worth, however long one waits; and others have their own.
    clock.now += 10_000
    assert [buckets.wait_s("a") == 0.0 for _ in range(61)] == [True] * 60 + [False]
    assert buckets.wait_s("b") == 0.0


def test_buckets_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.limits, "_MAX_ADDRESSES", 3)
    buckets = TokenBuckets(1, Clock())
    for key in "abcd":
        assert buckets.wait_s(key) == 0.0
    # The one that was quiet longest is forgotten, and with it what it owed; the others are held.
    assert buckets.wait_s("d") > 0
    assert buckets.wait_s("a") == 0.0


def test_too_many_requests_are_told_when_to_come_back(client: Callable[..., TestClient]) -> None:
    served = client(3)
    assert [served.post("/v1/ask", json={"question": "a"}).status_code for _ in range(3)] == [200] * 3
    refused = served.post("/v1/ask", json={"question": "a"})
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 21
    assert refused.json()["status"] == 429
    # Reading is free.
    assert served.get("/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz", "/hooks/line/main", "/v1/contacts", "/metrics", "/widget.js", "/static/x"]
)
def test_free_paths_are_never_limited(client: Callable[..., TestClient], path: str) -> None:
    served = client(1)
    assert [served.post(path).status_code for _ in range(5)] == [200] * 5
    assert [served.post("/v1/ask", json={"question": "a"}).status_code for _ in range(2)] == [200, 429]
    assert served.post(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/ask", {"host": "help.example/static/?"}),
        ("/v1/ask", {"host": "help.example/hooks/#"}),
        ("/v1/ask?/static/", {}),
        (
            "/v1/ask",
            {"x-forwarded-for": "1.2.3.4", "x-original-url": "/static/", "x-forwarded-prefix": "/static"},
        ),
    ],
)
def test_no_header_makes_a_path_free(client: Callable[..., TestClient], path: str, headers: dict[str, str]) -> None:
    served = client(1)
    sent = [served.post(path, json={"question": "a"}, headers=headers).status_code for _ in range(3)]
    assert sent[1:] == [429, 429]


def test_addresses_behind_a_proxy(client: Callable[..., TestClient]) -> None:
    def ask(served: TestClient, forwarded: str) -> int:
        return served.post("/v1/ask", json={"question": "a"}, headers={"x-forwarded-for": forwarded}).status_code

    trusting = client(1, trust_proxy=True)
    assert [ask(trusting, "1.1.1.1"), ask(trusting, "2.2.2.2"), ask(trusting, "1.1.1.1")] == [200, 200, 429]
    # What the visitor wrote stands in front of what the proxy added: it counts for nothing.
    assert ask(trusting, "9.9.9.9, 1.1.1.1") == 429
    wary = client(1)
    assert [ask(wary, "1.1.1.1"), ask(wary, "2.2.2.2")] == [200, 429]


def test_a_body_that_is_declared_too_large_is_refused_unread(client: Callable[..., TestClient]) -> None:
    served = client(100)
    refused = served.post("/v1/ask", content=b"x" * (MAX_JSON_BYTES + 1), headers=JSON)
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
    assert "200,000 bytes" in refused.json()["detail"]
    # Pictures may be larger, but not without bound.
    assert served.post("/picture", content=b"x" * (MAX_JSON_BYTES + 1)).status_code == 200
    assert served.post("/picture", content=b"", headers={"content-length": str(MAX_BODY_BYTES + 1)}).status_code == 413


@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [
        ("/v1/ask", "application/json", MAX_JSON_BYTES),
        ("/form", "application/x-www-form-urlencoded", MAX_BODY_BYTES),
        ("/form", "multipart/form-data; boundary=x", MAX_BODY_BYTES),
        ("/rest", "application/octet-stream", MAX_BODY_BYTES),
    ],
)
def test_a_body_that_turns_out_too_large_is_refused(
    client: Callable[..., TestClient], path: str, kind: str, limit: int
) -> None:
    def pieces() -> Iterator[bytes]:
        start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        yield start if "multipart" in kind else b"a"
        for _ in range(limit // 100_000 + 1):
            yield b"x" * 100_000

    refused = client(100).post(path, content=pieces(), headers={"content-type": kind})
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["status"] == 413


@pytest.mark.parametrize("declared", [b"\xb2", b"-1", b"abc", b"", b"1e3", b"99999999999999999999"])
def test_a_strange_length_does_no_harm(declared: bytes) -> None:
    """Straight through the middleware: a server would refuse most of these before us."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/ask",
        "query_string": b"",
        "headers": [(b"content-length", declared)],
        "client": None,
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    asyncio.run(LimitsMiddleware(app, requests_per_minute=5, trust_proxy=False)(scope, receive, send))
    assert sent[0]["status"] == (413 if declared.startswith(b"9") else 200)


def test_other_kinds_of_connection_pass() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(LimitsMiddleware(app, requests_per_minute=1, trust_proxy=False)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
