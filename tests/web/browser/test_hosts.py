"""The widget on pages of other people: hostile style, strict policies, frames, several, applications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

Opened = Callable[..., Any]
DESK = {"width": 1280, "height": 860}


def answer_in(page: Any, panel: str = "guitu-chat") -> None:
    """Opens the widget and gets an answer."""
    page.locator(f"{panel} .launch").click()
    page.locator(f"{panel} textarea#q").fill("被困了怎么办")
    page.locator(f"{panel} textarea#q").press("Enter")
    page.locator(f"{panel} .srcs").wait_for()


def test_a_strict_policy_needs_our_origin_for_script_and_connection_alone(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/strict", viewport=DESK)
    answer_in(page)
    # The style arrived although style-src is 'none', and words of another language came by connect-src.
    assert page.locator("guitu-chat .g").evaluate("e => getComputedStyle(e).position") == "fixed"
    page.locator("guitu-chat select#l").select_option("th")
    page.locator("guitu-chat").get_by_text("แหล่งที่มา", exact=True).wait_for()
    assert page.problems == []


def test_a_hostile_page_neither_hides_nor_bends_nor_covers_the_widget(
    open_page: Opened, host: str, shot: Callable[..., None]
) -> None:
    page = open_page(f"{host}/hostile", viewport=DESK)
    answer_in(page)
    panel = page.locator("guitu-chat .g")
    style = panel.evaluate(
        """e => {
          const s = getComputedStyle(e);
          return [s.fontSize, s.letterSpacing, s.direction, s.fontFamily];
        }"""
    )
    assert style[:3] == ["16px", "normal", "ltr"]
    assert "monospace" not in style[3]
    box = panel.bounding_box()
    assert box["width"] == 400
    assert box["x"] + box["width"] <= 1280
    assert page.evaluate("getComputedStyle(document.querySelector('guitu-chat')).opacity") == "1"
    top = "([x, y]) => document.elementFromPoint(x, y).tagName"
    assert page.evaluate(top, [box["x"] + 200, box["y"] + 200]) == "GUITU-CHAT", "it stands above every z-index"
    # Yellow with white words could not be read.
    assert page.locator("guitu-chat .launch").evaluate("e => getComputedStyle(e).color") == "rgb(0, 0, 0)"
    shot(page, "host-hostile-desk")


def test_the_widget_changes_nothing_on_the_page(open_page: Opened, host: str) -> None:
    look = """() => JSON.stringify([document.title, location.href, document.cookie, Object.keys(localStorage),
      Object.keys(sessionStorage), history.length, document.querySelectorAll('link,style').length,
      ...[...document.querySelectorAll('body > p')].map(p => {
        const b = p.getBoundingClientRect(), s = getComputedStyle(p);
        return [b.x, b.y, b.width, b.height, s.color, s.font]; })])"""
    plain = open_page(f"{host}/plain", viewport=DESK)
    before = plain.evaluate(look).replace("/plain", "/simple")
    page = open_page(f"{host}/simple", viewport=DESK)
    page.locator("guitu-chat .launch").wait_for()
    assert page.evaluate(look) == before
    answer_in(page)
    assert page.evaluate(look) == before


def test_an_answer_does_not_scroll_the_page_of_the_host(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/simple", viewport=DESK)
    page.evaluate("document.body.style.minHeight = '5000px'; scrollTo(0, 1500)")
    answer_in(page)
    page.locator("guitu-chat .mark").last.click()
    assert page.evaluate("scrollY") == 1500


def test_nothing_is_asked_of_anybody_but_our_server(open_page: Opened, host: str, fake: str) -> None:
    page = open_page(viewport=DESK)
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request))
    page.goto(f"{host}/simple")
    answer_in(page)
    assert asked
    assert {request.url.split("/")[2] for request in asked} == {host.split("/")[2], fake.split("/")[2]}
    ours = [request for request in asked if request.url.startswith(fake)]
    assert not [request for request in ours if "cookie" in request.all_headers()]


def test_several_widgets_live_on_one_page(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/several", viewport=DESK)
    chats = page.locator("guitu-chat")
    # Left, right, and in the page; the second on the right is the first again.
    assert chats.count() == 3
    answer_in(page, 'guitu-chat[data-at="left"]')
    assert page.locator('guitu-chat[data-at="right"] .q').count() == 0
    page.locator('guitu-chat[data-at="#one"] textarea#q').fill("busy")
    page.locator('guitu-chat[data-at="#one"] textarea#q').press("Enter")
    page.locator('guitu-chat[data-at="#one"] .note').wait_for()
    assert page.locator('guitu-chat[data-at="left"] .q').count() == 1


def test_the_widget_survives_an_application_that_replaces_the_page(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/spa", viewport=DESK)
    answer_in(page)
    page.evaluate("document.body.innerHTML = '<p>another view</p>'")
    page.locator("guitu-chat .srcs").wait_for()
    page.evaluate(
        "const body = document.createElement('body'); body.textContent = 'x'; document.body.replaceWith(body)"
    )
    page.locator("guitu-chat .srcs").wait_for()
    # Routers run the script again on each view.
    source = page.evaluate("performance.getEntriesByType('resource').find(e => e.name.includes('widget.js')).name")
    page.add_script_tag(url=source)
    assert page.locator("guitu-chat").count() == 1
    assert page.problems == []


def test_a_host_may_use_a_frame_instead(open_page: Opened, host: str, fake: str) -> None:
    page = open_page(f"{host}/frame", viewport=DESK)
    frame = page.frame_locator("iframe")
    frame.locator("guitu-chat textarea#q").fill("被困了怎么办")
    frame.locator("guitu-chat textarea#q").press("Enter")
    frame.locator("guitu-chat .srcs").wait_for()
    frame.locator("guitu-chat .leave").click()
    page.wait_for_url("https://www.baidu.com/")
    policy = httpx.get(f"{fake}/embed").headers["content-security-policy"]
    assert f"frame-ancestors 'self' {host}" in policy
    assert "frame-ancestors 'none'" in httpx.get(f"{fake}/").headers["content-security-policy"]


def test_only_allowed_origins_may_talk_to_us(open_page: Opened, fake: str, host: str) -> None:
    page = open_page(f"{host}/plain")
    ask = f"""() => fetch('{fake}/v1/ask', {{method: 'POST', headers: {{'Content-Type': 'application/json'}},
      body: '{{"question": "x"}}'}}).then(r => r.status, () => 'refused')"""
    assert page.evaluate(ask) == 200
    # The same machine by another name is another origin, and not on the list.
    page.goto(f"{host}/plain".replace("127.0.0.1", "localhost"))
    assert page.evaluate(ask) == "refused"


@pytest.mark.parametrize("where", ["/strict", "/frame"])
def test_the_widget_opens_and_closes_without_a_problem(open_page: Opened, host: str, where: str) -> None:
    page = open_page(f"{host}{where}", viewport=DESK)
    page.wait_for_timeout(300)
    assert page.problems == []


def test_on_a_phone_the_widget_fills_the_screen(open_page: Opened, host: str, shot: Callable[..., None]) -> None:
    page = open_page(f"{host}/simple")
    answer_in(page)
    box = page.locator("guitu-chat .g").bounding_box()
    assert (box["width"], box["height"]) == (360, 740)
    shot(page, "host-simple-phone")
    page.locator("guitu-chat").get_by_role("button", name="关闭").click()
    assert page.locator("guitu-chat .g").is_hidden()
