"""`python -m bot.train_evidence DATA_FOLDER`: fits evidence.yaml on the development questions alone.

Order: a softmax over the sentences of the candidate passages, those that rest on a judged fact being right.
Confidence: a logistic regression over covered questions (right or wrong first sentence) and uncovered ones, with the
threshold at which `ANSWERED_SHARE` of the covered questions are answered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import minimize

from bot.evaluate import find, is_right, known_facts
from bot.evidence import WEIGHTS_PATH, confidence_features, order_features, ranked_sentences
from bot.question_set import JudgedQuestion, read_questions
from retrieval import Hit, Lexicon, Query, ScoredSentence, Searcher, load_embedder, load_index

# Near misses (right subject, missing fact) cannot be told from covered questions well enough to refuse nearly all of
# them without refusing most covered questions too: see the table that this command prints. Each sentence is a quote
# that says its own date and place, so the threshold is set to answer.
ANSWERED_SHARE = 0.93
MARGIN = 1.5
ORDER_PENALTY = 0.003
CONFIDENCE_PENALTY = 0.0003
CORPUS = Path(__file__).resolve().parent.parent / "corpus"

COVERED = ("dev", "dev-more")
UNCOVERED = ("dev-uncovered", "dev-more-uncovered")

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


def fit_confidence(rows: Sequence[dict[str, float]], labels: Sequence[bool]) -> dict[str, float]:
    """Weights of the logistic regression; both classes weigh the same."""
    names = list(rows[0])
    features = np.array([[row[name] for name in names] for row in rows])
    y = np.array(labels, dtype=float)
    weight = np.where(y == 1, 0.5 / max(y.mean(), 1e-9), 0.5 / max(1 - y.mean(), 1e-9))

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = 1 / (1 + np.exp(-np.clip(features @ w, -30, 30)))
        value = -np.mean(weight * (y * np.log(p + 1e-12) + (1 - y) * np.log(1 - p + 1e-12)))
        slope = features.T @ (weight * (p - y)) / len(y)
        return float(value) + CONFIDENCE_PENALTY * float(w @ w), slope + 2 * CONFIDENCE_PENALTY * w

    solution = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B")
    return dict(zip(names, (round(float(x), 4) for x in solution.x), strict=True))


def main(data: Path) -> None:
    """Fits both models and writes evidence.yaml."""
    embedder = load_embedder(None, data)
    lexicon = Lexicon.load(CORPUS / "lexicon.yaml")
    searcher = Searcher(load_index(data / "index", embedder), embedder, lexicon)
    known = known_facts(searcher)
    covered = [q for name in COVERED for q in read_questions(CORPUS / "eval", name) if q.facts & known]
    uncovered = [q for name in UNCOVERED for q in read_questions(CORPUS / "eval", name)]
    found = [(judged, *find(searcher, judged)) for judged in covered]
    order = fit_order(found)
    rows, labels, is_covered = [], [], []
    for judged, query, hits, sentences in [*found, *((q, *find(searcher, q)) for q in uncovered)]:
        ranked = ranked_sentences(query, hits, sentences, order)
        rows.append(confidence_features(query, hits, ranked))
        labels.append(is_right(ranked[0][1], judged))
        is_covered.append(bool(judged.facts))
    confidence = fit_confidence(rows, labels)
    names = list(rows[0])
    values = np.array([[row[n] for n in names] for row in rows]) @ np.array([confidence[n] for n in names])
    chances = 1 / (1 + np.exp(-values))
    covered_mask = np.array(is_covered)
    threshold = round(float(np.quantile(chances[covered_mask], 1 - ANSWERED_SHARE)), 3)
    text = "# Made by `python -m bot.train_evidence` from corpus/eval/dev*.jsonl; do not edit.\n"
    model = {"order": order, "confidence": confidence, "threshold": threshold, "margin": MARGIN}
    WEIGHTS_PATH.write_text(text + yaml.safe_dump(model, sort_keys=False), "utf-8")
    print(f"{len(covered)} covered, {len(uncovered)} uncovered questions")
    print(f"first sentence right: {np.mean(np.array(labels)[covered_mask]):.3f}")
    for share in (0.5, 0.6, 0.7, 0.8, ANSWERED_SHARE, 0.95):
        bound = float(np.quantile(chances[covered_mask], 1 - share))
        wrong = float(np.mean(chances[~covered_mask] >= bound))
        print(f"threshold {bound:.3f}: answers {share:.2f} of the covered, {wrong:.2f} of the uncovered questions")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
