"""Decides which sentences answer, and whether the evidence is enough to answer at all.

Small linear models: one orders the sentences, one gives the chance that the articles answer; where that leaves doubt, the
best sentence is read once more, and a third model gives the chance with what that says. evidence.yaml has them for
sentences that were read token by token, and for a model that tells no tokens, without the third. The chance is there once
more for our own articles, of which is known what they cover. `python -m bot.train_evidence` makes the file from the
development questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from bot.asked import Kind, asked_kinds, holds_kind
from retrieval import LOG_ODDS_RANGE, Hit, Query, ScoredSentence, load_yaml

# Passages whose sentences are weighed for each question.
N_CANDIDATES = 12
MAX_SENTENCES = 4
# Sentences that share this much of their letters say the same.
NEAR_DUPLICATE_SHARE = 0.6
# What is near, for a known question and for a sentence: the medians of the cosines of covered dev questions lie at 0.8
# and 0.9, and their spread is as 1 to 3.
NEAR_ASKED, ASKED_SCALE = 0.7, 6.0
NEAR_SAID, SAID_SCALE = 0.9, 20.0
NEAR_RANGE = 2.0
WEIGHTS_PATH = Path(__file__).parent / "evidence.yaml"
# The sentence after a lone one is shown when its log odds of answering are higher. On dev the share of superfluous
# sentences falls from 0.20 to 0.11, and one answer in a hundred lacks a string that was looked for.
MIN_RERANKED_NEXT = -2.0
# Log odds that were learned are counted in units of this: the weights are then of the same size as the others.
LOG_ODDS_UNIT = 3.0
# What the question alone says of coverage counts within this many log odds.
COVERAGE_RANGE = 8.0
# Chances between these leave doubt. On dev, five-fold, a second look at all from 0.05 to 0.95 raises the AUROC by 0.0016.
DOUBTFUL = (0.15, 0.85)
KINDS: tuple[Kind, ...] = ("phone", "count", "date")


class Judge(Protocol):
    """What can say more of a question and the sentence found for it: a `Searcher`. Log odds, or None where it cannot tell."""

    def coverage(self, query: Query, sentence: ScoredSentence) -> float | None:
        """That our own articles tell what is asked, judged by the question alone."""

    def verified(self, query: Query, sentence: ScoredSentence) -> float | None:
        """That the sentence answers, read once more."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentences chosen, in the order in which they are shown, and the calibrated chance that the articles answer."""

    sentences: tuple[ScoredSentence, ...]
    confidence: float
    threshold: float

    @property
    def is_enough(self) -> bool:
        """Whether to answer rather than to say that nothing was found."""
        return bool(self.sentences) and self.confidence >= self.threshold


@dataclass(frozen=True, slots=True)
class Chance:
    """The models of the chance that the articles answer; `verified` gives it after a second look, and is empty where none is
    taken. `threshold` is the least chance with which the bot answers."""

    confidence: Mapping[str, float]
    verified: Mapping[str, float]
    threshold: float


@dataclass(frozen=True, slots=True)
class Weights:
    """The models; `margin` is the most by which a further sentence may stand behind the best. `own` gives the chance where
    `Judge.coverage` tells something, and is None where it never does."""

    order: Mapping[str, float]
    margin: float
    chance: Chance
    own: Chance | None = None


@lru_cache(maxsize=2)
def weights(*, reranked: bool) -> Weights:
    """The models in evidence.yaml for sentences that were read token by token, or for those that were not."""
    loaded = load_yaml(WEIGHTS_PATH.read_text("utf-8"))["reranked" if reranked else "plain"]
    own = Chance(**loaded["own"]) if "own" in loaded else None
    return Weights(loaded["order"], loaded["margin"], Chance(**loaded["chance"]), own)


def quotable(sentences: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    """Those that may be chosen: none that tells a phone number of another country than the question's."""
    return [s for s in sentences if not (s.is_abroad and holds_kind(s.text, "phone"))]


def choose(
    query: Query, hits: Sequence[Hit], sentences: Sequence[ScoredSentence], judge: Judge | None = None
) -> Evidence:
    """One to four sentences out of `sentences` (those of `hits`) that answer `query`.

    The first is the one that answers best; the others stand near it in value, come in reading order and add
    something. Sentences that lack a place or number of the question which the first has are not added. `judge` says more
    of the first one, and reads it once more where the chance leaves doubt.
    """
    sentences = quotable(sentences)
    model = weights(reranked=bool(sentences) and sentences[0].reranked is not None)
    if not hits or not sentences:
        return Evidence((), 0.0, model.chance.threshold)
    ranked = ranked_sentences(query, hits, sentences, model.order)
    best_value, best = ranked[0]
    chosen = [best]
    for value, candidate in ranked[1:]:
        if len(chosen) == MAX_SENTENCES or value < best_value - model.margin:
            break
        if candidate.n_names_missing > best.n_names_missing or _is_elsewhere(candidate, best):
            continue
        if candidate.hit.article.language != best.hit.article.language:
            continue
        if not any(_says_the_same(candidate.text, other.text) for other in chosen):
            chosen.append(candidate)
    if len(chosen) == 1:
        chosen += _next_in_passage(best, sentences)
    features = confidence_features(query, hits, ranked)
    chance = model.chance
    if judge is not None and model.own is not None and (coverage := judge.coverage(query, best)) is not None:
        features, chance = with_coverage(features, coverage), model.own
    confidence = logistic(features, chance.confidence)
    if judge is not None and chance.verified and is_doubtful(confidence):
        verified = judge.verified(query, best)
        if verified is not None:
            confidence = logistic(with_verified(features, verified), chance.verified)
    return Evidence(tuple(_in_reading_order(chosen)), confidence, chance.threshold)


def _next_in_passage(best: ScoredSentence, sentences: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    """The sentence after `best` in its passage: where one sentence stands alone, what follows says what it means."""
    later = [s for s in sentences if s.hit.passage == best.hit.passage and s.sentence.start > best.sentence.start]
    later.sort(key=lambda s: s.sentence.start)
    return [
        s
        for s in later[:1]
        if (s.reranked is None or s.reranked > MIN_RERANKED_NEXT)
        and not _says_the_same(s.text, best.text)
        and not _is_elsewhere(s, best)
    ]


def _is_elsewhere(candidate: ScoredSentence, best: ScoredSentence) -> bool:
    """Whether `candidate` is about another place than the question and `best`."""
    return candidate.is_elsewhere and not best.is_elsewhere


def ranked_sentences(
    query: Query, hits: Sequence[Hit], sentences: Sequence[ScoredSentence], model: Mapping[str, float]
) -> list[tuple[float, ScoredSentence]]:
    """The sentences with their values under `model`, best first; ties by passage and place in it."""
    features = order_features(query, hits, sentences)
    valued = [(_linear(found, model), s) for found, s in zip(features, sentences, strict=True)]
    valued.sort(key=lambda item: (-item[0], item[1].hit.passage.passage_id, item[1].sentence.start))
    return valued


def order_features(query: Query, hits: Sequence[Hit], sentences: Sequence[ScoredSentence]) -> list[dict[str, float]]:
    """What speaks for each sentence, relative to the best of the others where a scale depends on the question."""
    kinds = asked_kinds(query.text)
    top_score = max(hit.score for hit in hits)
    top_said = max(s.said_score for s in sentences)
    top_asked = max(s.asked_score for s in sentences)
    top_reranked = max(s.reranked or 0.0 for s in sentences)
    return [
        {
            "passage": s.hit.score - top_score,
            "said": s.said_score - top_said,
            "overlap": max(s.overlap, s.asked.share if s.asked else 0.0),
            "asked": s.asked_score - top_asked,
            "context": s.context_overlap,
            "names_missing": float(min(s.n_names_missing, 3)),
            "own_language": float(s.hit.article.language == query.language),
            **{f"holds_{kind}": float(kind in kinds and holds_kind(s.text, kind, query.text)) for kind in KINDS},
            **({} if s.reranked is None else {"reranked": max(s.reranked - top_reranked, -LOG_ODDS_RANGE)}),
        }
        for s in sentences
    ]


def confidence_features(
    query: Query, hits: Sequence[Hit], ranked: Sequence[tuple[float, ScoredSentence]]
) -> dict[str, float]:
    """What speaks for the best sentence being an answer.

    A near miss has the right subject and lacks the fact: its words are strange to the corpus, or the place or number
    that it names stands nowhere near the sentence, or no known question is close to it.
    """
    value, best = ranked[0]
    others = [(v, s) for v, s in ranked if s.hit.article.article_id != best.hit.article.article_id]
    near = SAID_SCALE * (best.cosine - NEAR_SAID)
    if best.hit.article.questions:
        # A sentence of an article without known questions stands for itself.
        near = ASKED_SCALE * (max(s.asked_cosine for _, s in ranked) - NEAR_ASKED)
    return {
        "bias": 1.0,
        # Another model has other cosines: they must not decide alone.
        "near": max(-NEAR_RANGE, min(near, NEAR_RANGE)),
        "share": max(best.context_overlap, best.asked.share if best.asked else 0.0),
        "unknown": query.unknown_share,
        "names_missing": float(min(best.n_names_missing, 3)),
        "names_apart": float(min(best.asked.n_names_apart, 3)) if best.asked else 0.0,
        "has_names": float(query.has_names),
        "asked": min(best.asked_score, 6.0),
        "lead": max(-3.0, min(best.asked_score - max((s.asked_score for _, s in others), default=0.0), 3.0)),
        # How far what another article says is behind.
        "gap": min(value - max((v for v, _ in others), default=ranked[-1][0]), 6.0),
        "overlap": best.overlap,
        # Whether the sentence that answers best is also the nearest one.
        "said": max(-NEAR_RANGE, SAID_SCALE * (best.cosine - max(s.cosine for _, s in ranked))),
        "drop": hits[0].score - hits[min(5, len(hits) - 1)].score,
        "own_language": float(best.hit.article.language == query.language),
        "length": math.log(1 + len(query.terms)),
        **_reranked_features(ranked),
    }


def _reranked_features(ranked: Sequence[tuple[float, ScoredSentence]]) -> dict[str, float]:
    """How well the first sentence answers, read token by token, and how well the one that does so best."""
    scores = [s.reranked for _, s in ranked if s.reranked is not None]
    if not scores:
        return {}
    return {"reranked": _in_units(scores[0]), "best_reranked": _in_units(max(scores))}


def is_doubtful(chance: float) -> bool:
    """Whether a second look is taken."""
    return DOUBTFUL[0] < chance < DOUBTFUL[1]


def with_coverage(features: Mapping[str, float], log_odds: float) -> dict[str, float]:
    """The features of the confidence with what the question alone says."""
    return {**features, "coverage": _in_units(log_odds, COVERAGE_RANGE)}


def with_verified(features: Mapping[str, float], log_odds: float) -> dict[str, float]:
    """The features of the confidence with what the second look says."""
    return {**features, "verified": _in_units(log_odds)}


def _in_units(log_odds: float, within: float = LOG_ODDS_RANGE) -> float:
    """Log odds within a range, of the size of the other features."""
    return max(-within, min(log_odds, within)) / LOG_ODDS_UNIT


def _linear(features: Mapping[str, float], model: Mapping[str, float]) -> float:
    return sum(model.get(name, 0.0) * value for name, value in features.items())


def logistic(features: Mapping[str, float], model: Mapping[str, float]) -> float:
    """The chance that `model` sees in `features`, 0..1; a feature that it does not know counts for nothing."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, _linear(features, model)))))


def _in_reading_order(chosen: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    """The best sentence first; the others passage by passage, as they stand in the text."""
    best, *others = chosen
    first_seen = {s.hit.passage.passage_id: i for i, s in reversed(list(enumerate(chosen)))}
    others.sort(key=lambda s: (first_seen[s.hit.passage.passage_id], s.sentence.start))
    return [best, *others]


def _says_the_same(one: str, other: str) -> bool:
    pairs_one = {one[i : i + 2] for i in range(len(one) - 1)}
    pairs_other = {other[i : i + 2] for i in range(len(other) - 1)}
    smaller = min(len(pairs_one), len(pairs_other)) or 1
    return len(pairs_one & pairs_other) / smaller >= NEAR_DUPLICATE_SHARE
