"""What the triage has learned from examples: how much a question is like landmarks of each kind, and what signals add."""

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
from retrieval import load_yaml

WEIGHTS_FILE = Path(__file__).parent / "triage_weights.yaml"
# Judged by likeness to landmarks; the other heads, for which there are fewer sentences, by the embedding itself.
LIKENESS_HEADS = ("emergency", "harm")
EMBEDDING_HEADS = ("self-harm", *SITUATIONS)
HEADS = (*LIKENESS_HEADS, *EMBEDDING_HEADS)
# Embeddings of one model lie close together; this brings them to the size of the signals (0 or 1). Chosen on dev.
EMBEDDING_SCALE = 5.0
# Numbers stand in the file as whole ones, in thousandths. The projection brings embeddings, whose numbers are a
# twentieth or so, to a length of about this, so that thousandths are fine enough.
FIXED_POINT = 1000.0
RULES_SCALE = 0.3
_RULES_RANGE = (-4.0, 6.0)
# How closely the embedding of the probe sentence must match for weights to belong to a model (cosine).
_MIN_LIKENESS = 0.98
_NUMBERS = "\n---\n"

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
    """Where likeness is measured: embeddings less their mean, projected, are compared with landmarks.

    `mean` (dim,), `projection` (dim, d), `landmarks` (m, d); `gamma` says how fast likeness falls with distance.
    """

    mean: Array
    projection: Array
    landmarks: Array
    gamma: float

    def likeness(self, embeddings: NDArray[Any]) -> Array:
        """(n, m): how much each embedding (n, dim) is like each landmark, 0 to 1."""
        points = (np.asarray(embeddings, dtype=np.float64) - self.mean) @ self.projection
        return gaussian_kernel(points, self.landmarks, self.gamma)


@dataclass(frozen=True, slots=True)
class Weights:
    """Learned weights. `heads` has a row for each of `HEADS`: likeness to each landmark, embedding less its mean, signals
    in the order of `signals`, the two scores of the rules, bias. `probe` is the embedding of `probe_text` by the model
    that the weights belong to."""

    signals: tuple[str, ...]
    space: Space
    heads: Array
    probe_text: str
    probe: Array

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> Weights:
        """The weights in the file `path`: two YAML documents, the second one nothing but numbers.

        Raises:
            SignalsError: the file cannot be read; `python -m bot.train_triage` writes it anew.
        """
        try:
            head, _, numbers = path.read_text("utf-8").partition(_NUMBERS)
            data: dict[str, Any] = load_yaml(head)
            signals = tuple(str(name) for name in data["signals"])
            dim, d, m = (int(data["sizes"][name]) for name in ("embedding", "directions", "landmarks"))
            n_likeness, n_embedding = len(LIKENESS_HEADS), len(EMBEDDING_HEADS)
            shapes = [(dim,), (dim,), (d, dim), (m, d), (n_likeness, m), (n_embedding, dim)]
            probe, mean, directions, landmarks, by_likeness, by_embedding = _blocks(numbers, shapes)
            rest = [
                [*(record["signals"][name] for name in signals), *record["rules"], record["bias"]]
                for record in (data["heads"][head] for head in HEADS)
            ]
            heads = np.zeros((len(HEADS), m + dim + len(rest[0])))
            heads[:n_likeness, :m] = by_likeness
            heads[n_likeness:, m : m + dim] = by_embedding
            heads[:, m + dim :] = rest
            space = Space(mean, directions.T, landmarks, float(data["gamma"]))
            return cls(signals, space, heads, str(data["probe"]), probe)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise SignalsError(
                f"'{path}' is not as the weights should be ({error!r}); run `python -m bot.train_triage`"
            ) from error

    def fits(self, embed: Embed) -> bool:
        """Whether the weights were learned on the embeddings that `embed` gives."""
        probe = np.asarray(embed(self.probe_text), dtype=np.float64)
        return probe.shape == self.probe.shape and float(probe @ self.probe) >= _MIN_LIKENESS

    def judge(self, embedding: NDArray[np.float32], found: frozenset[str], *, alarm: float, harm: float) -> Judgement:
        """The judgement on a question by its embedding (dim,), its signals and the scores that the rules give it."""
        by_signal = signal_features(found, self.signals, alarm=alarm, harm=harm)
        centred = (embedding - self.space.mean) * EMBEDDING_SCALE
        row = np.concatenate([self.space.likeness(embedding[None])[0], centred, by_signal, [1.0]])
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
    """(n, m): exp(-gamma * |a_i - b_j|^2) for rows a (n, d) and b (m, d)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-gamma * np.maximum(squares, 0.0)))


def rounded(numbers: NDArray[Any]) -> Array:
    """`numbers` as they are read back from the file."""
    return np.asarray(np.round(numbers * FIXED_POINT) / FIXED_POINT)


def write_weights(head: str, blocks: Sequence[NDArray[Any]]) -> str:
    """The text of a file: the YAML document `head`, then the numbers of `blocks`, a line for each of their rows."""
    rows = [row for block in blocks for row in np.atleast_2d(np.round(block * FIXED_POINT).astype(np.int64)).tolist()]
    return head.rstrip("\n") + _NUMBERS + "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


def _blocks(numbers: str, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    # Parsing a quarter of a million numbers as YAML would take a second; numpy takes 30 ms.
    flat = np.fromstring(numbers, sep=" ") / FIXED_POINT
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
    if len(flat) != ends[-1]:
        raise ValueError(f"{len(flat)} numbers instead of {ends[-1]}")
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
