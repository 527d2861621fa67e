"""For somebody who is watched: quick exit, nothing left behind, another title."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browser.tools import INPUT, until

Opened = Callable[..., Any]
SECRET = "我在妙瓦底园区"
AWAY = "https://www.baidu.com/"


def converse(page: Any) -> None:
    """Asks something that nobody else should see."""
    page.locator(INPUT).fill(SECRET)
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .srcs").wait_for()


def history(page: Any) -> list[str]:
    """Every address in the history of the tab."""
    session = page.context.new_cdp_session(page)
    return [entry["url"] for entry in session.send("Page.getNavigationHistory")["entries"]]


@pytest.mark.parametrize("way", ["button", "escape"])
def test_quick_exit_leaves_no_entry_of_the_conversation(open_page: Opened, fake: str, way: str) -> None:
    page = open_page(f"{fake}/about")
    page.goto(f"{fake}/?lang=zh-Hans")
    converse(page)
    if way == "button":
        page.get_by_role("link", name="快速离开").click()
    else:
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
    page.wait_for_url(AWAY)
    assert not [url for url in history(page) if "lang=zh-Hans" in url]
    page.go_back()
    assert SECRET not in page.content()
    assert page.url.endswith("/about")


def test_the_screen_is_empty_before_the_neutral_page_arrives(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    converse(page)
    page.context.unroute(AWAY)
    page.context.route(AWAY, lambda route: route.abort("aborted"))
    page.evaluate("document.getElementById('exit').click()")
    assert page.evaluate("document.documentElement.childNodes.length") == 0


def test_one_press_of_escape_and_two_slow_ones_stay(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    converse(page)
    page.keyboard.press("Escape")
    page.wait_for_timeout(800)
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    assert page.url.startswith(fake)


def test_all_our_tabs_leave_together(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    converse(page)
    page.locator("guitu-chat summary").first.click()
    with page.expect_popup() as opened:
        page.locator("guitu-chat details a").first.click()
    article = opened.value
    article.wait_for_load_state()
    assert "/articles/" in article.url
    article.locator("#exit").click()
    article.wait_for_url(AWAY)
    page.wait_for_url(AWAY)


def test_quick_exit_of_the_widget_leaves_the_page_of_the_host(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/simple")
    page.locator("guitu-chat .launch").click()
    converse(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_url(AWAY)
    assert not [url for url in history(page) if "/simple" in url]


def test_nothing_is_stored_by_default(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    converse(page)
    kept = "() => [document.cookie, Object.keys(localStorage).length, Object.keys(sessionStorage).length]"
    assert page.evaluate(kept) == ["", 0, 0]
    assert page.evaluate("indexedDB.databases().then(found => found.length)") == 0
    assert page.context.cookies() == []
    assert SECRET not in page.url
    assert SECRET not in page.title()
    page.reload()
    page.locator(INPUT).wait_for()
    assert SECRET not in page.content() + page.locator("guitu-chat .g").inner_text()
    assert page.locator(INPUT).input_value() == ""


def test_the_language_is_remembered_only_when_allowed(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/simple", viewport={"width": 1280, "height": 860})
    page.locator("guitu-chat .launch").click()
    page.locator("guitu-chat select#l").select_option("en")
    assert page.evaluate("localStorage.length") == 0
    page.locator("guitu-chat #k").check()
    assert page.evaluate("({...localStorage})") == {"guitu.lang": "en"}
    page.reload()
    page.locator("guitu-chat .launch").click()
    assert page.locator("guitu-chat select#l").input_value() == "en"
    page.locator("guitu-chat").get_by_role("button", name="Clear").click()
    assert page.evaluate("localStorage.length") == 0


def test_one_tap_clears_everything(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", service_workers="allow")
    converse(page)
    until(page, "caches.keys().then(keys => keys.length > 0)")
    page.locator("guitu-chat").get_by_role("button", name="清空").click()
    assert page.locator("guitu-chat .q").count() == 0
    until(page, "caches.keys().then(keys => keys.length === 0)")
    page.locator(INPUT).fill("再问")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .srcs").wait_for()
    asked = page.evaluate(f"fetch('{fake}/seen').then(r => r.json())")["asked"]
    assert "conversation_id" not in asked[-1]
    assert "nationality" not in asked[-1]


def test_disguise_changes_title_and_icon_and_stays(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    converse(page)
    page.locator("#neutral").click()
    assert page.title() == "笔记"
    assert "note" in page.locator("link[rel=icon]").get_attribute("href")
    assert page.locator("guitu-chat .srcs").count() == 1, "the conversation goes on"
    assert len(history(page)) == 2
    for link in page.locator("nav.nav a").all():
        page_link = link.get_attribute("href")
        assert "n=1" in page_link
    page.locator("nav.nav a").nth(1).click()
    page.wait_for_load_state()
    assert page.title() == "笔记"
    assert page.locator("link[rel=manifest]").count() == 0


def test_without_scripts_disguise_and_exit_are_links(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", java_script_enabled=False)
    page.locator("#neutral").click()
    assert page.title() == "笔记"
    page.locator("#exit").click()
    page.wait_for_url(AWAY)
