"""From signs found to a score: a logistic regression whose weights stand in offer_weights.yaml."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from bot.errors import SignsError
from bot.signs import SignList, Strength
from retrieval import load_yaml

WEIGHTS_PATH = Path(__file__).parent / "offer_weights.yaml"

# What a sign weighs before training, and for good when an operator has added it since.
PRIOR_WEIGHT: Mapping[Strength, float] = {"strong": 2.0, "medium": 1.2, "weak": 0.5}
PRIOR_REASSURANCE = -1.0
PRIOR_BIAS = -1.5
# Scammers copy the words of honest advertisements: all reassurances together outweigh no more than this.
MAX_REASSURANCE = 4.0


@dataclass(frozen=True, slots=True)
class OfferWeights:
    """Weights by id; a score of `high_risk` or `suspicious` and above has that verdict."""

    bias: float
    signs: Mapping[str, float]
    reassurances: Mapping[str, float]
    high_risk: float
    suspicious: float

    @classmethod
    def load(cls, path: Path = WEIGHTS_PATH) -> OfferWeights:
        """The weights in the YAML file `path`.

        Raises:
            SignsError: the file is missing or damaged.
        """
        return _load(path)

    @classmethod
    def prior(cls, signs: SignList) -> OfferWeights:
        """The weights before any training: by class alone."""
        return cls(
            bias=PRIOR_BIAS,
            signs={sign.sign_id: PRIOR_WEIGHT[sign.strength] for sign in signs.signs},
            reassurances={r.reassurance_id: PRIOR_REASSURANCE for r in signs.reassurances},
            high_risk=0.8,
            suspicious=0.3,
        )

    def score(self, signs: SignList, found: Collection[str], reassuring: Collection[str]) -> float:
        """The chance (0..1) that an advertisement with these signs is false, where half of all are."""
        risk = sum(
            self.signs.get(sign.sign_id, PRIOR_WEIGHT[sign.strength]) for sign in signs.signs if sign.sign_id in found
        )
        calm = sum(self.reassurances.get(key, PRIOR_REASSURANCE) for key in sorted(reassuring))
        return sigmoid(self.bias + risk + max(calm, -MAX_REASSURANCE))


def sigmoid(x: float) -> float:
    """The logistic function, for any finite x."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@lru_cache(maxsize=4)
def _load(path: Path) -> OfferWeights:
    remedy = "run `python -m bot.train_offer`"
    try:
        data: Any = load_yaml(path.read_text("utf-8"))
        return OfferWeights(
            bias=float(data["bias"]),
            signs={str(k): float(v) for k, v in data["signs"].items()},
            reassurances={str(k): float(v) for k, v in data["reassurances"].items()},
            high_risk=float(data["verdicts"]["high_risk"]),
            suspicious=float(data["verdicts"]["suspicious"]),
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SignsError(f"the weights '{path}' cannot be read; {remedy}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SignsError(f"the weights '{path}' are not as they should be ({error!r}); {remedy}") from error
