"""Learns the weights of the triage: `python -m bot.train_triage` writes triage_weights.yaml from examples and dev sets.

Nothing of the test sets is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.emergency import alarm_score
from bot.learned import HEADS, WEIGHTS_FILE, features
from bot.refusal import harm_score
from bot.signals import Signals, default_signals
from bot.triage_set import EVAL_DIR, JudgedText, read_examples, read_judged
from bot.types import SITUATIONS
from retrieval import Embedder, load_embedder

PROBE_TEXT = "Where can I find help?"
# The penalty on large weights: the stronger, the more sentences must agree. Chosen by cross-validation on dev.
PENALTY = 1.0
# The same for the signals, which are learned from fewer sentences.
SIGNAL_PENALTY = 2.0
N_FOLDS = 10
# The share of calm sentences (by cross-validation) that may be taken for each head's case, where its limit is set.
FALSE_ALARMS = {"emergency": 0.02, "harm": 0.02, "self-harm": 0.003}
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


@dataclass(frozen=True, slots=True)
class Lesson:
    """A sentence and what is known of it, by head: true, false, or absent where it says nothing to a head."""

    text: str
    known: dict[str, bool] = field(default_factory=dict)
    # Written after the phrases of signals.yaml, so that its signals are like those of new text.
    is_unseen: bool = False
    # From the set of harmful requests and their look-alikes, which alone say how many look-alikes are declined.
    is_of_harm_set: bool = False


def lessons(eval_dir: Path) -> list[Lesson]:
    """All sentences that are learned from."""
    found = []
    for name, sentences in read_examples().items():
        known = {
            "emergency": name in _ALARM_CLASSES,
            "harm": name == "harmful",
            "self-harm": name == "self_harm",
        }
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
    found += [Lesson(j.text, {s: s == j.label for s in SITUATIONS}, j.is_unseen) for j in _without_history(eval_dir)]
    return found


def _without_history(eval_dir: Path) -> list[JudgedText]:
    # What a follow-up is about is told by the turns before it, not by its words.
    return [judged for judged in read_judged("situation", "dev", eval_dir) if not judged.history]


def fit_logistic(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
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
    return weights


def held_out_scores(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """The score of each row by weights learned without its fold."""
    folds = np.random.default_rng(0).permutation(len(y)) % N_FOLDS
    scores = np.zeros(len(y))
    for fold in range(N_FOLDS):
        weights = fit_logistic(x[folds != fold], y[folds != fold], penalty)
        scores[folds == fold] = x[folds == fold] @ weights[:-1] + weights[-1]
    return scores


def fit_in_two_steps(
    x: NDArray[np.float64], y: NDArray[np.float64], unseen: NDArray[np.bool_], n_dim: int, false_alarms: float
) -> NDArray[np.float64]:
    """Weights (features + 1,) where the signals are trusted only as far as they help with text that they do not know.

    The phrases were written with most of these sentences in view and find nearly all of them, which says nothing of
    new text. So the embedding part is learned first, on all; then, on the unseen sentences alone, how much that part
    (by its held-out score) and each signal count.
    """
    by_embedding = fit_logistic(x[:, :n_dim], y, PENALTY)
    held_out = held_out_scores(x[:, :n_dim], y, PENALTY)
    second = np.hstack([held_out[:, None], x[:, n_dim:]])
    combined = fit_logistic(second[unseen], y[unseen], SIGNAL_PENALTY)
    scores = held_out_scores(second[unseen], y[unseen], SIGNAL_PENALTY)
    limit = _limit(scores, y[unseen], false_alarms)
    bias = combined[0] * by_embedding[-1] + combined[-1] - limit
    return np.concatenate([combined[0] * by_embedding[:-1], combined[1:-1], [bias]])


def train(eval_dir: Path, embedder: Embedder, signals: Signals) -> str:
    """The text of the weights file."""
    learned = lessons(eval_dir)
    embeddings = embedder.embed_queries([lesson.text for lesson in learned]).astype(np.float64)
    mean = embeddings.mean(axis=0)
    names = sorted(signals.groups)
    found = [signals.find(lesson.text) for lesson in learned]
    x = np.stack(
        [
            features(
                row - mean,
                groups,
                names,
                alarm=alarm_score(groups, signals),
                harm=harm_score(groups, signals),
            )
            for row, groups in zip(embeddings, found, strict=True)
        ]
    )
    lines = [
        "# What the triage has learned; `python -m bot.train_triage` wrote it from examples.yaml and the dev sets alone.",
        f"# Model: {embedder.name}. Score of a head: embedding part + signals found + rules + bias; taken from 0 upwards.",
        f"signals: [{', '.join(names)}]",
        f"mean: {_row(mean)}",
        f"probe: {{text: {PROBE_TEXT!r}, embedding: {_row(embedder.embed_query(PROBE_TEXT))}}}",
        "heads:",
    ]
    n_dim = embeddings.shape[1]
    for head in HEADS:
        chosen = [i for i, lesson in enumerate(learned) if head in lesson.known]
        y = np.array([learned[i].known[head] for i in chosen], dtype=np.float64)
        if head in IN_TWO_STEPS:
            unseen = np.array([learned[i].is_unseen for i in chosen])
            weights = fit_in_two_steps(x[chosen], y, unseen, n_dim, FALSE_ALARMS[head])
        else:
            weights = fit_logistic(x[chosen], y, PENALTY)
            if head in FALSE_ALARMS:
                weights[-1] -= _limit(held_out_scores(x[chosen], y, PENALTY), y, FALSE_ALARMS[head])
        by_signal = {name: round(float(w), 3) for name, w in zip(names, weights[n_dim:-3], strict=True)}
        listed = ", ".join(f"{name}: {w}" for name, w in by_signal.items())
        lines += [
            f"  {head}:",
            f"    bias: {weights[-1]:.4f}",
            f"    rules: [{weights[-3]:.3f}, {weights[-2]:.3f}]  # weights of the scores for alarm and harm",
            f"    signals: {{{listed}}}",
            f"    embedding: {_row(weights[:n_dim])}",
        ]
    return "\n".join(lines) + "\n"


def _limit(scores: NDArray[np.float64], y: NDArray[np.float64], false_alarms: float) -> float:
    """The score that at most the share `false_alarms` of the calm sentences reaches."""
    calm = np.sort(scores[y == 0])[::-1]
    return float(calm[int(false_alarms * len(calm))])


def _row(numbers: NDArray[np.floating]) -> str:
    return " ".join(f"{number:.4g}" for number in numbers.tolist())


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
