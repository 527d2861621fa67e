"""Security headers on every response; CORS by the allow-list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from web.security import install_security
from web.settings import Settings

FRIEND = "https://friend.example"


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., TestClient]:
    """A client of a small app with the security of given settings."""

    def made(**settings: object) -> TestClient:
        app = FastAPI()
        install_security(app, Settings(data=tmp_path, **settings))  # type: ignore[arg-type]

        @app.get("/{path:path}")
        def any_page(path: str) -> dict[str, str]:
            return {"path": path}

        return TestClient(app)

    return made


@pytest.mark.parametrize("path", ["/", "/v1/contacts", "/widget.js", "/embed", "/articles/x", "/metrics"])
def test_every_response_carries_the_headers(client: Callable[..., TestClient], path: str) -> None:
    headers = client().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "camera=()" in headers["permissions-policy"]
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "strict-transport-security" not in headers


def test_only_the_embed_page_may_be_framed_and_only_by_friends(client: Callable[..., TestClient]) -> None:
    served = client(cors_origins=FRIEND)
    assert "frame-ancestors 'none'" in served.get("/").headers["content-security-policy"]
    assert served.get("/").headers["x-frame-options"] == "DENY"
    embed = served.get("/embed").headers
    assert f"frame-ancestors 'self' {FRIEND}" in embed["content-security-policy"]
    assert "x-frame-options" not in embed
    assert "frame-ancestors *" in client(cors_origins="*").get("/embed").headers["content-security-policy"]
    # No other address that begins alike.
    assert "frame-ancestors 'none'" in served.get("/embedded").headers["content-security-policy"]


def test_friends_may_use_the_interface_and_nobody_else(client: Callable[..., TestClient]) -> None:
    served = client(cors_origins=f"{FRIEND}/, https://other.example")
    allowed = served.get("/v1/contacts", headers={"Origin": FRIEND}).headers
    assert allowed["access-control-allow-origin"] == FRIEND
    assert "Origin" in allowed["vary"]
    assert "access-control-allow-credentials" not in allowed
    for stranger in (
        "https://evil.example",
        "null",
        "https://friend.example.evil.example",
        "http://friend.example",
    ):
        headers = served.get("/v1/contacts", headers={"Origin": stranger}).headers
        assert "access-control-allow-origin" not in headers
        assert "Origin" in headers["vary"]
    assert "access-control-allow-origin" not in served.get("/articles/x", headers={"Origin": FRIEND}).headers


def test_preflight_is_answered_for_friends_and_refused_for_strangers(
    client: Callable[..., TestClient],
) -> None:
    served = client(cors_origins=FRIEND)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    friend = served.options("/v1/ask", headers={"Origin": FRIEND, **asked})
    assert friend.status_code == 204
    assert friend.headers["access-control-allow-headers"] == "content-type"
    assert served.options("/v1/ask", headers={"Origin": "https://evil.example", **asked}).status_code == 403


def test_other_sites_may_load_the_widget_but_not_the_pages(client: Callable[..., TestClient]) -> None:
    served = client()
    assert served.get("/widget.js").headers["cross-origin-resource-policy"] == "cross-origin"
    assert served.get("/").headers["cross-origin-resource-policy"] == "same-origin"
    assert served.get("/").headers["cross-origin-opener-policy"] == "same-origin"


def test_browsers_are_told_to_stay_with_https_where_we_have_it(client: Callable[..., TestClient]) -> None:
    headers = client(public_url="https://help.example.org").get("/").headers
    assert headers["strict-transport-security"].startswith("max-age=31536000")
