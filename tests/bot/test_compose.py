"""Every sentence that is shown stands in its quote, word for word."""

from __future__ import annotations

import logging
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.compose import article_href, compose_quotes
from retrieval import Article, Hit, Passage, ScoredSentence, Sentence, Source

SOURCES = {
    "one": Source("甲报", "一则消息", "https://example.org/1", "2026-01-02"),
    "two": Source("乙署", "一份通知", None, "2025-03-04"),
    "again": Source("甲报", "一则消息", "https://example.org/1", "2026-01-02"),
}
TEXT = "第一段第一句。第一段第二句。\n第二段第一句。第二段第二句。"
ARTICLE = Article(
    "an-article",
    "题目",
    "https://example.org/a",
    "归途 Guitu",
    "2026-05-01",
    "zh-Hans",
    TEXT,
    (
        Sentence(0, 7, ("one",)),
        Sentence(7, 14, ("two", "one")),
        Sentence(15, 22, ("again",)),
        Sentence(22, 29),
    ),
    sources=SOURCES,
    is_own=True,
)
PASSAGES = (
    Passage("an-article#0", "an-article", 0, 0, 14, TEXT[0:14]),
    Passage("an-article#1", "an-article", 1, 15, 29, TEXT[15:29]),
)


def scored(n: int, *, article: Article = ARTICLE, reprints: int = 0) -> ScoredSentence:
    """The `n`-th sentence of the article."""
    sentence = article.sentences[n]
    hit = Hit(PASSAGES[n // 2], article, 1, 1.0, 0.9, 0.5, reprints)
    return ScoredSentence(hit, sentence, article.text[sentence.start : sentence.end], 0.9, 1.0, 1.0, 1.0)


def test_sentences_keep_their_order_and_cite_their_passage() -> None:
    quotes = compose_quotes([scored(2), scored(1), scored(0)])
    assert [(s.text, s.citations) for s in quotes.sentences] == [
        ("第二段第一句。", (1,)),
        ("第一段第二句。", (2,)),
        ("第一段第一句。", (2,)),
    ]
    assert [(c.n, c.passage_id) for c in quotes.citations] == [(1, "an-article#1"), (2, "an-article#0")]
    for sentence in quotes.sentences:
        for n in sentence.citations:
            assert sentence.text in quotes.citations[n - 1].quote
    for citation in quotes.citations:
        assert citation.quote == TEXT[citation.start : citation.end]


def test_a_citation_says_where_it_is_from() -> None:
    (citation,) = compose_quotes([scored(0, reprints=3)]).citations
    assert (citation.title, citation.publisher, citation.url) == (
        "题目",
        "归途 Guitu",
        "https://example.org/a",
    )
    assert (citation.date, citation.language, citation.n_reprints) == ("2026-05-01", "zh-Hans", 3)
    assert citation.href == "/articles/an-article?start=0&end=14#quote"
    (citation,) = compose_quotes([scored(0, article=replace(ARTICLE, url=None))]).citations
    assert citation.url == "/articles/an-article"


def test_the_sources_are_those_of_the_sentences_shown() -> None:
    assert compose_quotes([scored(0)]).citations[0].sources == (SOURCES["one"],)
    assert compose_quotes([scored(1)]).citations[0].sources == (SOURCES["two"], SOURCES["one"])
    # Twice the same source is one source.
    both = compose_quotes([scored(0), scored(1)]).citations[0].sources
    assert both == (SOURCES["one"], SOURCES["two"])
    assert compose_quotes([scored(3)]).citations[0].sources == ()


def test_a_crawled_article_is_its_own_source() -> None:
    crawled = replace(
        ARTICLE,
        is_own=False,
        publisher="某报",
        sources={},
        sentences=tuple(replace(s, source_keys=()) for s in ARTICLE.sentences),
    )
    (citation,) = compose_quotes([scored(0, article=crawled)]).citations
    assert citation.sources == (Source("某报", "题目", "https://example.org/a", "2026-05-01"),)


@pytest.mark.parametrize("words", ["第一段第一句！", "第二段第一句。", "", "第一段 第一句。", "第一段第一句。 "])
def test_what_is_not_in_its_quote_is_dropped_and_logged(words: str, caplog: pytest.LogCaptureFixture) -> None:
    false = replace(scored(0), text=words)
    with caplog.at_level(logging.ERROR, "bot.compose"):
        quotes = compose_quotes([false, scored(2)])
    assert [s.text for s in quotes.sentences] == ["第二段第一句。"]
    # The number is given to what is shown alone.
    assert [(c.n, c.passage_id) for c in quotes.citations] == [(1, "an-article#1")]
    assert "an-article#0 is not in its quote and was dropped" in caplog.text
    assert words.strip() == "" or words not in caplog.text


def test_a_dropped_sentence_lends_no_source(caplog: pytest.LogCaptureFixture) -> None:
    """The passage is cited for another sentence; the source of what is not shown is no source of what is."""
    quotes = compose_quotes([scored(0), replace(scored(1), text="没有这一句。")])
    assert [s.text for s in quotes.sentences] == ["第一段第一句。"]
    assert quotes.citations[0].sources == (SOURCES["one"],)


def test_a_passage_beyond_its_article_is_never_quoted(caplog: pytest.LogCaptureFixture) -> None:
    choice = scored(0)
    wrong = replace(choice, hit=replace(choice.hit, passage=replace(choice.hit.passage, start=100, end=120)))
    assert compose_quotes([wrong]) == compose_quotes([])


@given(
    st.text(min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)), max_size=6),
)
def test_for_any_spans_what_is_shown_is_quoted(text: str, spans: list[tuple[int, int, int, int]]) -> None:
    article = replace(ARTICLE, text=text, sentences=(), is_own=False, sources={})
    choices = []
    for n, (a, b, c, d) in enumerate(spans):
        passage = Passage(f"an-article#{n % 2}", "an-article", n % 2, min(a, b), max(a, b), text[min(a, b) : max(a, b)])
        sentence = Sentence(min(c, d), max(c, d))
        hit = Hit(passage, article, 1, 1.0, 0.9, 0.5)
        choices.append(ScoredSentence(hit, sentence, text[sentence.start : sentence.end], 0.9, 1, 1, 1))
    logging.disable(logging.ERROR)
    try:
        quotes = compose_quotes(choices)
    finally:
        logging.disable(logging.NOTSET)
    assert [c.n for c in quotes.citations] == list(range(1, len(quotes.citations) + 1))
    assert list(dict.fromkeys(n for s in quotes.sentences for n in s.citations)) == [c.n for c in quotes.citations]
    for shown in quotes.sentences:
        assert shown.text
        assert all(shown.text in quotes.citations[n - 1].quote for n in shown.citations)


@given(st.text(min_size=1, max_size=40))
def test_an_id_of_any_letters_makes_a_path(article_id: str) -> None:
    try:
        href = article_href(article_id, 1, 2)
    except UnicodeEncodeError:
        assert any("\ud800" <= c <= "\udfff" for c in article_id)
        return
    path, _, rest = href.partition("?")
    assert rest == "start=1&end=2#quote"
    assert path.count("/") == 2
    assert unquote(path.removeprefix("/articles/")) == article_id
