"""Files of learned numbers: text that can be read and compared, whole numbers in ten-thousandths, a line a row.

Each begins with the vector that the model it was learned with gives of a probe text: with another model it is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import LearnedFileError
from retrieval.types import Reading

FIXED_POINT = 10_000.0
PROBE_TEXT = "Where can I find help?"
# How closely the vector of the probe must match for learned numbers to belong to a model (cosine).
MIN_LIKENESS = 0.98

Shapes = Sequence[tuple[int, ...]]


def read_learned(
    path: Path, shapes: Callable[..., Shapes], *, what: str, command: str
) -> tuple[list[NDArray[np.float32]], str]:
    """The arrays in the file `path` and its SHA-256 (hex): a line of sizes, then what `number_lines` wrote.

    Args:
        shapes: the shapes of the arrays for the sizes in the first line.
        what, command: what the file holds and what writes it, for the message.
    Raises:
        LearnedFileError: the file cannot be read.
    """
    try:
        text = path.read_text("utf-8")
        sizes, _, numbers = text.partition("\n")
        arrays = read_blocks(numbers, shapes(*(int(size) for size in sizes.split())))
    except (OSError, ValueError, TypeError) as error:
        raise LearnedFileError(f"'{path}' is no {what}; restore it, or delete it and run `{command}`") from error
    return arrays, hashlib.sha256(text.encode()).hexdigest()


def is_of_model(reading: Reading, probe: NDArray[np.float32], width: int) -> bool:
    """Whether numbers learned for tokens of `width` belong to the model that made `reading` of the probe text.

    `probe` (dim,) is the vector by the model that they were learned with.
    """
    if reading.tokens is None or reading.tokens.shape[1] != width or reading.vector.shape != probe.shape:
        return False
    return float(reading.vector @ probe) >= MIN_LIKENESS


def number_lines(blocks: Sequence[NDArray[Any]]) -> str:
    """The lines of `blocks`, arrays of one or two dimensions, one after the other."""
    rows = [row for block in blocks for row in np.atleast_2d(np.round(block * FIXED_POINT).astype(np.int64)).tolist()]
    return "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


def read_blocks(numbers: str, shapes: Shapes) -> list[NDArray[np.float32]]:
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
