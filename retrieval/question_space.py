"""The space in which questions are compared with questions.

The model was made to compare questions with passages: in its vectors, what a question is about outweighs what it asks.
A linear map of the vector and of the mean of the tokens, learned from the known questions alone (which of them the same
sentence answers, in other words and languages), tells better which question means the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.learned_file import Shapes, is_of_model, read_learned
from retrieval.types import Reading

SPACE_FILE = Path(__file__).parent / "question_space.txt"

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class QuestionSpace:
    """`probe` (dim,): the vector of `PROBE_TEXT` by the model that it belongs to; `mean` (dim + width,): of the features
    of questions; `projection` (d, dim + width); `digest`: SHA-256 (hex) of the file."""

    probe: Array
    mean: Array
    projection: Array
    digest: str

    @property
    def n_directions(self) -> int:
        """Length of a point."""
        return len(self.projection)

    @classmethod
    def load(cls, path: Path = SPACE_FILE) -> QuestionSpace:
        """The space in the file `path`: a line with dim, width and d, then whole numbers.

        Raises:
            LearnedFileError: the file cannot be read.
        """
        (probe, mean, projection), digest = read_learned(
            path, _shapes, what="question space", command="python -m retrieval.train_question_space var"
        )
        return cls(probe, mean, projection, digest)

    def fits(self, reading: Reading) -> bool:
        """Whether the space was learned with the model that made `reading` of `PROBE_TEXT`."""
        return is_of_model(reading, self.probe, len(self.mean) - len(self.probe))

    def points(self, features: Array) -> Array:
        """(n, d) for the features of n questions (see `features_of`), not yet of unit length."""
        return np.asarray((features - self.mean) @ self.projection.T, dtype=np.float32)


def features_of(vectors: Array, token_means: Array) -> Array:
    """(n, dim + width): vectors (n, dim) beside the means of the tokens (n, width)."""
    return np.concatenate([vectors, token_means], axis=1)


def _shapes(dim: int, width: int, d: int) -> Shapes:
    return (dim,), (dim + width,), (d, dim + width)
