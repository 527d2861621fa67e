"""What the triage has learned from examples: how much a question is like those of each kind, and what signals add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bot.errors import SignalsError
from bot.types import SITUATIONS, Situation

WEIGHTS_FILE = Path(__file__).parent / "triage_weights.yaml"
HEADS = ("emergency", "harm", "self-harm", *SITUATIONS)
# Fixed-point numbers of the file: an integer of 1000 is 1.0.
FIXED_POINT = 1000.0
RULES_SCALE = 0.3
_RULES_RANGE = (-4.0, 6.0)
# How closely the embedding of the probe sentence must match for weights to belong to a model (cosine).
_MIN_LIKENESS = 0.98

Embed = Callable[[str], NDArray[np.float32]]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of a question; each decision is taken from 0 upwards."""

    emergency: float
    harm: float
    self_harm: float
    situations: Mapping[Situation, float]


@dataclass(frozen=True, slots=True)
class Space:
    """Where likeness is measured: embeddings less their mean, projected, compared with landmarks.

    `mean` (dim,), `projection` (dim, d), `landmarks` (m, d); `gamma` says how fast likeness falls with distance.
    """

    mean: Array
    projection: Array
    landmarks: Array
    gamma: float

    def likeness(self, embeddings: NDArray[Any]) -> Array:
        """(n, m): how much each embedding (n, dim) is like each landmark, 0 to 1: exp(-gamma * squared distance)."""
        points = (np.asarray(embeddings, dtype=np.float64) - self.mean) @ self.projection
        return gaussian_kernel(points, self.landmarks, self.gamma)


@dataclass(frozen=True, slots=True)
class Weights:
    """Learned weights. `heads` has a row for each of `HEADS`: landmarks, signals in the order of `signals`, the two
    scores of the rules, bias. `probe` is the embedding of `probe_text` by the model that the weights belong to."""

    signals: tuple[str, ...]
    space: Space
    heads: Array
    probe_text: str
    probe: Array

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> Weights:
        """The weights in the YAML file `path`.

        Raises:
            SignalsError: the file cannot be read; `python -m bot.train_triage` writes it anew.
        """
        try:
            data: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
            signals = tuple(str(name) for name in data["signals"])
            rows = []
            for head in HEADS:
                record = data["heads"][head]
                by_signal = [float(record["signals"].get(name, 0.0)) for name in signals]
                rows.append([*read_row(record["landmarks"]), *by_signal, *record["rules"], record["bias"]])
            space = Space(
                mean=read_row(data["mean"]),
                projection=np.stack([read_row(line) for line in data["projection"]]).T,
                landmarks=np.stack([read_row(line) for line in data["landmarks"]]),
                gamma=float(data["gamma"]),
            )
            probe = data["probe"]
            weights = cls(signals, space, np.array(rows), str(probe["text"]), read_row(probe["embedding"]))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise SignalsError(
                f"'{path}' is not as the weights should be ({error!r}); run `python -m bot.train_triage`"
            ) from error
        return weights

    def fits(self, embed: Embed) -> bool:
        """Whether the weights were learned on the embeddings that `embed` gives."""
        probe = np.asarray(embed(self.probe_text), dtype=np.float64)
        if probe.shape != self.probe.shape:
            return False
        lengths = float(np.linalg.norm(probe) * np.linalg.norm(self.probe))
        return lengths > 0 and float(probe @ self.probe) / lengths >= _MIN_LIKENESS

    def judge(
        self, embedding: NDArray[np.float32], found: frozenset[str], *, alarm: float, harm: float
    ) -> Judgement:
        """The judgement on a question by its embedding (dim,), its signals and the scores that the rules give it."""
        likeness = self.space.likeness(embedding[None])[0]
        row = np.concatenate([likeness, signal_features(found, self.signals, alarm=alarm, harm=harm), [1.0]])
        scores = dict(zip(HEADS, (self.heads @ row).tolist(), strict=True))
        return Judgement(
            emergency=scores["emergency"],
            harm=scores["harm"],
            self_harm=scores["self-harm"],
            situations={situation: scores[situation] for situation in SITUATIONS},
        )


def signal_features(found: frozenset[str], signals: Sequence[str], *, alarm: float, harm: float) -> Array:
    """(signals + 2,): 1 for each signal found, then the scores of the rules, cut to a range and scaled."""
    rules = np.clip([alarm, harm], *_RULES_RANGE) * RULES_SCALE
    return np.concatenate([np.array([name in found for name in signals], dtype=np.float64), rules])


def gaussian_kernel(a: Array, b: Array, gamma: float) -> Array:
    """(n, m): exp(-gamma * |a_i - b_j|^2) of rows a (n, d) and b (m, d)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-gamma * np.maximum(squares, 0.0)))


def read_row(text: str) -> Array:
    """The fixed-point numbers in a line of the file."""
    return np.array(text.split(), dtype=np.float64) / FIXED_POINT


def write_row(numbers: Array) -> str:
    """A line of the file for `numbers`."""
    return " ".join(str(round(float(number) * FIXED_POINT)) for number in numbers)
