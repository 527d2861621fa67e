"""`python -m bot.train_evidence DATA_FOLDER`: fits evidence.yaml on the development questions alone.

Order: a softmax over the sentences of the candidate passages, those that rest on a judged fact being right.
Chance: a logistic regression over covered questions and uncovered ones, and a second one with what the verifier says,
with the threshold at which `ANSWERED_SHARE` of the covered questions are answered. Both are fitted for sentences read token
by token and for a model that tells no tokens; for the former the chance once more with what the question alone says of coverage.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import minimize

from bot.evaluate import find, is_right, known_facts
from bot.evidence import (
    WEIGHTS_PATH,
    Judge,
    confidence_features,
    is_doubtful,
    logistic,
    order_features,
    quotable,
    ranked_sentences,
    with_coverage,
    with_verified,
)
from bot.question_set import JudgedQuestion, read_questions
from bot.triage import Triage
from retrieval import Hit, Lexicon, Query, ScoredSentence, Searcher, load_embedder, load_index

# Near misses (right subject, missing fact) are not all told from covered questions: the table that this command prints says
# how many get an answer. Each sentence is a quote that says its own date and place, so the threshold is set to answer.
ANSWERED_SHARE = 0.95
MARGIN = 1.5
ORDER_PENALTY = 0.003
CONFIDENCE_PENALTY = 0.0003
CORPUS = Path(__file__).resolve().parent.parent / "corpus"

COVERED = ("dev", "dev-more", "dev-broad", "dev-follow-ups")
UNCOVERED = ("dev-uncovered", "dev-more-uncovered", "dev-broad-uncovered")

Found = tuple[JudgedQuestion, Query, list[Hit], list[ScoredSentence]]


def fit_order(found: Sequence[Found]) -> dict[str, float]:
    """Weights under which right sentences come first."""
    names: list[str] = []
    cases: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
    for judged, query, hits, sentences in found:
        right = np.array([is_right(s, judged) for s in sentences])
        if right.any():
            features = order_features(query, hits, sentences)
            names = list(features[0])
            cases.append((np.array([[f[name] for name in names] for f in features]), right))

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = 0.0, np.zeros_like(w)
        for features, right in cases:
            values = features @ w
            chances = np.exp(values - values.max())
            chances /= chances.sum()
            share = chances[right].sum()
            total -= np.log(share + 1e-12)
            target = np.where(right, chances / (share + 1e-12), 0.0)
            slope += features.T @ (chances - target)
        n = len(cases)
        return total / n + ORDER_PENALTY * float(w @ w), slope / n + 2 * ORDER_PENALTY * w

    solution = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B")
    return dict(zip(names, (round(float(x), 4) for x in solution.x), strict=True))


def fit_confidence(rows: Sequence[dict[str, float]], labels: NDArray[np.bool_]) -> dict[str, float]:
    """Weights of the logistic regression; both classes weigh the same."""
    names = list(rows[0])
    features = np.array([[row[name] for name in names] for row in rows])
    y = labels.astype(float)
    weight = np.where(y == 1, 0.5 / max(y.mean(), 1e-9), 0.5 / max(1 - y.mean(), 1e-9))

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = 1 / (1 + np.exp(-np.clip(features @ w, -30, 30)))
        value = -np.mean(weight * (y * np.log(p + 1e-12) + (1 - y) * np.log(1 - p + 1e-12)))
        slope = features.T @ (weight * (p - y)) / len(y)
        return float(value) + CONFIDENCE_PENALTY * float(w @ w), slope + 2 * CONFIDENCE_PENALTY * w

    solution = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B")
    return dict(zip(names, (round(float(x), 4) for x in solution.x), strict=True))


def fit_chance(
    rows: Sequence[dict[str, float]], second_looks: Sequence[float | None], is_covered: NDArray[np.bool_]
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """The models of the chance as they stand in evidence.yaml, and the chance of each question.

    The chance is that the articles answer the question, not that the first sentence is the right one: learned so, fewer
    answers are wrong (five-fold, where 0.93 of the covered are answered: 0.124 of all in place of 0.132), because fewer
    questions without an answer get one (0.102 in place of 0.127).
    """
    confidence = fit_confidence(rows, is_covered)
    chances = [logistic(row, confidence) for row in rows]
    second: dict[str, float] = {}
    looks = [look for look in second_looks if look is not None]
    if len(looks) == len(rows):
        verified = [with_verified(row, look) for row, look in zip(rows, looks, strict=True)]
        second = fit_confidence(verified, is_covered)
        again = (logistic(row, second) for row in verified)
        chances = [new if is_doubtful(chance) else chance for chance, new in zip(chances, again, strict=True)]
    threshold = round(float(np.quantile(np.array(chances)[is_covered], 1 - ANSWERED_SHARE)), 3)
    return {"confidence": confidence, "verified": second, "threshold": threshold}, np.array(chances)


def fit(name: str, found: Sequence[Found], judge: Judge) -> dict[str, Any]:
    """The models for what was found, as they stand in evidence.yaml; says how well they do on it."""
    order = fit_order([case for case in found if case[0].facts])
    is_covered = np.array([bool(judged.facts) for judged, *_ in found])
    rows, right, looks, coverages = [], [], [], []
    for judged, query, hits, sentences in found:
        ranked = ranked_sentences(query, hits, sentences, order)
        rows.append(confidence_features(query, hits, ranked))
        right.append(is_right(ranked[0][1], judged))
        looks.append(judge.verified(query, ranked[0][1]))
        coverages.append(judge.coverage(query, ranked[0][1]))
    print(f"{name}: first sentence right: {np.array(right)[is_covered].mean():.3f}")
    chance, chances = fit_chance(rows, looks, is_covered)
    _tell(name, chances, is_covered)
    models = {"order": order, "margin": MARGIN, "chance": chance}
    told = [n for n, coverage in enumerate(coverages) if coverage is not None]
    # The plain models are for one that tells no tokens, and so of no coverage either, which the searcher here would.
    if told and "reranked" in rows[0]:
        own = [
            with_coverage(row, coverage) for row, coverage in zip(rows, coverages, strict=True) if coverage is not None
        ]
        models["own"], chances = fit_chance(own, [looks[n] for n in told], is_covered[told])
        _tell(f"{name}, own articles", chances, is_covered[told])
    return models


def _tell(name: str, chances: NDArray[np.float64], is_covered: NDArray[np.bool_]) -> None:
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, ANSWERED_SHARE):
        bound = float(np.quantile(chances[is_covered], 1 - share))
        wrong = float(np.mean(chances[~is_covered] >= bound))
        print(
            f"{name}: threshold {bound:.3f} answers {share:.2f} of the covered, {wrong:.3f} of the uncovered questions"
        )


def main(data: Path) -> None:
    """Fits the models, with and without the reranker, and writes evidence.yaml."""
    embedder = load_embedder(None, data)
    if embedder.reranker is None:
        raise SystemExit("the model gives no tokens; fit with the default model (leave GUITU_MODEL empty)")
    lexicon = Lexicon.load(CORPUS / "lexicon.yaml")
    index = load_index(data / "index", embedder)
    searchers = {
        "reranked": Searcher(index, embedder, lexicon),
        "plain": Searcher(replace(index, sentence_keys=None), embedder, lexicon),
    }
    triage = Triage(lexicon, embedder.read_query)
    known = known_facts(searchers["plain"])
    covered = [q for name in COVERED for q in read_questions(CORPUS / "eval", name) if q.facts & known]
    uncovered = [q for name in UNCOVERED for q in read_questions(CORPUS / "eval", name)]
    print(f"{len(covered)} covered, {len(uncovered)} uncovered questions")
    models = {}
    for name, searcher in searchers.items():
        cases = [(judged, *find(searcher, triage, judged)) for judged in [*covered, *uncovered]]
        found = [(judged, query, hits, quotable(of_hits)) for judged, query, hits, of_hits in cases]
        models[name] = fit(name, found, searcher)
    text = "# Made by `python -m bot.train_evidence` from corpus/eval/dev*.jsonl; do not edit.\n"
    WEIGHTS_PATH.write_text(text + yaml.safe_dump(models, sort_keys=False), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
