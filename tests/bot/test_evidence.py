"""Which sentences are chosen, in what order, and when it is enough; the weights are given by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import bot.evidence
from bot.evidence import MAX_SENTENCES, Chance, Weights, choose, ranked_sentences, weights
from retrieval import Article, Hit, Passage, Query, ScoredSentence, Sentence

QUERY = Query("护照被扣", "zh-Hans", ("护照",), np.zeros(4, np.float32), np.zeros(4, np.float32))


@pytest.fixture(autouse=True)
def _plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is the overlap (and what is asked for); the confidence is a logistic of it, even at 0.5."""
    chance = Chance({"bias": -5.0, "share": 10.0}, {"verified": 3.0}, 0.6)
    plain = Weights({"overlap": 10.0, "holds_phone": 3.0}, 4.0, chance)
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: plain)


def found(
    article_id: str, *sentences: tuple[str, float], rank: int = 1, missing: int = 0, lang: str = "zh-Hans"
) -> list[ScoredSentence]:
    """The sentences of an article of one passage, with their overlaps."""
    text = "".join(words for words, _ in sentences)
    article = Article(article_id, "题", None, "归途", "2026-01-01", lang, text, ())
    hit = Hit(Passage(f"{article_id}#0", article_id, 0, 0, len(text), text), article, rank, 1.0, 0.9, 0.5)
    scored = []
    at = 0
    for words, overlap in sentences:
        sentence = Sentence(at, at + len(words))
        scored.append(ScoredSentence(hit, sentence, words, 0.9, overlap, overlap, missing))
        at += len(words)
    return scored


def chosen(*groups: list[ScoredSentence], query: Query = QUERY) -> list[str]:
    hits = list(dict.fromkeys(s.hit.passage.passage_id for group in groups for s in group))
    by_id = {s.hit.passage.passage_id: s.hit for group in groups for s in group}
    evidence = choose(query, [by_id[passage_id] for passage_id in hits], [s for group in groups for s in group])
    return [s.text for s in evidence.sentences]


def test_nothing_found_is_not_enough() -> None:
    evidence = choose(QUERY, [], [])
    assert (evidence.sentences, evidence.confidence, evidence.is_enough) == ((), 0.0, False)
    hits = [s.hit for s in found("a", ("甲。", 1.0))]
    assert not choose(QUERY, hits, []).is_enough


def test_the_best_comes_first_and_at_most_four_are_shown() -> None:
    groups = [
        found(f"article-{n}", (words, overlap), rank=n + 1)
        for n, (words, overlap) in enumerate(
            [
                ("甲乙丙丁。", 0.7),
                ("子丑寅卯。", 0.95),
                ("天地玄黄。", 0.9),
                ("东南西北。", 0.85),
                ("春夏秋冬。", 0.8),
                ("金木水火。", 0.75),
            ]
        )
    ]
    shown = chosen(*groups)
    assert len(shown) == MAX_SENTENCES == 4
    assert shown[0] == "子丑寅卯。"
    assert set(shown) == {"子丑寅卯。", "天地玄黄。", "东南西北。", "春夏秋冬。"}


def test_after_the_best_the_sentences_of_a_passage_stand_as_in_the_text() -> None:
    passage = found("a", ("甲乙丙丁。", 0.8), ("子丑寅卯。", 0.95), ("天地玄黄。", 0.9))
    other = found("b", ("东南西北。", 0.85), rank=2)
    assert chosen(passage, other) == ["子丑寅卯。", "甲乙丙丁。", "天地玄黄。", "东南西北。"]


def test_what_stands_far_behind_the_best_is_left_out() -> None:
    assert chosen(found("a", ("甲乙丙丁。", 0.9)), found("b", ("子丑寅卯。", 0.49), rank=2)) == ["甲乙丙丁。"]
    assert len(chosen(found("a", ("甲乙丙丁。", 0.9)), found("b", ("子丑寅卯。", 0.51), rank=2))) == 2


def test_near_duplicates_are_shown_once() -> None:
    shown = chosen(
        found("a", ("护照被扣的人可以向使馆申请旅行证。", 0.9)),
        found("b", ("护照被扣的人，可以向使馆申请旅行证件。", 0.85), rank=2),
        found("c", ("护照被扣的人可以向使馆申请旅行证。", 0.85), rank=3),
        found("d", ("费用由本人承担。", 0.8), rank=4),
    )
    assert shown == ["护照被扣的人可以向使馆申请旅行证。", "费用由本人承担。"]


def test_a_sentence_that_lacks_the_place_or_number_is_not_added() -> None:
    shown = chosen(
        found("laos", ("甲乙丙丁。", 0.9)),
        found("thai", ("子丑寅卯。", 0.88), rank=2, missing=1),
        found("both", ("天地玄黄。", 0.86), rank=3),
    )
    assert shown == ["甲乙丙丁。", "天地玄黄。"]


def test_one_answer_is_in_one_language() -> None:
    assert chosen(found("a", ("甲乙丙丁。", 0.9)), found("b", ("Call them.", 0.88), rank=2, lang="en")) == [
        "甲乙丙丁。"
    ]


def test_a_sentence_alone_is_followed_by_the_next_of_its_passage() -> None:
    assert chosen(found("a", ("前面一句。", 0.0), ("甲乙丙丁。", 0.9), ("后面两字。", 0.0), ("最末四个。", 0.0))) == [
        "甲乙丙丁。",
        "后面两字。",
    ]
    assert chosen(found("a", ("甲乙丙丁。", 0.9), ("甲乙丙丁。", 0.0))) == ["甲乙丙丁。"]


def test_sentences_read_token_by_token_have_weights_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {is_read: Weights({}, 1.0, Chance({}, {}, at)) for is_read, at in ((True, 0.1), (False, 0.2))}
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: models[reranked])
    (sentence,) = found("a", ("甲乙丙丁。", 0.9))
    for log_odds, threshold in ((None, 0.2), (0.0, 0.1)):
        assert choose(QUERY, [sentence.hit], [replace(sentence, reranked=log_odds)]).threshold == threshold
    assert choose(QUERY, [], []).threshold == 0.2


@dataclass
class Says:
    """A judge of whom is known what was asked of it."""

    says_covered: float | None = None
    says_verified: float | None = None
    read_again: list[str] = field(default_factory=list)

    def coverage(self, query: Query, sentence: ScoredSentence) -> float | None:
        return self.says_covered

    def verified(self, query: Query, sentence: ScoredSentence) -> float | None:
        self.read_again.append(sentence.text)
        return self.says_verified


def test_what_the_question_says_of_coverage_counts_where_something_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within its range, and in the second look too; where nothing is known, the chance is reckoned without it."""
    own = Chance({"coverage": 3.0}, {"coverage": 3.0, "verified": 3.0}, 0.7)
    model = replace(bot.evidence.weights(reranked=False), own=own)
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: model)
    (sentence,) = found("a", ("甲乙丙丁。", 0.5))
    for covered, threshold, log_odds in ((-9.0, 0.7, -8.0), (1.0, 0.7, 2.0), (None, 0.6, 1.0)):
        evidence = choose(QUERY, [sentence.hit], [sentence], Says(covered, 1.0))
        assert evidence.threshold == threshold
        assert evidence.confidence == pytest.approx(1 / (1 + math.exp(-log_odds)))
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: replace(model, own=None))
    assert choose(QUERY, [sentence.hit], [sentence], Says(-9.0, 1.0)).threshold == 0.6


def test_what_follows_a_lone_sentence_is_left_out_when_it_is_far_from_answering() -> None:
    best, after = found("a", ("甲乙丙丁。", 0.9), ("后面两字。", 0.0))
    for log_odds, expected in ((-1.0, 2), (-3.0, 1)):
        assert len(chosen([replace(best, reranked=4.0), replace(after, reranked=log_odds)])) == expected


def test_what_is_asked_for_weighs() -> None:
    groups = [found("a", ("找大使馆领保。", 0.8)), found("b", ("拨打+86-10-12308。", 0.7), rank=2)]
    assert chosen(*groups)[0] == "找大使馆领保。"
    asked = Query("打什么电话", "zh-Hans", (), QUERY.vector, QUERY.point)
    assert chosen(*groups, query=asked)[0] == "拨打+86-10-12308。"


def test_the_threshold_decides() -> None:
    sure = found("a", ("甲乙丙丁。", 0.9))
    evidence = choose(QUERY, [sure[0].hit], sure)
    assert math.isclose(evidence.confidence, 1 / (1 + math.exp(-4)))
    assert (evidence.threshold, evidence.is_enough) == (0.6, True)
    unsure = found("a", ("甲乙丙丁。", 0.5))
    evidence = choose(QUERY, [unsure[0].hit], unsure)
    assert math.isclose(evidence.confidence, 0.5)
    assert not evidence.is_enough
    assert evidence.sentences  # what was nearest is still told


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
def test_only_what_leaves_doubt_is_read_once_more(overlap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chances are 0.12, 0.5 and 0.88; what the second look says stands in place of the one between."""
    best, other = found("a", ("甲乙丙丁。", overlap), ("子丑寅卯。", 0.0))
    judge = Says(says_verified=-6.0)
    hits = [best.hit]
    first = choose(QUERY, hits, [best, other]).confidence
    again = choose(QUERY, hits, [best, other], judge).confidence
    assert judge.read_again == (["甲乙丙丁。"] if overlap == 0.5 else [])
    assert math.isclose(again, 1 / (1 + math.exp(6)) if overlap == 0.5 else first)
    assert choose(QUERY, hits, [best, other], Says()).confidence == first
    model = bot.evidence.weights(reranked=False)
    once = replace(model, chance=replace(model.chance, verified={}))
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: once)
    assert choose(QUERY, hits, [best, other], judge).confidence == first


def test_ties_go_by_passage_and_place() -> None:
    one, two = found("b", ("甲乙。", 0.5), ("丙丁。", 0.5)), found("a", ("子丑。", 0.5))
    hits = [one[0].hit, two[0].hit]
    for sentences in ([*one, *two], [*two, *reversed(one)]):
        ranked = ranked_sentences(QUERY, hits, sentences, {"overlap": 1.0})
        assert [s.text for _, s in ranked] == ["子丑。", "甲乙。", "丙丁。"]


@pytest.mark.parametrize("reranked", [None, 2.0])
def test_the_weights_of_the_package_are_whole(reranked: float | None) -> None:
    model = weights.__wrapped__(reranked=reranked is not None)
    assert model.margin > 0
    sentences = [replace(s, reranked=reranked) for s in found("a", ("甲乙丙丁。", 0.9))]
    hits = [sentences[0].hit]
    assert set(model.order) == set(bot.evidence.order_features(QUERY, hits, sentences)[0])
    features = bot.evidence.confidence_features(QUERY, hits, [(1.0, sentences[0])])
    chances = [(model.chance, features)]
    assert (model.own is None) == (reranked is None)
    if model.own is not None:
        chances.append((model.own, bot.evidence.with_coverage(features, 1.0)))
    for chance, counted in chances:
        assert 0.0 < chance.threshold < 1.0
        assert set(chance.confidence) == set(counted)
        assert set(chance.verified) == (set(bot.evidence.with_verified(counted, 1.0)) if reranked else set())


def test_what_follows_need_not_repeat_the_place_but_may_not_name_another() -> None:
    best, after = found("a", ("在泰国打191。", 0.9), ("全天有人接听。", 0.0))
    assert chosen([best, replace(after, n_names_missing=1)]) == ["在泰国打191。", "全天有人接听。"]
    assert chosen([best, replace(after, is_elsewhere=True)]) == ["在泰国打191。"]


def test_a_sentence_about_another_place_is_not_added() -> None:
    one, other = found("a", ("在泰国打191。", 0.9)), found("b", ("柬埔寨的电话是117。", 0.88), rank=2)
    assert len(chosen(one, other)) == 2
    assert chosen(one, [replace(s, is_elsewhere=True) for s in other]) == ["在泰国打191。"]


def test_a_number_of_another_country_is_never_told() -> None:
    one, other = found("a", ("在泰国打191。", 0.9)), found("b", ("出国前先核实。", 0.5), rank=2)
    abroad = [replace(s, is_abroad=True) for s in one]
    assert chosen(abroad, other) == ["出国前先核实。"]
    assert chosen([replace(s, text="泰国有热线。") for s in abroad], other)[0] == "泰国有热线。"
    assert chosen(abroad) == []
