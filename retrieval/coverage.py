"""Whether our own articles tell what a question asks for, judged by the question alone.

The search finds what is near to a question, and something always is: that the very thing asked for stands nowhere, it
cannot see. Small networks learned that from questions which an article answers, near misses, and questions beside our subject.
They know our own articles as these were when `python -m bot.train_coverage` was run; of others they say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.learned_file import Shapes, is_of_model, read_learned
from retrieval.network import Network
from retrieval.types import Reading

COVERAGE_FILE = Path(__file__).parent / "coverage.txt"

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Coverage:
    """`probe` (dim,): the vector of `PROBE_TEXT` by the model that it belongs to; `networks`: of one head each."""

    probe: Array
    networks: Sequence[Network]

    @classmethod
    def load(cls, path: Path = COVERAGE_FILE) -> Coverage:
        """What was learned, from the file `path`: a line of sizes, then whole numbers.

        Raises:
            LearnedFileError: the file cannot be read.
        """
        (probe, *arrays), _ = read_learned(path, _shapes, what="coverage", command="python -m bot.train_coverage var")
        n_arrays = len(Network.__slots__)
        return cls(probe, [Network(*arrays[n : n + n_arrays]) for n in range(0, len(arrays), n_arrays)])

    def fits(self, reading: Reading) -> bool:
        """Whether it was learned with the model that made `reading` of `PROBE_TEXT`."""
        return is_of_model(reading, self.probe, self.networks[0].keys.shape[1])

    def log_odds(self, tokens: Array) -> float:
        """How sure it is that our own articles tell it (natural log of the odds), for a question's tokens (t, width), t > 0."""
        return float(np.mean([network.scores(tokens)[0] for network in self.networks]))


def _shapes(dim: int, width: int, h: int, q: int, n_networks: int) -> Shapes:
    return (dim,), *(n_networks * Network.shapes(width, h, q, 1))
