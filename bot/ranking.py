"""How well scores tell two kinds of case apart; for the evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def auroc(
    positives: Sequence[float] | NDArray[np.float64], negatives: Sequence[float] | NDArray[np.float64], *, empty: float
) -> float:
    """The chance (0..1) that a positive scores above a negative, ties counting half; `empty` where there is no pair."""
    if not len(positives) or not len(negatives):
        return empty
    above, below = np.asarray(positives)[:, None], np.asarray(negatives)[None, :]
    return float((above > below).mean() + (above == below).mean() / 2)
