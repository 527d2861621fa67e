"""What the triage has learned from examples: linear scores on a question's embedding and on the signals in its text."""

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
HEADS = ("emergency", "harm", "self-harm", *SITUATIONS)
# Embeddings of one model lie close together; this brings them to the size of the signals (0 or 1). Chosen on dev.
EMBEDDING_SCALE = 5.0
RULES_SCALE = 0.3
_RULES_RANGE = (-4.0, 6.0)
# How closely the embedding of the probe sentence must match for weights to belong to a model.
_MIN_LIKENESS = 0.98

Embed = Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of a question; each decision is taken from 0 upwards."""

    emergency: float
    harm: float
    self_harm: float
    situations: Mapping[Situation, float]


@dataclass(frozen=True, slots=True)
class Weights:
    """Learned weights. `heads` has a row for each of `HEADS`: embedding, signals in the order of `signals`, the two
    scores of the rules, bias. `probe` is the embedding of `probe_text` by the model that the weights belong to."""

    signals: tuple[str, ...]
    mean: NDArray[np.float64]
    heads: NDArray[np.float64]
    probe_text: str
    probe: NDArray[np.float64]

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> Weights:
        """The weights in the YAML file `path`.

        Raises:
            SignalsError: the file cannot be read; `python -m bot.train_triage` writes it anew.
        """
        try:
            data: dict[str, Any] = load_yaml(path.read_text("utf-8"))
            signals = tuple(str(name) for name in data["signals"])
            rows = []
            for head in HEADS:
                record = data["heads"][head]
                by_signal = [float(record["signals"].get(name, 0.0)) for name in signals]
                rows.append([*_numbers(record["embedding"]), *by_signal, *record["rules"], record["bias"]])
            return cls(
                signals,
                np.array(_numbers(data["mean"])),
                np.array(rows, dtype=np.float64),
                str(data["probe"]["text"]),
                np.array(_numbers(data["probe"]["embedding"])),
            )
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
        row = features(embedding - self.mean, found, self.signals, alarm=alarm, harm=harm)
        scores = dict(zip(HEADS, (self.heads @ np.append(row, 1.0)).tolist(), strict=True))
        return Judgement(
            emergency=scores["emergency"],
            harm=scores["harm"],
            self_harm=scores["self-harm"],
            situations={situation: scores[situation] for situation in SITUATIONS},
        )


def features(
    centred: NDArray[Any], found: frozenset[str], signals: Sequence[str], *, alarm: float, harm: float
) -> NDArray[np.float64]:
    """What the heads look at, (dim + signals + 2,): the embedding less its mean, the signals, the rules' scores."""
    return np.concatenate(
        [
            np.asarray(centred, dtype=np.float64) * EMBEDDING_SCALE,
            np.array([name in found for name in signals], dtype=np.float64),
            np.clip([alarm, harm], *_RULES_RANGE) * RULES_SCALE,
        ]
    )


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split()]
