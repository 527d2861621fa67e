"""The widget's handling of text, attacked: whatever articles or people write is text and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browser.fake_app import HOSTILE
from tests.web.browser.tools import INPUT

Opened = Callable[..., Any]
ATTACKS = [
    HOSTILE,
    "<svg/onload=window.pwned=1>",
    "</style><script>window.pwned=1</script>",
    "'\"><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "{number} {date} {n} $& $1 $` \\u003cscript\\u003e",
    "\u202e\u2066\u2067\u2068\u202a\u202b\u200f" * 5 + "12308",
    "a\u0300\u0301\u0302" * 300,
    "\U0001f600" * 50 + "\ufffe\uffff\u0000x",
    "𝕵𝖆𝖛𝖆𝖘𝖈𝖗𝖎𝖕𝖙:alert(1)" + "\u3164\u115f\u2800" * 20,
    "W" * 1900,
]
CODE = (
    "script, iframe, object, embed, img, svg, style, link, base, meta, "
    "[onerror], [onload], [onclick], [style], [srcdoc]"
)


def inside(page: Any, selector: str) -> int:
    """How many elements in the widget fit the selector."""
    count: int = page.evaluate(
        "selector => document.querySelector('guitu-chat').shadowRoot.querySelectorAll(selector).length",
        selector,
    )
    return count


@pytest.fixture
def page(open_page: Opened, fake: str) -> Any:
    """The chat page."""
    opened = open_page(f"{fake}/?lang=zh-Hans")
    opened.locator(INPUT).wait_for()
    return opened


def test_what_people_type_stays_text(page: Any) -> None:
    for attack in ATTACKS:
        page.locator(INPUT).fill(attack + " refuse")
        page.locator(INPUT).press("Enter")
        page.locator("guitu-chat .a >> nth=-1 >> .note").wait_for()
        shown = page.locator("guitu-chat .q").last.evaluate("e => e.lastChild.textContent")
        assert shown == (attack.replace("\r", "") + " refuse").strip()
    assert inside(page, CODE) == 0
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_articles_say_stays_text(page: Any, shot: Callable[..., None]) -> None:
    page.locator(INPUT).fill("emergency hostile")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .srcs").wait_for()
    for summary in page.locator("guitu-chat summary").all():
        summary.click()
    quotes = page.locator("guitu-chat blockquote").all()
    assert quotes
    assert all(quote.evaluate("e => e.textContent") == HOSTILE for quote in quotes), "word for word"
    assert inside(page, CODE) == 0
    links = page.evaluate(
        "[...document.querySelector('guitu-chat').shadowRoot.querySelectorAll('[href]')].map(a => a.protocol)"
    )
    assert links
    assert set(links) <= {"http:", "https:", "tel:"}
    assert page.evaluate("window.pwned") is None
    assert page.problems == []
    shot(page, "hostile-text", full_page=True)


def test_hostile_offers_stay_text(page: Any) -> None:
    page.get_by_role("button", name="查招工信息").click()
    page.locator(INPUT).fill(HOSTILE)
    page.get_by_role("button", name="检查", exact=True).click()
    page.locator("guitu-chat .verdict").wait_for()
    assert inside(page, CODE) == 0
    assert page.evaluate("window.pwned") is None


def test_direction_marks_turn_nothing_around_them(page: Any) -> None:
    page.locator(INPUT).fill("\u202e\u2067 emergency")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .card").wait_for()
    for part in ("bdi", ".q", "blockquote"):
        styles = page.evaluate(
            """part => [...document.querySelector('guitu-chat').shadowRoot.querySelectorAll(part)]
                 .map(e => getComputedStyle(e).unicodeBidi)""",
            part,
        )
        assert styles
        assert set(styles) <= {"isolate", "plaintext", "isolate-override"}, part


@pytest.mark.parametrize(
    "answer", ["[]", "{}", "null", '{"status":"answered","sentences":7,"citations":{"a":1}}', "<html>"]
)
def test_a_broken_reply_breaks_nothing(page: Any, answer: str) -> None:
    page.route("**/v1/ask", lambda route: route.fulfill(body=answer, content_type="application/json"))
    page.locator(INPUT).fill("x")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .a > *:not(.busy)").first.wait_for()
    assert "网络断了" not in page.locator("guitu-chat .a").inner_text()
    page.unroute("**/v1/ask")
    page.locator(INPUT).fill("y")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .srcs").wait_for()
    assert page.problems == []


def test_a_contact_never_dials_what_is_no_number(page: Any) -> None:
    bad = [
        {"name": "x", "number": "javascript:window.pwned=1", "checked": "2026-01-01"},
        {"name": "x", "number": "tel:123;phone-context=evil", "checked": None},
        {"name": "x", "number": None, "local": None},
        {"name": "x", "number": 12308},
        {"name": "x", "number": "+86 (10) 12308", "source": {"publisher": "p", "url": "data:text/html,x"}},
    ]
    reply = {"id": "1", "status": "emergency", "language": "en", "contacts": bad}
    page.route("**/v1/ask", lambda route: route.fulfill(json=reply))
    page.locator(INPUT).fill("x")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .a .cts").wait_for()
    links = page.evaluate(
        """[...document.querySelector('guitu-chat').shadowRoot.querySelectorAll('.cts a')]
             .map(a => a.getAttribute('href'))"""
    )
    assert links == ["tel:12308", "tel:+861012308"]
