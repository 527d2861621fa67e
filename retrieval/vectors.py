"""Vectors as the rest takes them: rows of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_unit_rows(embeddings: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to unit length, as float32.

    A row without a direction (zero, or not finite) becomes the first axis, so that unit length holds for all.
    """
    rows = np.array(embeddings, np.float32)
    lengths = np.linalg.norm(rows, axis=1)
    lost = ~(np.isfinite(lengths) & (lengths > 1e-12))
    if lost.any():
        rows[lost] = 0.0
        rows[lost, 0] = 1.0
        lengths[lost] = 1.0
    rows /= lengths[:, None]
    return rows
