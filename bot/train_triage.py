"""Learns the weights of the triage: `python -m bot.train_triage` writes triage_weights.yaml from examples and dev sets.

Nothing of the test sets is read.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.emergency import alarm_score
from bot.learned import (
    EMBEDDING_HEADS,
    EMBEDDING_SCALE,
    HEADS,
    LIKENESS_HEADS,
    WEIGHTS_FILE,
    Array,
    Space,
    gaussian_kernel,
    rounded,
    signal_features,
    write_weights,
)
from bot.refusal import harm_score
from bot.signals import Signals, default_signals
from bot.triage_set import EVAL_DIR, KINDS, Kind, read_examples, read_judged
from bot.types import SITUATIONS
from retrieval import Embedder, load_embedder

logger = logging.getLogger(__name__)

PROBE_TEXT = "Where can I find help?"
# Chosen on the dev sets, by learning without one hand's sentences and judging those. Gained nothing that could be told:
# more landmarks or directions, directions of equal width, equal weight of both answers.
N_DIRECTIONS = 128
N_LANDMARKS = 1500
GAMMA = 5.0
# The mean square length of a sentence in the space, which `GAMMA` belongs to.
MEAN_SQUARE = 0.125
# Directions in which languages differ, left out of the space: kinds of questions are to be told apart, not languages.
N_LANGUAGE_DIRECTIONS = 10
_MIN_SENTENCES_OF_LANGUAGE = 40
# The penalty on large weights: the stronger, the more sentences must agree.
PENALTY = 0.03
# The same for the signals, which are learned from fewer sentences.
SIGNAL_PENALTY = 20.0
# For the heads that go by the embedding itself.
EMBEDDING_PENALTY = 1.0
# How much a sentence counts for a head when the phrases of signals.yaml were written with it in view, and when it was
# collected for another head (the calm questions of one set are no look-alikes of the other's).
SEEN_WEIGHT = 0.3
OTHER_WEIGHT = 0.05
N_FOLDS = 5
# Directions of the kernel below this share carry nothing but rounding.
_MIN_EIGENVALUE = 1e-3
# The share of a head's hardest look-alikes (by cross-validation) that may be taken for its case, where its limit is set.
# A missed emergency costs more than a needless card, which stands above the answer and not in its place; of plain calm
# questions 1.5 % are taken at 8 %.
FALSE_ALARMS = {"emergency": 0.08, "harm": 0.08, "self-harm": 0.003}
_ALARM_CLASSES = frozenset({"trapped", "family_alarm", "self_harm", "violence"})
_SITUATION_CLASSES = {
    "trapped": "trapped",
    "family_alarm": "family",
    "family_calm": "family",
    "offer": "weighing-offer",
    "travel": "about-to-travel",
    "returned": "returned",
    "general": "general",
}


@dataclass(frozen=True, slots=True)
class Lesson:
    """A sentence and what is known of it, by head: true, false, or absent where it says nothing to a head."""

    text: str
    language: str
    # The set that the sentence was collected for: a kind, or `examples`, which serve all heads.
    collection: str
    known: dict[str, bool] = field(default_factory=dict)
    # Written after the phrases of signals.yaml, so that its signals are like those of new text.
    is_unseen: bool = False
    # Its place among the sentences of its language and source. Sources tell the same scenes in the same order in
    # several languages, so that what is at the same place goes into the same fold.
    place: int = 0


def lessons(eval_dir: Path) -> list[Lesson]:
    """All sentences that are learned from."""
    found = []
    places: Counter[str] = Counter()
    for name, sentences in read_examples().items():
        known = {
            "emergency": name in _ALARM_CLASSES,
            "harm": name == "harmful",
            "self-harm": name == "self_harm",
        }
        if name in _SITUATION_CLASSES:
            known |= {s: s == _SITUATION_CLASSES[name] for s in SITUATIONS}
        for language, sentence in sentences:
            places[f"{name} {language}"] += 1
            found.append(Lesson(sentence, language, "examples", known, place=places[f"{name} {language}"]))
    for kind in KINDS:
        for judged in read_judged(kind, "dev", eval_dir):
            # What a follow-up is about is told by the turns before it, not by its words.
            if kind == "situation" and judged.history:
                continue
            source = judged.text_id.rpartition("-")[0]
            places[source] += 1
            known = _known(kind, judged.label)
            found.append(Lesson(judged.text, judged.language, kind, known, judged.is_unseen, places[source]))
    return found


def _known(kind: Kind, label: bool | str) -> dict[str, bool]:
    if kind == "emergency":
        is_alarm = bool(label)
        return {"emergency": is_alarm, "harm": False} | ({} if is_alarm else {"self-harm": False})
    if kind == "harm":
        return {"emergency": False, "harm": bool(label), "self-harm": False}
    return {s: s == label for s in SITUATIONS}


# -- the space -----------------------------------------------------------------------------------------------


def make_space(embeddings: Array, languages: Sequence[str]) -> Space:
    """The space for likeness: the directions in which sentences differ most, without those in which languages do.

    Landmarks are sentences by lot. Numbers are rounded as the file rounds them, so that what is learned fits what is
    read.
    """
    mean = rounded(embeddings.mean(axis=0))
    centred = embeddings - mean
    of_languages = _language_directions(centred, np.array(languages))
    rest = centred - (centred @ of_languages.T) @ of_languages
    # The last directions of `rest` would be those that were taken out.
    n_directions = min(N_DIRECTIONS, embeddings.shape[1] - len(of_languages))
    directions = np.linalg.svd(rest, full_matrices=False)[2][:n_directions]
    scale = np.sqrt(MEAN_SQUARE / float(((rest @ directions.T) ** 2).sum(axis=1).mean()))
    projection = rounded(directions.T * scale)
    chosen = np.random.default_rng(0).permutation(len(centred))[:N_LANDMARKS]
    return Space(mean, projection, rounded(centred[chosen] @ projection), GAMMA)


def _language_directions(centred: Array, languages: NDArray[np.str_]) -> Array:
    """(k, dim) unit rows: where the means of the languages lie apart."""
    named, counts = np.unique(languages, return_counts=True)
    frequent = named[counts >= _MIN_SENTENCES_OF_LANGUAGE]
    if len(frequent) < 2:
        return np.zeros((0, centred.shape[1]))
    means = np.stack([centred[languages == language].mean(axis=0) for language in frequent])
    apart = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)[2]
    return np.asarray(apart[: min(N_LANGUAGE_DIRECTIONS, len(frequent) - 1)])


# -- fitting -------------------------------------------------------------------------------------------------


def fit_logistic(x: Array, y: Array, penalty: float, counts: Array | None = None) -> Array:
    """Weights (features + 1,) of a logistic regression with a ridge penalty, the bias last and free, by Newton steps.

    `counts` (n,): how often each row counts; None: once.
    """
    design = np.hstack([x, np.ones((len(x), 1))])
    counts = np.ones(len(x)) if counts is None else counts
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 1e-6
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (counts * (p - y)) + ridge * weights
        hessian = (design * (counts * p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if float(np.abs(step).max()) < 1e-4:
            break
    return weights


def held_out_scores(x: Array, y: Array, penalty: float, counts: Array, folds: NDArray[np.int64]) -> Array:
    """The score of each row by weights learned without its fold."""
    scores = np.zeros(len(y))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        weights = fit_logistic(x[outside], y[outside], penalty, counts[outside])
        scores[inside] = x[inside] @ weights[:-1] + weights[-1]
    return scores


def fit_in_two_steps(
    likeness: Array,
    signals: Array,
    y: Array,
    counts: Array,
    folds: NDArray[np.int64],
    unseen: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Weights (m + signals + 1,), the bias last, and the held-out scores of the unseen rows.

    Signals are trusted only as far as they help with text that they do not know: their phrases were written with the
    seen sentences in view and find nearly all of them, which says nothing of new text. So likeness is learned first,
    on all; then, on the unseen sentences alone, how much its held-out score and each signal count.
    """
    by_likeness = fit_logistic(likeness, y, PENALTY, counts)
    first = held_out_scores(likeness, y, PENALTY, counts, folds)
    second = np.hstack([first[:, None], signals])[unseen]
    combined = fit_logistic(second, y[unseen], SIGNAL_PENALTY, counts[unseen])
    scores = held_out_scores(second, y[unseen], SIGNAL_PENALTY, counts[unseen], folds[unseen])
    bias = combined[0] * by_likeness[-1] + combined[-1]
    return np.concatenate([combined[0] * by_likeness[:-1], combined[1:-1], [bias]]), scores


def train(eval_dir: Path, embedder: Embedder, signals: Signals) -> str:
    """The text of the weights file."""
    learned = lessons(eval_dir)
    embeddings = embedder.embed_queries([lesson.text for lesson in learned]).astype(np.float64)
    space = make_space(embeddings, [lesson.language for lesson in learned])
    # In this basis equal weights mean equal smoothness (Nyström), so that one penalty suits all landmarks.
    values, vectors = np.linalg.eigh(gaussian_kernel(space.landmarks, space.landmarks, GAMMA))
    kept = values > _MIN_EIGENVALUE
    basis = vectors[:, kept] / np.sqrt(values[kept])
    x = space.likeness(embeddings) @ basis
    names = sorted(signals.groups)
    by_signal = np.stack([_signals_of(lesson.text, signals, names) for lesson in learned])
    centred = (embeddings - space.mean) * EMBEDDING_SCALE
    likeness_heads = {head: _likeness_head(head, learned, x, by_signal) for head in LIKENESS_HEADS}
    embedding_heads = {head: _embedding_head(head, learned, centred, by_signal) for head in EMBEDDING_HEADS}
    heads = likeness_heads | embedding_heads
    lines = [
        "# What the triage has learned; `python -m bot.train_triage` wrote it from examples.yaml and the dev sets alone.",
        f"# Model: {embedder.name}. A head's score: likeness to the landmarks * weights + signals found + rules + bias;",
        "# its case is taken from 0 upwards; the heads from self-harm on go by the embedding instead of likeness. The",
        "# second document holds, in thousandths, a line each: the embedding of the probe, the mean, the directions,",
        "# the landmarks, the weights of likeness or of the embedding of each head.",
        f"signals: [{', '.join(names)}]",
        f"gamma: {GAMMA}",
        f"probe: {PROBE_TEXT!r}",
        f"sizes: {{embedding: {embeddings.shape[1]}, directions: {space.projection.shape[1]},"
        f" landmarks: {len(space.landmarks)}}}",
        "heads:",
    ]
    for head in HEADS:
        weights = heads[head]
        by_name = zip(names, weights[-len(names) - 3 : -3], strict=True)
        listed = ", ".join(f"{name}: {weight:.3f}" for name, weight in by_name)
        lines += [
            f"  {head}:",
            f"    bias: {weights[-1]:.4f}",
            f"    rules: [{weights[-3]:.3f}, {weights[-2]:.3f}]  # weights of the scores for alarm and harm",
            f"    signals: {{{listed}}}",
        ]
    by_likeness = np.stack([basis @ weights[: x.shape[1]] for weights in likeness_heads.values()])
    by_embedding = np.stack([weights[: centred.shape[1]] for weights in embedding_heads.values()])
    probe = embedder.embed_query(PROBE_TEXT)
    blocks = (probe, space.mean, space.projection.T, space.landmarks, by_likeness, by_embedding)
    return write_weights("\n".join(lines), blocks)


def _likeness_head(head: str, learned: Sequence[Lesson], x: Array, by_signal: Array) -> Array:
    """Weights (basis + signals + 1,) of one head, the bias such that its case is taken from 0 upwards."""
    chosen = [i for i, lesson in enumerate(learned) if head in lesson.known]
    known = [learned[i] for i in chosen]
    y = np.array([lesson.known[head] for lesson in known], dtype=np.float64)
    own = np.array([lesson.collection in (head, "examples") for lesson in known])
    unseen = np.array([lesson.is_unseen for lesson in known])
    counts = np.where(own, 1.0, OTHER_WEIGHT) * np.where(unseen, 1.0, SEEN_WEIGHT)
    weights, scores = fit_in_two_steps(x[chosen], by_signal[chosen], y, counts, _folds(known), unseen)
    # The limit is for the look-alikes of the head's own set, the hardest calm questions.
    scores, y = scores[own[unseen]], y[unseen & own]
    bound = limit(scores, y, FALSE_ALARMS[head])
    recall = float((scores[y == 1] > bound).mean())
    logger.info("%s, held out: recall %.3f at %.3f false alarms", head, recall, FALSE_ALARMS[head])
    weights[-1] -= bound
    return weights


def _embedding_head(head: str, learned: Sequence[Lesson], centred: Array, by_signal: Array) -> Array:
    """Weights (dim + signals + 1,) of one head; where it has a limit, its case is taken from 0 upwards."""
    chosen = [i for i, lesson in enumerate(learned) if head in lesson.known]
    known = [learned[i] for i in chosen]
    y = np.array([lesson.known[head] for lesson in known], dtype=np.float64)
    both = np.hstack([centred, by_signal])[chosen]
    counts = np.ones(len(y))
    weights = fit_logistic(both, y, EMBEDDING_PENALTY, counts)
    if head in FALSE_ALARMS:
        scores = held_out_scores(both, y, EMBEDDING_PENALTY, counts, _folds(known))
        weights[-1] -= limit(scores, y, FALSE_ALARMS[head])
    return weights


def _folds(learned: Sequence[Lesson]) -> NDArray[np.int64]:
    return np.array([lesson.place % N_FOLDS for lesson in learned])


def limit(scores: Array, y: Array, false_alarms: float) -> float:
    """The score that at most the share `false_alarms` of the calm sentences reaches."""
    calm = np.sort(scores[y == 0])[::-1]
    return float(calm[int(false_alarms * len(calm))])


def _signals_of(sentence: str, signals: Signals, names: Sequence[str]) -> Array:
    found = signals.find(sentence)
    return signal_features(found, names, alarm=alarm_score(found, signals), harm=harm_score(found, signals))


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the weights."""
    parser = argparse.ArgumentParser(prog="python -m bot.train_triage", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("var"), help="the data folder, for the model")
    parser.add_argument("--eval", type=Path, default=EVAL_DIR, help="the folder of the dev sets")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.output.write_text(train(options.eval, load_embedder(None, options.data), default_signals()), "utf-8")


if __name__ == "__main__":
    main()
