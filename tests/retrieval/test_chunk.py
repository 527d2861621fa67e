"""Passages: whole sentences, exact offsets, about as long as one likes to read."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from retrieval.article_file import read_article
from retrieval.chunk import MAX_UNITS, TARGET_UNITS, passages_of
from retrieval.errors import ArticleFormatError
from retrieval.text import reading_units
from retrieval.types import Article

SENTENCE = "抓获了1079名嫌疑人，其中763名是中国籍，比上年增加3.5%。"


def article_of(body: str, own_article: Callable[..., bytes]) -> Article:
    return read_article(own_article(body=body))


def test_a_short_section_is_one_passage_under_its_heading(own_article: Callable[..., bytes]) -> None:
    article = article_of("导语。[^one]\n## 一问？\n甲。[^one]\n乙。[^two]\n## 二问？\n丙。[^one]", own_article)
    passages = passages_of(article)
    assert [(p.heading, p.text) for p in passages] == [
        ("", "导语。"),
        ("一问？", "甲。\n乙。"),
        ("二问？", "丙。"),
    ]
    assert [p.passage_id for p in passages] == ["test-article#0", "test-article#1", "test-article#2"]


def test_a_long_section_is_cut_evenly_at_sentence_ends(own_article: Callable[..., bytes]) -> None:
    article = article_of("## 问\n" + "\n".join(SENTENCE + "[^one]" for _ in range(40)), own_article)
    passages = passages_of(article)
    sizes = [reading_units(p.text) for p in passages]
    assert len(passages) >= 3
    assert all(p.text.endswith("。") and p.text.startswith("抓获") for p in passages)
    assert max(sizes) <= MAX_UNITS
    assert min(sizes) > TARGET_UNITS / 2
    assert all(p.heading == "问" for p in passages)


def test_other_scripts_may_be_longer_for_the_same(own_article: Callable[..., bytes]) -> None:
    line = "An embassy can issue a travel document when a passport was taken away by an employer.[^one]"
    (chinese,) = passages_of(article_of("## 问\n" + (SENTENCE + "[^one]\n") * 9, own_article))
    english = passages_of(article_of("## Q\n" + (line + "\n") * 9, own_article))
    assert len(english) == 1
    assert len(english[0].text) > len(chinese.text) * 2


def test_a_sentence_that_is_too_long_for_a_passage_is_one(own_article: Callable[..., bytes]) -> None:
    article = article_of("## 问\n" + "长" * 500 + "。[^one]\n短。[^two]", own_article)
    assert [len(p.text) for p in passages_of(article)] == [501, 2]


def test_no_run_of_sentences_is_longer_than_the_limit(own_article: Callable[..., bytes]) -> None:
    # The second would still be nearer to the even length in the first passage than in one of its own.
    lengths = (100, 340, 390)
    assert 100 + 340 / 2 < sum(lengths) / 3 < 100 + 340 > MAX_UNITS
    body = "## 问\n" + "".join("长" * (n - 1) + "。[^one]\n" for n in lengths)
    assert [len(p.text) for p in passages_of(article_of(body, own_article))] == list(lengths)


LINES = st.lists(
    st.one_of(
        st.just("## 问？"),
        st.just("### Heading"),
        st.integers(1, 25).map(lambda n: SENTENCE * n + "[^one]"),
        st.integers(1, 300).map(lambda n: "ตำรวจ" * n + "[^two]"),
        st.integers(1, 60).map(lambda n: "သံရုံးကို ဆက်သွယ်ပါ။" * n + "[^two]"),
        st.integers(1, 60).map(lambda n: "Call the embassy, e.g. at 9 a.m. tomorrow! " * n),
        st.text(max_size=60),
    ),
    max_size=12,
)


@given(LINES)
def test_offsets_are_exact_and_nothing_is_lost(own_article: Callable[..., bytes], lines: list[str]) -> None:
    try:
        article = article_of("\n".join(lines), own_article)
    except ArticleFormatError:
        return
    passages = passages_of(article)
    assert passages
    covered: set[int] = set()
    for ordinal, passage in enumerate(passages):
        assert article.text[passage.start : passage.end] == passage.text
        assert passage.passage_id == f"{article.article_id}#{passage.ordinal}"
        assert passage.ordinal == ordinal
        span = set(range(passage.start, passage.end))
        assert not covered & span
        covered |= span
        inside = [s for s in article.sentences if passage.start <= s.start and s.end <= passage.end]
        assert (inside[0].start, inside[-1].end) == (passage.start, passage.end)
        assert len(inside) == 1 or reading_units(passage.text.replace("\n", "")) <= MAX_UNITS + len(inside)
    headings = {i for h in article.headings for i in range(h.start, h.end)}
    assert not covered & headings
    assert {i for i, c in enumerate(article.text) if not c.isspace()} == {
        i for i in covered | headings if not article.text[i].isspace()
    }
    assert passages_of(article) == passages
