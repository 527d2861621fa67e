"""When little works: no scripts, no network, a very slow line."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.web.browser.conftest import PHONE
from tests.web.browser.tools import INPUT, until

Opened = Callable[..., Any]
# 50 KB a second and 400 ms to the server and back.
SLOW = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
USABLE_S = 5.0
MAX_PAGE_BYTES = 60_000


def test_lost_network_keeps_the_text_and_sends_it_again(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    page.locator(INPUT).wait_for()
    page.context.set_offline(True)
    page.locator(INPUT).fill("被困了怎么办 又断网")
    page.locator(INPUT).press("Enter")
    page.locator("guitu-chat .a >> text=网络断了").wait_for()
    assert "被困了怎么办 又断网" in page.locator("guitu-chat .q").inner_text()
    page.context.set_offline(False)
    page.locator("guitu-chat .srcs").wait_for()
    asked = page.evaluate(f"fetch('{fake}/seen').then(r => r.json())")["asked"]
    assert [one["question"] for one in asked].count("被困了怎么办 又断网") == 1
    assert page.locator("guitu-chat .q").count() == 1


def test_errors_are_told_in_plain_words_and_can_be_tried_again(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=en")
    for said, word in (
        ("Too many requests", "busy"),
        ("cannot be reached", "down"),
        ("went wrong", "broken"),
    ):
        page.locator(INPUT).fill(word)
        page.locator(INPUT).press("Enter")
        answer = page.locator("guitu-chat .a").last
        answer.locator(".note").wait_for()
        assert said in answer.inner_text()
        assert answer.get_by_role("button", name="Send again").count() == 1
    page.locator(INPUT).fill("   ")
    page.locator(INPUT).press("Enter")
    assert page.locator("guitu-chat [role=alert]").inner_text() == "Please write something first."


def test_a_long_wait_is_shown(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=en")
    page.locator(INPUT).fill("slow")
    page.locator(INPUT).press("Enter")
    assert page.locator("guitu-chat .a").get_attribute("aria-busy") == "true"
    page.locator("guitu-chat >> text=The network is slow").wait_for()
    page.locator("guitu-chat .srcs").wait_for()
    assert page.locator("guitu-chat .a").get_attribute("aria-busy") is None


def test_the_page_its_numbers_and_answers_are_there_without_a_network(
    open_page: Opened, fake: str, shot: Callable[..., None]
) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", service_workers="allow")
    until(page, "caches.open('v1').then(cache => cache.keys()).then(keys => keys.length > 8)")
    page.context.set_offline(True)
    page.goto(f"{fake}/?lang=zh-Hans")
    page.locator(INPUT).wait_for()
    page.locator(INPUT).fill("断网了怎么求助")
    page.locator(INPUT).press("Enter")
    saved = page.locator("guitu-chat .a >> text=保存的离线内容")
    saved.wait_for()
    assert time.strftime("%Y-") in saved.inner_text(), "the date is shown"
    page.locator('guitu-chat .card [data-c="CN"]').click()
    page.locator('guitu-chat .card [data-c="MM"]').click()
    page.locator("guitu-chat .card .num >> text=+86-10-12308").wait_for()
    questions = page.locator("guitu-chat .sug .chip")
    assert questions.count() == 20
    shot(page, "offline-zh-Hans", full_page=True)
    questions.first.click()
    page.locator("guitu-chat blockquote").first.wait_for(state="attached")
    # What was asked stands in no cache.
    kept = page.evaluate(
        """caches.open('v1').then(async cache =>
             Promise.all((await cache.keys()).map(
               async key => key.url + await (await cache.match(key)).text())))"""
    )
    assert kept
    assert not [one for one in kept if "断网了怎么求助" in one]


def test_the_widget_on_other_pages_has_the_numbers_without_a_network(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/simple")
    page.locator("guitu-chat .launch").click()
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.locator(INPUT).fill("救命")
    page.locator(INPUT).press("Enter")
    page.locator('guitu-chat .a .card [data-c="CN"]').click()
    page.locator('guitu-chat .a .card [data-c="KH"]').click()
    page.locator("guitu-chat .a .card .num >> text=+86-10-12308").wait_for()


def test_on_a_very_slow_line_the_page_is_usable_soon_and_light(open_page: Opened, fake: str) -> None:
    page = open_page(viewport=PHONE, service_workers="allow")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW)
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    started = time.monotonic()
    page.goto(f"{fake}/?lang=my", wait_until="commit")
    page.locator(INPUT).wait_for()
    usable_s = time.monotonic() - started
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(3000)
    print(f"usable after {usable_s:.2f} s, {sum(received):.0f} bytes with everything kept for offline use")
    assert received
    assert usable_s < USABLE_S
    assert sum(received) < MAX_PAGE_BYTES


def test_without_scripts_the_form_asks_and_answers(open_page: Opened, fake: str, shot: Callable[..., None]) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", java_script_enabled=False)
    page.locator("#question").fill("被困了怎么办")
    page.locator('form >> select[name="nationality"]').select_option("CN")
    page.get_by_role("button", name="提问").click()
    answer = page.locator("#answer")
    answer.wait_for()
    assert "先顾安全" in answer.inner_text()
    answer.locator("a.mark").first.click()
    page.locator("#s1 summary").click()
    assert page.locator("#s1 blockquote").is_visible()
    shot(page, "no-script-answer", full_page=True)
    page.locator("#s1 a").first.click()
    assert page.locator("mark#quote").is_visible()
    page.go_back()
    page.locator("#answer .sug button").first.click()
    page.locator("#answer .q").wait_for()
    assert "我可以向谁求助" in page.locator("#answer .q").inner_text()


def test_without_scripts_an_emergency_shows_its_numbers_first(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", java_script_enabled=False)
    page.locator("#question").fill("emergency")
    page.get_by_role("button", name="提问").click()
    first = page.locator("#answer > *:not(.q)").first
    assert "card" in first.get_attribute("class")
    assert first.locator('a[href="tel:+861012308"]').count() == 1
