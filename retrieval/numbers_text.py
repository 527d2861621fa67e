"""Learned numbers as text that can be read and compared: whole numbers, in ten-thousandths, a line a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIXED_POINT = 10_000.0


def number_lines(blocks: Sequence[NDArray[Any]]) -> str:
    """The lines of `blocks`, arrays of one or two dimensions, one after the other."""
    rows = [row for block in blocks for row in np.atleast_2d(np.round(block * FIXED_POINT).astype(np.int64)).tolist()]
    return "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


def read_blocks(numbers: str, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float32]]:
    """The arrays of `shapes` that `number_lines` wrote.

    Raises:
        ValueError: there are more numbers or fewer, or something that is none.
    """
    # Parsing a hundred thousand numbers as YAML would take half a second; numpy takes 15 ms.
    flat = np.fromstring(numbers, dtype=np.float32, sep=" ") / np.float32(FIXED_POINT)
    sizes = [int(np.prod(shape)) for shape in shapes]
    if len(flat) != sum(sizes):
        raise ValueError(f"{len(flat)} numbers, {sum(sizes)} expected")
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
