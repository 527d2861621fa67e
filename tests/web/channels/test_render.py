"""Answers as messages: within the limits of each platform, contacts first, nothing cut in the middle."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.contacts import ContactList
from bot.types import Answer, OfferReport, Signal
from retrieval import LANGUAGES
from tests.web.channels.support import HOTLINE, PUBLIC_URL, make_answer
from web.answer_page import write_page
from web.channels.base import Caps, Inbound, Outbound, Unit
from web.channels.phrases import _phrases, languages, nearest_language, phrase
from web.channels.registry import ADAPTERS
from web.render import MAX_SIGNS, answer_outbound, contact_line, cut, measure, render_parts, say

LONG = "我在妙瓦底👨‍👩‍👧‍👦被困了，护照也被收走，请问现在怎么办才能回家？家里人还在等我的消息。"
TO = Inbound("x", "main", "1", "c", "s", "text")


def outbound(answer: Answer, *, is_watched: bool = False) -> Outbound:
    return answer_outbound(answer, public_url=PUBLIC_URL, full_url=f"{PUBLIC_URL}/a/token", is_watched=is_watched)


def fits(text: str, caps: Caps) -> bool:
    return measure(text, caps.unit) <= caps.max_units


@pytest.mark.parametrize("platform", list(ADAPTERS))
@pytest.mark.parametrize("n_sentences", [1, 3, 40, 400])
def test_every_part_fits_and_holds_whole_sentences(platform: str, n_sentences: int) -> None:
    adapter = ADAPTERS[platform]
    answer = make_answer(LONG, n_sentences=n_sentences, suggestions=("护照被扣怎么办？",))
    parts = adapter.render(outbound(answer), TO, max_parts=adapter.caps.max_parts)
    assert 1 <= len(parts) <= adapter.caps.max_parts
    whole = "\n".join(part.text for part in parts)
    for part in parts:
        assert fits(part.text, adapter.caps)
        part.text.encode()
    shown = whole.count(LONG)
    assert shown >= 1
    assert whole.replace(LONG, "").count("妙瓦底") == 0, "a sentence was cut"
    if shown < n_sentences:
        assert f"{PUBLIC_URL}/a/token" in whole
    if adapter.caps.links == "numbered":
        for n in range(1, shown + 1):
            assert f"[{n}]" in whole
            assert f"{PUBLIC_URL}/articles/article-{n}#p1" in whole


def test_a_contact_says_how_to_reach_it() -> None:
    contacts = ContactList.load(Path(__file__).resolve().parents[3] / "corpus" / "contacts.yaml").contacts
    assert any(not (contact.number or contact.local) for contact in contacts)
    for contact in contacts:
        reach = contact.number or contact.local or contact.address
        assert reach
        assert f": {reach}" in contact_line(contact, "zh-Hans")


REPORT = OfferReport(
    verdict="high_risk",
    score=0.9,
    language="zh-Hans",
    text="招人 <b>",
    signals=tuple(Signal(f"s{n}", f"迹象<{n}>", 0, 2, "招人", "说明", (1,)) for n in (1, 1, *range(2, 9))),
    absent=(),
    citations=make_answer("报道说<过>。").citations,
    contacts=(HOTLINE,),
    notice="很像骗局",
)


def test_a_pasted_offer_is_told_before_contacts_except_in_an_emergency() -> None:
    answer = make_answer(
        status="not_covered", n_sentences=0, contacts=(HOTLINE,), notice=REPORT.notice, offer=REPORT, card=("卡片",)
    )
    blocks = outbound(answer).blocks
    assert [block.kind for block in blocks] == ["notice", *["say"] * MAX_SIGNS, "contact"]
    assert [block.text for block in blocks[:3]] == ["很像骗局", "迹象<1>: 说明", "迹象<2>: 说明"]
    card = outbound(replace(answer, status="emergency")).blocks
    assert [block.kind for block in card] == ["contact", "card", "notice"]
    page = write_page(answer, PUBLIC_URL)
    assert "迹象&lt;8&gt;: 招人" in page
    assert "报道说&lt;过&gt;" in page
    assert page.index("很像骗局") < page.index("迹象")
    assert not re.search(
        r'id="([^"]+)".*id="\1"', write_page(replace(make_answer(), offer=REPORT), PUBLIC_URL), re.DOTALL
    )


class Balanced(HTMLParser):
    """Refuses tags that are not closed, and tags other than links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "a"
        assert [name for name, _ in attrs] == ["href"]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(st.text(min_size=1, max_size=300), st.integers(1, 30), st.text(max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_fits_and_stays_text(sentence: str, n_sentences: int, title: str) -> None:
    import dataclasses

    answer = make_answer(sentence, n_sentences=n_sentences)
    citations = tuple(dataclasses.replace(one, title=title) for one in answer.citations)
    out = outbound(dataclasses.replace(answer, citations=citations))
    for adapter in ADAPTERS.values():
        parts = adapter.render(out, TO, max_parts=adapter.caps.max_parts)
        assert len(parts) <= adapter.caps.max_parts
        for part in parts:
            assert fits(part.text, adapter.caps)
            if adapter.caps.markup == "telegram":
                parser = Balanced()
                parser.feed(part.text)
                parser.close()
                assert parser.open == []
            if adapter.caps.markup == "wechat":
                assert all(
                    re.match(r'<a href="(https://guitu|weixin://)', found)
                    for found in re.findall(r"<[^/][^>]*", part.text)
                )


@pytest.mark.parametrize("platform", list(ADAPTERS))
@pytest.mark.parametrize("status", ["emergency"])
@pytest.mark.parametrize("situation", ["trapped", "family"])
def test_an_emergency_puts_contacts_first(platform: str, status: str, situation: str) -> None:
    adapter = ADAPTERS[platform]
    answer = make_answer(
        "句子。",
        status=status,
        situation=situation,
        n_sentences=3,
        contacts=(HOTLINE,),
        card=("先说清楚你在哪里。",),
        notice="不能打电话就发短信。",
    )
    whole = "\n".join(part.text for part in adapter.render(outbound(answer), TO, max_parts=adapter.caps.max_parts))
    places = [whole.find(word) for word in ("+86-10-12308", "先说清楚", "不能打电话", "句子。")]
    shown = [place for place in places if place >= 0]
    assert places[0] >= 0
    assert shown == sorted(shown)
    if situation == "trapped":
        assert whole.startswith(phrase("neutral", "zh-Hans")[:40])
    else:
        assert whole.startswith("外交部全球领保热线: +86-10-12308")


def test_first_lines_say_nothing() -> None:
    assert set(languages()) == set(LANGUAGES)
    names = set(_phrases()["en"])
    telling = re.compile(
        r"\d{2,}|police|embassy|scam|compound|escape|警|使馆|使館|园区|園區|诈|詐|逃|救|热线|熱線",
        re.IGNORECASE,
    )
    for language in LANGUAGES:
        assert set(_phrases()[language]) == names
        assert len(phrase("neutral", language)) >= 40
        assert not telling.search(phrase("neutral", language))
        # No number, address or link of its own in any phrase.
        assert not any(re.search(r"\d\d|https?:|@", text) for text in _phrases()[language].values())
        assert "{place}" in _phrases()[language]["location"]


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh_CN", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("zh-hant-hk", "zh-Hant"),
        ("fil", "tl"),
        ("en-GB", "en"),
        ("xx", "en"),
    ],
)
def test_nearest_language(tag: str, language: str) -> None:
    assert nearest_language(tag) == language


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("中a", "bytes", 4),
        ("😀a", "utf16", 3),
        ("😀a", "chars", 2),
        ("中" * 67, "sms", 67),
        ("a" * 153, "sms", 67),
        ("€" * 10, "sms", 9),
        ("a" * 459, "sms", 201),
    ],
)
def test_sizes(text: str, unit: Unit, size: int) -> None:
    assert measure(text, unit) == size


@given(st.text(max_size=80), st.integers(1, 60), st.sampled_from(["bytes", "utf16", "chars", "sms"]))
def test_cut_fits(text: str, size: int, unit: Unit) -> None:
    found = cut(text, size, unit)
    assert measure(found, unit) <= size
    assert text.startswith(found.removesuffix("…"))


def test_cut_keeps_characters_whole() -> None:
    assert cut("第一句。第二句很长很长。", 6, "chars") == "第一句。"
    assert cut("ab👨‍👩‍👧‍👦cd", 4, "chars") == "ab…"
    assert cut("aé" + "e\u0301" * 5, 4, "chars") == "aée…" or cut("aé" + "e\u0301" * 5, 4, "chars").endswith("…")


def test_markup_is_escaped() -> None:
    answer = make_answer("<b>*粗*_体_`码`~删~</b> & 句")
    whole = {name: ADAPTERS[name].render(outbound(answer), TO, max_parts=1)[0].text for name in ADAPTERS}
    assert "&lt;b&gt;" in whole["telegram"]
    assert "＜b＞" in whole["wechat"]
    assert "*" not in whole["whatsapp"].split("\n")[0]
    assert "<b>*粗*" in whole["line"]


def test_suggestions_never_show_to_watched_people() -> None:
    answer = make_answer("句。", suggestions=("怎么报警？",))
    assert outbound(answer).choices
    assert not outbound(answer, is_watched=True).choices
    assert not outbound(make_answer("句。", situation="trapped", suggestions=("怎么报警？",))).choices


def test_not_covered_says_what_to_do_instead() -> None:
    answer = make_answer("", status="not_covered", n_sentences=0, notice="没有查到，请换个说法。", contacts=(HOTLINE,))
    (part,) = render_parts(outbound(answer), ADAPTERS["line"].caps, max_parts=5)
    assert part.text == "外交部全球领保热线: +86-10-12308 (CN: 12308)\n没有查到，请换个说法。"


def test_words_of_ours_have_no_link() -> None:
    assert render_parts(say("好。", "zh-Hans"), ADAPTERS["sms"].caps, max_parts=1)[0].text == "好。"


def test_the_page_escapes_everything() -> None:
    page = write_page(make_answer("<script>alert(1)</script>", contacts=(HOTLINE,), notice='"><img src=x>'), PUBLIC_URL)
    assert "<script" not in page
    assert "<img" not in page
    assert page.index("+86-10-12308") < page.index("&lt;script&gt;")
    assert 'href="https://guitu.example.org/articles/article-1#p1"' in page
