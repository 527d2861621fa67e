"""The searcher: from a question to ranked passages, the same every time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from retrieval import HashEmbedder, Index, Lexicon, Searcher, build_index
from retrieval.article_file import read_article
from retrieval.lexicon import Entry

EMBEDDER = HashEmbedder()
N_PASSAGES = 12


@pytest.fixture(scope="module")
def searcher(tiny_index: Index) -> Searcher:
    return Searcher(tiny_index, EMBEDDER, Lexicon())


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("领事保护热线怎么打", "tiny-hotline"),
        ("領事保護熱線怎麼打", "tiny-hotline"),
        ("抓获了1079名嫌疑人", "tiny-handover"),
        ("護照被扣怎麼辦", "tiny-passport"),
        ("which police line in Cambodia", "tiny-en-call"),
        ("passport taken by the boss", "tiny-en-passport"),
        ("duong day nong bao ho cong dan", "tiny-vi"),
        ("ตำรวจท่องเที่ยว", "tiny-th"),
    ],
)
def test_the_passage_that_answers_comes_first(searcher: Searcher, question: str, expected: str) -> None:
    assert searcher.search(question, 3)[0].article.article_id == expected


def test_hits_are_ranked_without_gaps(searcher: Searcher) -> None:
    hits = searcher.search("护照被扣怎么办", 50)
    assert [hit.rank for hit in hits] == list(range(1, N_PASSAGES + 1))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert len({hit.passage.passage_id for hit in hits}) == N_PASSAGES
    assert all(hit.article.text[hit.passage.start : hit.passage.end] == hit.passage.text for hit in hits)
    assert all(0 <= hit.lexical <= 1 and -1 <= hit.cosine <= 1.0001 for hit in hits)


@pytest.mark.parametrize("k", [0, 1, 5])
def test_k(searcher: Searcher, k: int) -> None:
    assert len(searcher.search("护照", k)) == k


def test_cosine_and_lexical_are_those_of_the_index(searcher: Searcher, tiny_index: Index) -> None:
    query = searcher.query("护照被扣的人")
    rows = {p.passage_id: row for row, p in enumerate(tiny_index.passages)}
    vectors = tiny_index.passage_vectors.vectors(np.arange(N_PASSAGES))
    lexical = tiny_index.lexical.scores(query.terms)
    hits = searcher.search(query)
    assert hits
    for hit in hits:
        row = rows[hit.passage.passage_id]
        assert hit.cosine == pytest.approx(float(vectors[row] @ query.vector), abs=1e-5)
        assert hit.lexical == pytest.approx(float(lexical[row]), abs=1e-5)


def test_the_same_question_gives_the_same_hits(searcher: Searcher, tiny_index: Index) -> None:
    question = "怎么办"
    first = searcher.search(question, 12)
    assert searcher.search(question, 12) == first
    assert Searcher(tiny_index, HashEmbedder(), Lexicon()).search(question, 12) == first
    assert searcher.search(question, 4) == first[:4]


@pytest.mark.parametrize("question", ["", " ", "\0", "😀", "?!", "\ud800", "1" * 5000, "园区" * 3000])
def test_any_question_does_no_harm(searcher: Searcher, question: str) -> None:
    assert len(searcher.search(question, 3)) == 3


def test_articles_that_must_not_appear(searcher: Searcher) -> None:
    hidden = frozenset({"tiny-passport", "tiny-en-passport"})
    ids = [hit.article.article_id for hit in searcher.search("护照被扣 passport", 50, without=hidden)]
    assert len(ids) == N_PASSAGES - 2
    assert not hidden & set(ids)
    everything = frozenset(searcher.index.articles)
    assert searcher.search("护照", 5, without=everything) == []


def test_an_empty_index_finds_nothing() -> None:
    searcher = Searcher(build_index([], EMBEDDER, Lexicon()), EMBEDDER, Lexicon())
    assert searcher.search("护照", 5) == []


def test_the_language_of_the_question_is_found_or_given(searcher: Searcher) -> None:
    assert searcher.query("护照被扣怎么办").language == "zh-Hans"
    assert searcher.query("护照被扣怎么办", language="vi").language == "vi"
    assert searcher.query("117").language is None


def test_of_two_that_say_the_same_the_readers_language_comes_first(own_article: Callable[..., bytes]) -> None:
    articles = [
        read_article(own_article(f"same-{lang.lower()}", title="12308", lang=lang, body="## 12308\n+86-10-12308[^one]"))
        for lang in ("en", "vi", "zh-Hans")
    ]
    searcher = Searcher(build_index(articles, EMBEDDER, Lexicon()), EMBEDDER, Lexicon())
    for article in articles:
        hits = searcher.search(searcher.query("12308", language=article.language), 3)
        assert hits[0].article.language == article.language
    # In no language at all, ids decide.
    ids = [hit.article.article_id for hit in searcher.search("12308", 3)]
    assert ids == ["same-en", "same-vi", "same-zh-hans"]


def test_names_of_one_place_meet(own_article: Callable[..., bytes]) -> None:
    entry = Entry("myawaddy", "places", "town", {"zh-Hans": ("妙瓦底",), "th": ("เมียวดี",)}, (), {}, "MM", True)
    articles = [
        read_article(own_article("place-a", title="甲", body="## 甲\n有人被带到妙瓦底的院子里。[^one]")),
        read_article(own_article("place-b", title="乙", body="## 乙\n有人被带到别处的院子里去了。[^one]")),
        read_article(own_article("place-c", title="丙", body="## 丙\n有人在家里接到了电话。[^one]")),
    ]
    lexicon = Lexicon([entry])

    def lexical(lexicon: Lexicon) -> dict[str, float]:
        searcher = Searcher(build_index(articles, EMBEDDER, lexicon), EMBEDDER, lexicon)
        return {hit.article.article_id: hit.lexical for hit in searcher.search("เมียวดี", 3)}

    with_names = lexical(lexicon)
    assert with_names["place-a"] > 0 == with_names["place-b"] == with_names["place-c"]
    assert set(lexical(Lexicon()).values()) == {0.0}


def test_reprints_are_counted(crawled_article: Callable[..., bytes]) -> None:
    body = "警方昨天在边境一处院子里找到了三十名求职者，他们的护照都被收走了。"
    articles = [
        read_article(crawled_article(source=source, date=f"2024-11-2{n}", body=body))
        for n, source in enumerate("甲乙丙", start=1)
    ]
    searcher = Searcher(build_index(articles, EMBEDDER, Lexicon()), EMBEDDER, Lexicon())
    (hit,) = searcher.search("护照", 10)
    assert (hit.article.publisher, hit.n_reprints) == ("甲", 2)


def test_sentences_of_hits_come_in_reading_order_with_their_own_evidence(searcher: Searcher) -> None:
    query = searcher.query("从境外拨打12308热线")
    hits, scored = searcher.find(query, 2)
    assert hits == searcher.search(query, 2)
    assert [s.text for s in scored][:2] == [
        "从境外拨打12308热线，要先加上中国的国家代码。",
        "热线全天有人接听。",
    ]
    assert {s.hit.passage.passage_id for s in scored} == {hit.passage.passage_id for hit in hits}
    assert scored[0].cosine > scored[1].cosine
    assert scored[0].overlap > scored[1].overlap > 0
    vector = EMBEDDER.embed_query(scored[0].text)
    assert scored[0].cosine == pytest.approx(float(vector @ query.vector), abs=1e-5)
    for one in scored:
        assert one.hit.article.text[one.sentence.start : one.sentence.end] == one.text


@pytest.mark.parametrize(
    ("question", "abroad"),
    [
        ("中国驻老挝大使馆电话", [False, True, False]),  # Laos stands nowhere, and the second is about Cambodia
        ("中国驻柬埔寨大使馆电话", [False, False, False]),
        ("泰国大使馆在柬埔寨的电话", [True, True, False]),
        ("大使馆电话", [False, False, False]),
    ],
)
def test_a_sentence_is_about_another_country(
    own_article: Callable[..., bytes], question: str, abroad: list[bool]
) -> None:
    body = "## 电话\n中国的热线可从境外拨打。[^one]中国驻柬埔寨使馆有电话。[^one]不收费用。[^one]"
    codes = (("china", "CN", "中国"), ("cambodia", "KH", "柬埔寨"), ("laos", "LA", "老挝"), ("thailand", "TH", "泰国"))
    lexicon = Lexicon(
        Entry(key, "places", "country", {"zh-Hans": (name,)}, (), {}, code, is_high_risk=False)
        for key, code, name in codes
    )
    index = build_index([read_article(own_article(body=body))], EMBEDDER, lexicon)
    searcher = Searcher(index, EMBEDDER, lexicon)
    _, sentences = searcher.find(searcher.query(question), 1)
    assert [s.is_abroad for s in sentences] == abroad
