"""Static files: the size budget, compression, names by content, what a browser holds already."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from starlette.requests import Request

from retrieval import LANGUAGES
from web.assets import IMMUTABLE, STATIC_DIR, asset_url, assets, find_asset, small_css, small_js
from web.strings import BUILT_IN_LANGUAGES

# Issue 6: one file with its style, compressed.
MAX_WIDGET_BYTES = 15_000


def test_the_widget_is_small() -> None:
    size = len(gzip.compress(assets()["widget.js"].body, 9))
    assert size <= MAX_WIDGET_BYTES, f"widget.js has {size} bytes gzip, more than {MAX_WIDGET_BYTES}; shorten it"


def test_the_widget_is_whole_and_holds_two_languages() -> None:
    script = assets()["widget.js"].body.decode()
    assert not re.search(r"__[A-Z]+__", script)
    assert "想问什么" in script
    assert "What do you want to ask" in script
    assert "คุณอยากถามอะไร" not in script


@pytest.mark.parametrize("name", ["widget.js", "page.js", "sw.js"])
def test_scripts_never_make_markup_or_run_text(name: str) -> None:
    script = small_js((STATIC_DIR / name).read_text("utf-8"))
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        r"|createContextualFragment|DOMParser|setHTML|`\n"
    )
    assert not re.search(forbidden, script)
    assert not re.search(r"https?://(?!www\.baidu\.com/|www\.google\.com/)", script), "nothing from elsewhere"


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_served_by_language(language: str) -> None:
    found = json.loads(assets()[f"strings/{language}.json"].body)
    assert found["countries"]["MM"]
    assert found["ask"]
    assert len(assets()[f"strings/{language}.json"].compressed) < 4_000
    assert len(BUILT_IN_LANGUAGES) == 2


def test_names_follow_the_content_and_old_names_still_answer() -> None:
    url = asset_url("page.css")
    assert re.fullmatch(r"/static/page\.[0-9a-f]{12}\.css", url)
    assert find_asset(url.removeprefix("/static/")) == (assets()["page.css"], IMMUTABLE)
    old = find_asset("page.000000000000.css")
    assert old is not None
    assert old[0] is assets()["page.css"]
    assert old[1] != IMMUTABLE


@pytest.mark.parametrize(
    "path", ["../pages.py", "widget.css.map", "", "icons", "strings/xx.json", "page.css/", "%2e%2e/x"]
)
def test_nothing_else_is_served(path: str) -> None:
    assert find_asset(path) is None


def test_what_the_browser_holds_is_not_sent_again() -> None:
    asset = assets()["page.css"]

    def asked(**headers: str) -> Request:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return Request({"type": "http", "headers": raw})

    assert asset.response(asked(if_none_match=f'W/"{asset.digest}"'), IMMUTABLE).status_code == 304
    packed = asset.response(asked(accept_encoding="br, gzip"), IMMUTABLE)
    assert gzip.decompress(bytes(packed.body)) == asset.body
    assert bytes(asset.response(asked(), IMMUTABLE).body) == asset.body


def test_making_scripts_and_styles_small_keeps_their_meaning() -> None:
    assert small_js("// a\n  x('//b');\n\n  y();\n") == "x('//b');\ny();\n"
    assert (
        small_css("/* a */ .b , .c { d: e f ; }\n@media (x) and (y) { g { h: i; } }")
        == ".b,.c{d: e f}@media (x) and (y){g{h: i}}"
    )
