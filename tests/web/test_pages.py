"""The pages without a browser: what stands in them, in every language, with and without an index."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from retrieval import LANGUAGES, Article, Heading, Sentence, Source
from retrieval.article_file import read_article
from tests.web.browser.fake_app import ARTICLE, HOSTILE, create_fake_app
from web.offline import N_ANSWERS
from web.pages import article_blocks
from web.settings import Settings

ATOM = "{http://www.w3.org/2005/Atom}"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """The pages over the real articles and contacts, without a model."""
    settings = Settings(data=tmp_path_factory.mktemp("data"), public_url="https://help.example.org")
    return TestClient(create_fake_app(settings))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """The pages while no index can serve."""
    return TestClient(create_fake_app(Settings(data=tmp_path_factory.mktemp("data")), has_index=False))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_every_language(client: TestClient, language: str) -> None:
    for path in ("/", "/articles", "/contacts", "/about", f"/articles/{ARTICLE}", "/embed"):
        response = client.get(path, params={"lang": language})
        assert response.status_code == 200
        assert f'<html lang="{language}" dir="{"rtl" if language == "ur" else "ltr"}">' in response.text
        assert not re.search(r"<script(?![^>]*(src=|application/ld\+json))|\sstyle=|\son[a-z]+=|<style", response.text)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-TW,zh;q=0.9", "zh-Hant"),
        ("fil-PH", "tl"),
        ("xx, my;q=0.5", "my"),
        ("", "zh-Hans"),
        ("*" * 5000, "zh-Hans"),
    ],
)
def test_the_browser_says_the_language(client: TestClient, header: str, language: str) -> None:
    response = client.get("/", headers={"Accept-Language": header})
    assert f'<html lang="{language}"' in response.text
    assert "Accept-Language" in response.headers["vary"]


def test_pages_stay_out_of_the_cache_of_the_browser(client: TestClient) -> None:
    for path in ("/", f"/articles/{ARTICLE}", "/contacts"):
        assert client.get(path).headers["cache-control"] == "no-store"
        assert "set-cookie" not in client.get(path).headers


def test_the_chat_page_shows_numbers_of_the_likely_nationality_first(client: TestClient) -> None:
    text = client.get("/", params={"lang": "zh-Hans"}).text
    assert text.index('href="tel:+861012308"') < text.index("<textarea")
    assert "+86" not in client.get("/", params={"lang": "en"}).text


def test_without_an_index_pages_still_help(broken: TestClient) -> None:
    home = broken.get("/", params={"lang": "zh-Hans"})
    assert home.status_code == 200
    assert "+86-10-12308" in home.text
    article = broken.get(f"/articles/{ARTICLE}", params={"lang": "zh-Hans"})
    assert article.status_code == 503
    assert "+86-10-12308" in article.text
    articles = broken.get("/articles", params={"lang": "zh-Hans"})
    assert articles.status_code == 200
    assert "+86-10-12308" in articles.text
    assert broken.get("/contacts").status_code == 200
    bundle = broken.get("/offline.json", params={"lang": "zh-Hans"}).json()
    assert bundle["contacts"]
    assert bundle["answers"] == []


def test_an_article_marks_the_quote_and_lists_its_sources(client: TestClient) -> None:
    article = client.get("/articles/" + ARTICLE, params={"start": 12, "end": 60, "lang": "zh-Hans"}).text
    assert article.count('<mark id="quote"') == 1
    assert 'id="f1"' in article
    assert 'href="#f1"' in article
    assert "核对于 2026-11-23" in article
    data = json.loads(re.search(r'ld\+json">(.*?)</script>', article, re.S)[1])  # type: ignore[index]
    assert data["@type"] == "Article"
    assert data["mainEntityOfPage"] == f"https://help.example.org/articles/{ARTICLE}"


@pytest.mark.parametrize(
    "query",
    [
        "start=5",
        "start=9&end=3",
        "start=-1&end=4",
        "start=a&end=b",
        "start=1e9&end=2",
        f"start=1&end={'9' * 60}",
        "start=１&end=２",
    ],
)
def test_a_strange_span_marks_nothing_and_breaks_nothing(client: TestClient, query: str) -> None:
    response = client.get(f"/articles/{ARTICLE}?{query}")
    assert response.status_code == 200
    assert "<mark" not in response.text


def test_withdrawn_and_unknown_articles_are_gone(tmp_path: Path) -> None:
    client = TestClient(create_fake_app(Settings(data=tmp_path)))
    assert client.get(f"/articles/{ARTICLE}").status_code == 200
    (tmp_path / "withdrawn.json").write_text(json.dumps([ARTICLE]))
    assert client.get(f"/articles/{ARTICLE}").status_code == 410
    for path in ("/articles", "/sitemap.xml", "/feed.xml", "/offline.json"):
        assert ARTICLE not in client.get(path, params={"lang": "zh-Hans", "in": "zh-Hans"}).text
    assert client.get("/articles/none").status_code == 404


@pytest.fixture
def hostile_article(own_article: Callable[..., bytes]) -> Article:
    """An article that attacks the page: markup in title and text, links that are no links."""
    article = read_article(own_article("hostile", title="x", body="## 问\n答案。[^one]"))
    bad = Source("<b>p</b>", "</script><script>alert(1)</script>", "javascript:alert(1)", "2026-01-01")
    text = f"问\n{HOSTILE}"
    return Article(
        article_id="hostile",
        title=HOSTILE,
        url="javascript:alert(1)",
        publisher="<i>x</i>",
        published=article.published,
        language="zh-Hans",
        text=text,
        sentences=(Sentence(2, len(text), ("one",)),),
        headings=(Heading(0, 1),),
        sources={"one": bad},
        is_own=False,
        origin="<u>o</u>",
    )


def test_a_hostile_article_is_text_on_every_page(tmp_path: Path, hostile_article: Article) -> None:
    app = create_fake_app(Settings(data=tmp_path))
    app.state.service.articles["hostile"] = hostile_article
    client = TestClient(app)
    for path in ("/articles/hostile?start=2&end=40", "/articles?in=zh-Hans&q=pwned"):
        text = client.get(path).text
        assert "&lt;script&gt;window.pwned=1" in text
        assert not re.search(r"<script>|<img|<style|<svg|href=\"javascript:", text)
    data = json.loads(re.search(r'ld\+json">(.*?)</script>', client.get("/articles/hostile").text, re.S)[1])  # type: ignore[index]
    assert data["headline"] == HOSTILE
    assert ET.fromstring(client.get("/feed.xml").content) is not None


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(0, 220), st.integers(0, 220), st.data())
def test_blocks_lose_and_add_no_character(text: str, start: int, end: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    sentences = tuple(Sentence(a, b, ("k",)) for a, b in pairwise(cuts) if text[a:b].strip())
    article = Article(
        "x", "t", None, "p", "2026-01-01", "en", text, sentences, sources={"k": Source("p", "t", None, None)}
    )
    start, end = min(start, len(text)), min(end, len(text))
    blocks, notes = article_blocks(article, start, end)
    lines = ["".join(segment.text for segment in block.segments) for block in blocks]
    assert lines == [line for line in text.split("\n") if line]
    marked = "".join(s.text for block in blocks for s in block.segments if s.is_quoted)
    assert marked == (text[start:end].replace("\n", "") if start < end else "")
    assert sum(s.is_first_quoted for block in blocks for s in block.segments) == (1 if marked else 0)
    assert len(notes) == (1 if any(s.notes for block in blocks for s in block.segments) else len(notes))


def test_the_offline_bundle_is_small_dated_and_true(client: TestClient) -> None:
    response = client.get("/offline.json", params={"lang": "zh-Hans"})
    assert int(response.headers["content-length"]) < 20_000
    bundle = response.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", bundle["date"])
    assert len(bundle["answers"]) == N_ANSWERS
    for answer in bundle["answers"]:
        (citation,) = answer["citations"]
        assert answer["sentences"]
        assert all(sentence["text"] in citation["quote"] for sentence in answer["sentences"])
        page = client.get(f"/v1-text/{citation['article_id']}")
        assert page.status_code == 404
    assert {"CN", "VN"} <= {code for contact in bundle["contacts"] for code in contact["for"].split(",")}


def test_the_lists_for_programs_are_well_formed(client: TestClient) -> None:
    robots = client.get("/robots.txt").text
    assert "Sitemap: https://help.example.org/sitemap.xml" in robots
    urls = [one.text for one in ET.fromstring(client.get("/sitemap.xml").content).iter(f"{SITEMAP}loc")]
    assert f"https://help.example.org/articles/{ARTICLE}" in urls
    feed = ET.fromstring(client.get("/feed.xml").content)
    dates = [one.findtext(f"{ATOM}updated") or "" for one in feed.iter(f"{ATOM}entry")]
    assert dates
    assert dates == sorted(dates, reverse=True)
    assert client.get("/manifest.webmanifest").json()["name"] == "Notes"
    assert client.get("/sw.js").headers["cache-control"] == "no-cache"


def test_the_form_answers_and_refuses_in_plain_words(client: TestClient) -> None:
    answered = client.post("/", params={"lang": "zh-Hans"}, data={"action": "ask", "question": "被困了怎么办"})
    assert answered.status_code == 200
    assert 'class="srcs"' in answered.text
    assert answered.headers["cache-control"] == "no-store"
    empty = client.post("/", params={"lang": "zh-Hans"}, data={"action": "ask", "question": "  "})
    assert empty.status_code == 422
    assert "请先写下内容" in empty.text
    long = client.post("/", params={"lang": "zh-Hans"}, data={"action": "ask", "question": "长" * 3000})
    assert long.status_code == 422
    assert "内容太长" in long.text
    unready = client.post("/", params={"lang": "zh-Hans"}, data={"action": "check", "offer": "高薪"})
    assert unready.status_code == 503
    assert "+86-10-12308" in unready.text
    hostile = client.post("/", params={"lang": "zh-Hans"}, data={"action": "ask", "question": HOSTILE + "hostile"})
    assert not re.search(r"<script>|<img|<style|href=\"javascript:", hostile.text)


def test_links_keep_language_and_disguise(client: TestClient) -> None:
    text = client.get("/about", params={"lang": "th", "n": "1"}).text
    assert "<title>บันทึก</title>" in text
    assert "/static/icons/note." in text
    assert 'href="/contacts?lang=th&amp;n=1"' in text
    assert "manifest" not in text
