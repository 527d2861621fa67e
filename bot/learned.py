"""What the triage has learned from examples: small networks that read the model's tokens of a question."""

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
from retrieval import Network, Reading, is_of_model, load_yaml, number_lines, read_blocks

WEIGHTS_FILE = Path(__file__).parent / "triage_weights.yaml"
# The networks and what each decides on. An emergency and a harmful request have their own: there is enough to learn from,
# and in a network for all of them one was told the less well the more was learned of the other. Two and three, of which the
# mean counts, differ in what they drew by lot while they learned: what only one of them sees is seldom so. Held out, of
# plain harmful requests 0.976 are found with three and 0.968 with two, of their look-alikes 0.012 and 0.016.
NETWORKS: Sequence[tuple[str, ...]] = (
    ("emergency",),
    ("emergency",),
    ("harm",),
    ("harm",),
    ("harm",),
    ("follow_up", *SITUATIONS),
)
HEADS = tuple(dict.fromkeys(head for heads in NETWORKS for head in heads))
_COLUMNS = [[HEADS.index(head) for head in heads] for heads in NETWORKS]
_N_NETWORKS = np.bincount([column for columns in _COLUMNS for column in columns]).astype(np.float32)
# What the rules count beside the learned score: how far their own score lies above their limit, within a range. Chosen on
# dev, hands held out, at equal false alarms on hard look-alikes: of plain emergencies 0.918 are found (0.874 without), of
# plain harmful requests 0.928 (0.861), of indirect ones 0.881 (0.895) and 0.718 (0.728).
RULES_WEIGHT = 0.75
_RULES_RANGE = (-4.0, 6.0)
_NUMBERS = "\n---\n"

Read = Callable[[str], Reading]
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of a question before the rules are heard; `follow_up` is from 0 upwards where it leans on the one before."""

    emergency: float
    harm: float
    follow_up: float
    situations: Mapping[Situation, float]


def scores_of(networks: Sequence[Network], tokens: Array) -> Array:
    """(heads,) float32, the scores for all `HEADS` by the networks for `NETWORKS`, for tokens (t, width) with t > 0."""
    scores = np.zeros(len(HEADS), dtype=np.float32)
    for network, columns in zip(networks, _COLUMNS, strict=True):
        scores[columns] += network.scores(tokens)
    mean: Array = scores / _N_NETWORKS
    return mean


@dataclass(frozen=True, slots=True)
class Weights:
    """The networks, in the order of `NETWORKS`, and what they belong to.

    `clear_alarm` is the score for an emergency that few calm texts reach; `probe` is the vector of `probe_text` by the
    model whose tokens the networks read.
    """

    networks: Sequence[Network]
    clear_alarm: float
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
            if tuple(data["heads"]) != HEADS:
                raise ValueError(f"heads {data['heads']}")
            dim, width, h, q = (int(data["sizes"][name]) for name in ("vector", "width", "details", "queries"))
            shapes = [shape for heads in NETWORKS for shape in Network.shapes(width, h, q, len(heads))]
            probe, *arrays = read_blocks(numbers, [(dim,), *shapes])
            return cls(Network.several(arrays), float(data["clear_alarm"]), str(data["probe"]), probe)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise SignalsError(
                f"'{path}' is not as the weights should be ({error!r}); run `python -m bot.train_triage`"
            ) from error

    def fits(self, read: Read) -> bool:
        """Whether the weights were learned on what `read` gives."""
        return is_of_model(read(self.probe_text), self.probe, self.networks[0].width)

    def judge(self, tokens: Array) -> Judgement:
        """The judgement on a question by its tokens (n, width)."""
        scores = dict(zip(HEADS, scores_of(self.networks, tokens).tolist(), strict=True))
        return Judgement(
            emergency=scores["emergency"],
            harm=scores["harm"],
            follow_up=scores["follow_up"],
            situations={situation: scores[situation] for situation in SITUATIONS},
        )


def with_rules(score: float, excess: float) -> float:
    """The learned `score` of a head, and what the rules add; `excess` is how far theirs lies above their limit."""
    return score + RULES_WEIGHT * max(_RULES_RANGE[0], min(excess, _RULES_RANGE[1]))


def write_weights(head: str, blocks: Sequence[NDArray[Any]]) -> str:
    """The text of a file: the YAML document `head`, then the numbers of `blocks`, a line for each of their rows."""
    return head.rstrip("\n") + _NUMBERS + number_lines(blocks)
