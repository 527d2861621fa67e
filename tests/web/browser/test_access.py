"""For everyone: axe on each state, the keyboard alone, a screen reader, narrow and zoomed screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browser.tools import INPUT, ask, violations

Opened = Callable[..., Any]

STATES: dict[str, tuple[str, str]] = {
    "answered": ("被困了怎么办", ".srcs"),
    "emergency": ("emergency", ".card"),
    "declined": ("refuse", ".note"),
    "not-covered": ("nothing", ".sug"),
    "busy": ("busy", ".note"),
    "down": ("down", ".card"),
    "broken": ("broken", ".note"),
    "hostile": ("hostile", ".srcs"),
}


@pytest.mark.parametrize(
    ("state", "scheme"),
    [
        *((state, "light") for state in ("start", *STATES)),
        ("start", "dark"),
        ("emergency", "dark"),
        ("hostile", "dark"),
    ],
)
def test_axe_finds_nothing_in_any_state_of_the_chat(open_page: Opened, fake: str, state: str, scheme: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", color_scheme=scheme)
    page.locator(INPUT).wait_for()
    if state in STATES:
        ask(page, *STATES[state])
        for summary in page.locator("guitu-chat summary").all():
            summary.click()
    assert violations(page) == []


def test_axe_sees_into_the_widget(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=en")
    page.locator(INPUT).wait_for()
    page.evaluate("document.querySelector('guitu-chat').shadowRoot.querySelector('.log').append(new Image())")
    assert any("image-alt" in line for line in violations(page))


def test_axe_finds_nothing_in_the_offer_check_and_feedback(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=en")
    page.get_by_role("button", name="Check a job offer").click()
    assert violations(page) == []
    page.locator(INPUT).fill("High pay, flight paid")
    page.get_by_role("button", name="Check", exact=True).click()
    page.locator("guitu-chat .verdict").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="Ask", exact=True).first.click()
    ask(page, "a question", ".fb")
    page.locator("guitu-chat .fb button").first.click()
    page.locator("guitu-chat .fb textarea").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("lang", ["zh-Hans", "my", "ur"])
@pytest.mark.parametrize(
    "path",
    [
        "/articles",
        "/articles/zh-if-you-are-trapped?start=12&end=60",
        "/contacts",
        "/about",
        "/embed",
        "/articles/none",
    ],
)
def test_axe_finds_nothing_on_the_pages_around(open_page: Opened, fake: str, path: str, lang: str) -> None:
    page = open_page(f"{fake}{path}{'&' if '?' in path else '?'}lang={lang}")
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_widget_on_a_page_of_others(open_page: Opened, host: str, scheme: str) -> None:
    page = open_page(f"{host}/simple", color_scheme=scheme, viewport={"width": 1280, "height": 860})
    page.locator("guitu-chat .launch").click()
    ask(page, "emergency", ".card")
    page.locator("guitu-chat .alarm").click()
    found = [line for line in violations(page) if "guitu-chat" in line]
    assert found == []


def test_everything_can_be_done_by_keyboard_alone(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=en")
    page.locator(INPUT).wait_for()
    active = "document.activeElement"
    focused = f"({active}.shadowRoot ? {active}.shadowRoot.activeElement : {active})"

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            found = page.evaluate(f"(e => e.ariaLabel || e.innerText || e.id || '')({focused})")
            if name in found:
                return
        raise AssertionError(f"'{name}' cannot be reached with the Tab key")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to("Check a job offer")
    tab_to("q")
    page.keyboard.type("a question")
    page.keyboard.press("Enter")
    page.locator("guitu-chat .srcs").wait_for()
    assert page.evaluate(f"({focused}).id") == "q", "focus stays where the next question is typed"
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(f"({focused}).className") == "mark":
            break
    page.keyboard.press("Enter")
    assert page.locator("guitu-chat details[open] blockquote").count() == 1
    assert page.evaluate(f"({focused}).tagName") == "SUMMARY", "a mark leads to its source"
    tab_to("See it in the article")
    tab_to("Yes")
    page.keyboard.press("Enter")
    page.keyboard.type("fine")
    tab_to("Send")
    page.keyboard.press("Enter")
    page.locator("guitu-chat .fb >> text=Thank you.").wait_for()
    tab_to("Clear")
    page.keyboard.press("Enter")
    assert page.locator("guitu-chat .q").count() == 0


def test_focus_goes_in_when_the_widget_opens_and_back_when_it_closes(open_page: Opened, host: str) -> None:
    page = open_page(f"{host}/simple")
    launcher = page.locator("guitu-chat .launch")
    launcher.focus()
    page.keyboard.press("Enter")
    inside = "document.activeElement.shadowRoot.activeElement"
    assert page.evaluate(f"{inside}.id") == "q"
    assert launcher.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert page.locator("guitu-chat .g").is_hidden()
    assert page.evaluate(f"{inside}.className") == "launch"


def test_a_reply_is_announced_once_and_whole(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    page.locator(INPUT).wait_for()
    page.evaluate(
        """() => {
          const root = document.querySelector('guitu-chat').shadowRoot;
          window.spoken = [];
          for (const region of root.querySelectorAll('[role=status],[role=alert],[aria-live]')) {
            new MutationObserver(() => { if (region.textContent) window.spoken.push(region.textContent); })
              .observe(region, { childList: true, subtree: true, characterData: true });
          }
        }"""
    )
    ask(page, "被困了怎么办", ".srcs")
    page.wait_for_timeout(300)
    spoken = page.evaluate("window.spoken")
    answers = [line for line in spoken if "先顾安全" in line]
    assert len(answers) == 1, spoken
    assert "使领馆" in answers[0]


@pytest.mark.parametrize("lang", ["zh-Hans", "en", "my", "km", "ur", "th", "ru", "si"])
def test_nothing_runs_over_at_320_pixels(open_page: Opened, fake: str, lang: str) -> None:
    page = open_page(f"{fake}/?lang={lang}", viewport={"width": 320, "height": 640})
    page.locator(INPUT).wait_for()
    ask(page, "emergency hostile", ".card")
    for summary in page.locator("guitu-chat summary").all():
        summary.click()
    wide = page.evaluate(
        """() => {
          const found = [];
          const look = (root) => {
            for (const one of root.querySelectorAll('*')) {
              const box = one.getBoundingClientRect();
              if (one.shadowRoot) look(one.shadowRoot);
              if (one.matches('.vh, .vh *, .skip') || box.width <= 1) continue;
              if (box.right > innerWidth + 1 || box.left < -1) found.push(`${one.tagName}.${one.className}`);
            }
          };
          look(document);
          return found;
        }"""
    )
    assert wide == []
    for path in ("/contacts", "/articles", "/about", "/articles/zh-if-you-are-trapped"):
        page.goto(f"{fake}{path}?lang={lang}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path


def test_at_200_percent_everything_can_be_reached(open_page: Opened, host: str) -> None:
    # 200 % of 1280 x 720 is 640 x 360 CSS pixels.
    page = open_page(f"{host}/simple", viewport={"width": 640, "height": 360})
    page.locator("guitu-chat .launch").click()
    ask(page, "emergency", ".card")
    for name in ("清空", "提问", "紧急求助"):
        button = page.locator("guitu-chat").get_by_role("button", name=name).last
        button.scroll_into_view_if_needed()
        assert button.is_visible()


def test_targets_are_large_enough(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans")
    page.locator(INPUT).wait_for()
    ask(page, "emergency", ".card")
    small = page.evaluate(
        """() => {
          const found = [];
          const look = (root) => {
            for (const one of root.querySelectorAll('button,select,summary,input,a.tel,a.btn')) {
              const box = one.getBoundingClientRect();
              if (!box.width || one.matches('.vh')) continue;
              if (box.width < 24 || box.height < 24) found.push(one.outerHTML.slice(0, 80));
            }
            for (const one of root.querySelectorAll('*')) if (one.shadowRoot) look(one.shadowRoot);
          };
          look(document);
          return found;
        }"""
    )
    assert small == []


def test_motion_and_colours_follow_the_reader(open_page: Opened, fake: str, shot: Callable[..., None]) -> None:
    page = open_page(f"{fake}/?lang=zh-Hans", reduced_motion="reduce", forced_colors="active")
    page.locator(INPUT).wait_for()
    page.locator(INPUT).fill("slow")
    page.locator(INPUT).press("Enter")
    busy = page.locator("guitu-chat .busy")
    busy.wait_for()
    name = "e => getComputedStyle(e, '::after').animationName"
    assert busy.evaluate(name) == "none"
    shot(page, "forced-colours")
    dark = open_page(f"{fake}/?lang=zh-Hans", color_scheme="dark")
    dark.locator(INPUT).wait_for()
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 25, 27)"
    ask(dark, "emergency", ".card")
    shot(dark, "dark-emergency", full_page=True)


def test_urdu_runs_from_right_to_left(open_page: Opened, fake: str) -> None:
    page = open_page(f"{fake}/?lang=ur")
    page.locator(INPUT).wait_for()
    ask(page, "emergency", ".card")
    assert page.evaluate("document.documentElement.dir") == "rtl"
    panel = page.locator("guitu-chat .g")
    assert panel.get_attribute("dir") == "rtl"
    assert page.locator("guitu-chat .num").first.evaluate("e => getComputedStyle(e).direction") == "ltr"
