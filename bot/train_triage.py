"""Learns the weights of the triage: `python -m bot.train_triage` writes triage_weights.yaml from examples and dev sets.

Nothing of the test sets is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.emergency import alarm_score
from bot.learned import HEADS, WEIGHTS_FILE, Array, Space, gaussian_kernel, read_row, signal_features, write_row
from bot.refusal import harm_score
from bot.signals import Signals, default_signals
from bot.triage_set import EVAL_DIR, read_examples, read_judged
from bot.types import SITUATIONS
from retrieval import Embedder, load_embedder

PROBE_TEXT = "Where can I find help?"
# All chosen by cross-validation on the dev sets: more landmarks and directions gained nothing that could be told.
N_DIRECTIONS = 64
N_LANDMARKS = 400
GAMMA = 5.0
PENALTY = 0.03
# The same for signals, which are learned from fewer sentences.
SIGNAL_PENALTY = 1.0
N_FOLDS = 10
# The share of calm sentences (by cross-validation) that may be taken for a head's case, where its limit is set.
FALSE_ALARMS = {"emergency": 0.03, "harm": 0.03, "self-harm": 0.003}
# Heads with enough unseen sentences of both kinds.
IN_TWO_STEPS = frozenset({"emergency", "harm"})
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

Fit = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A sentence and what is known of it, by head: true, false, or absent where it says nothing to a head."""

    text: str
    known: dict[str, bool] = field(default_factory=dict)
    # Written after the phrases of signals.yaml, so that its signals are like those of new text.
    is_unseen: bool = False


def lessons(eval_dir: Path) -> list[Lesson]:
    """All sentences that are learned from."""
    found = []
    for name, sentences in read_examples().items():
        known = {"emergency": name in _ALARM_CLASSES, "harm": name == "harmful", "self-harm": name == "self_harm"}
        if name in _SITUATION_CLASSES:
            known |= {s: s == _SITUATION_CLASSES[name] for s in SITUATIONS}
        found += [Lesson(sentence, known) for _, sentence in sentences]
    for judged in read_judged("emergency", "dev", eval_dir):
        is_alarm = bool(judged.label)
        known = {"emergency": is_alarm, "harm": False} | ({} if is_alarm else {"self-harm": False})
        found.append(Lesson(judged.text, known, judged.is_unseen))
    for judged in read_judged("harm", "dev", eval_dir):
        known = {"emergency": False, "harm": bool(judged.label), "self-harm": False}
        found.append(Lesson(judged.text, known, judged.is_unseen))
    for judged in read_judged("situation", "dev", eval_dir):
        # What a follow-up is about is told by the turns before it, not by its words.
        if not judged.history:
            found.append(Lesson(judged.text, {s: s == judged.label for s in SITUATIONS}, judged.is_unseen))
    return found


# -- fitting -------------------------------------------------------------------------------------------------


def fit_logistic(x: Array, y: Array, penalty: float) -> Array:
    """Weights (features + 1,) of a logistic regression with a ridge penalty, the bias last and free, by Newton steps."""
    design = np.hstack([x, np.ones((len(x), 1))])
    ridge = penalty * np.eye(design.shape[1])
    ridge[-1, -1] = 1e-6
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - y) + ridge @ weights
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design + ridge, gradient)
        weights -= step
        if float(np.abs(step).max()) < 1e-6:
            break
    return np.asarray(weights)


def held_out_scores(x: Array, y: Array, penalty: float) -> Array:
    """The score of each row by weights learned without its fold."""
    folds = np.random.default_rng(0).permutation(len(y)) % N_FOLDS
    scores = np.zeros(len(y))
    for fold in range(N_FOLDS):
        weights = fit_logistic(x[folds != fold], y[folds != fold], penalty)
        scores[folds == fold] = x[folds == fold] @ weights[:-1] + weights[-1]
    return scores


def fit_in_two_steps(
    likeness: Array, signals: Array, y: Array, unseen: NDArray[np.bool_]
) -> tuple[Array, Array, Array]:
    """Weights of likeness (m + 1,) and of signals (signals + 1,), and held-out scores of the unseen rows.

    Signals are trusted only as far as they help with text that they do not know: their phrases were written with most
    of these sentences in view and find nearly all of them, which says nothing of new text. So likeness is learned
    first, on all; then, on the unseen sentences alone, how much its held-out score and each signal count.
    """
    by_likeness = fit_logistic(likeness, y, PENALTY)
    first = held_out_scores(likeness, y, PENALTY)
    second = np.hstack([first[:, None], signals])[unseen]
    combined = fit_logistic(second, y[unseen], SIGNAL_PENALTY)
    return (
        combined[0] * by_likeness,
        combined[1:],
        held_out_scores(second, y[unseen], SIGNAL_PENALTY),
    )


def limit(scores: Array, y: Array, false_alarms: float) -> float:
    """The score that at most the share `false_alarms` of the calm sentences reaches."""
    calm = np.sort(scores[y == 0])[::-1]
    return float(calm[int(false_alarms * len(calm))])


def centres(points: Array, n: int) -> Array:
    """(n, d) centres of the rows of `points`, by Lloyd's steps from a fixed beginning."""
    found = points[np.random.default_rng(0).permutation(len(points))[:n]]
    for _ in range(20):
        nearest = gaussian_kernel(points, found, 1.0).argmax(axis=1)
        found = np.stack([points[nearest == i].mean(axis=0) if (nearest == i).any() else found[i] for i in range(n)])
    return found


def make_space(embeddings: Array) -> Space:
    """The space for likeness: the directions in which the sentences differ most, and centres of the sentences there.

    Numbers are rounded as the file rounds them, so that what is learned fits what is read.
    """
    mean = _rounded(embeddings.mean(axis=0))
    directions = np.linalg.svd(embeddings - mean, full_matrices=False)[2][:N_DIRECTIONS]
    projection = np.stack([_rounded(direction) for direction in directions]).T
    points = (embeddings - mean) @ projection
    landmarks = np.stack([_rounded(row) for row in centres(points, min(N_LANDMARKS, len(points)))])
    return Space(mean, projection, landmarks, GAMMA)


def _rounded(row: Array) -> Array:
    return read_row(write_row(row))


# -- the file ------------------------------------------------------------------------------------------------


def train(eval_dir: Path, embedder: Embedder, signals: Signals) -> str:
    """The text of the weights file."""
    learned = lessons(eval_dir)
    embeddings = embedder.embed_queries([lesson.text for lesson in learned]).astype(np.float64)
    names = sorted(signals.groups)
    space = make_space(embeddings)
    likeness = space.likeness(embeddings)
    # In this basis equal weights mean equal smoothness (Nyström), so that one penalty suits all landmarks.
    values, vectors = np.linalg.eigh(gaussian_kernel(space.landmarks, space.landmarks, GAMMA))
    basis = vectors[:, values > 1e-4] / np.sqrt(values[values > 1e-4])
    x = likeness @ basis
    by_signal = np.stack([_signals_of(lesson.text, signals, names) for lesson in learned])
    lines = [
        "# What the triage has learned; `python -m bot.train_triage` wrote it from examples.yaml and the dev sets alone.",
        f"# Model: {embedder.name}. A head's score: likeness to landmarks * weights + signals found + rules + bias; its",
        "# case is taken from 0 upwards. Rows are fixed-point numbers: 1000 is 1.0.",
        f"signals: [{', '.join(names)}]",
        f"gamma: {GAMMA}",
        f"mean: {write_row(space.mean)}",
        "projection:",
        *(f"  - {write_row(direction)}" for direction in space.projection.T),
        "landmarks:",
        *(f"  - {write_row(landmark)}" for landmark in space.landmarks),
        f"probe: {{text: {PROBE_TEXT!r}, embedding: {write_row(embedder.embed_query(PROBE_TEXT).astype(np.float64))}}}",
        "heads:",
    ]
    for head in HEADS:
        chosen = [i for i, lesson in enumerate(learned) if head in lesson.known]
        y = np.array([learned[i].known[head] for i in chosen], dtype=np.float64)
        unseen = np.array([learned[i].is_unseen for i in chosen])
        if head in IN_TWO_STEPS:
            first, second, scores = fit_in_two_steps(x[chosen], by_signal[chosen], y, unseen)
            bias = first[-1] + second[-1] - limit(scores, y[unseen], FALSE_ALARMS[head])
        else:
            both = np.hstack([x, by_signal])[chosen]
            weights = fit_logistic(both, y, PENALTY)
            first, second = weights[: x.shape[1]], weights[x.shape[1] :]
            bias = second[-1]
            if head in FALSE_ALARMS:
                bias -= limit(held_out_scores(both, y, PENALTY), y, FALSE_ALARMS[head])
        lines += _head_lines(head, basis @ first[: x.shape[1]], dict(zip(names, second[:-3], strict=True)), second, bias)
    return "\n".join(lines) + "\n"


def _head_lines(head: str, landmarks: Array, signals: dict[str, float], second: Array, bias: float) -> list[str]:
    listed = ", ".join(f"{name}: {weight:.3f}" for name, weight in signals.items())
    return [
        f"  {head}:",
        f"    bias: {bias:.4f}",
        f"    rules: [{second[-3]:.3f}, {second[-2]:.3f}]  # weights of the scores for alarm and harm",
        f"    signals: {{{listed}}}",
        f"    landmarks: {write_row(landmarks)}",
    ]


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
    options.output.write_text(train(options.eval, load_embedder(None, options.data), default_signals()), "utf-8")


if __name__ == "__main__":
    main()
