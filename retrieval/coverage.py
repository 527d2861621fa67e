"""Whether our own articles tell what a question asks for, judged by the question alone.

The search finds what is near to a question, and something always is: that the very thing asked for stands nowhere, it
cannot see. Small networks learned that from questions which an article answers, near misses, and questions beside our subject.
They know the sentences of our own articles that some of these asked for when `python -m bot.train_coverage` was run. Whether
anything else answers, an article of an operator or what was added to one of ours, they cannot know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import LearnedFileError
from retrieval.learned_file import Shapes, is_of_model, read_learned
from retrieval.network import Network
from retrieval.types import Reading

COVERAGE_FILE = Path(__file__).parent / "coverage.txt"
SENTENCES_FILE = Path(__file__).parent / "coverage_sentences.txt"
_COMMAND = "python -m bot.train_coverage var"

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Coverage:
    """`probe` (dim,): the vector of `PROBE_TEXT` by the model that it belongs to; `networks`: of one head each; `sentences`:
    digests of those that were asked for."""

    probe: Array
    networks: Sequence[Network]
    sentences: frozenset[str]

    @classmethod
    def load(cls, path: Path = COVERAGE_FILE, sentences_path: Path = SENTENCES_FILE) -> Coverage:
        """What was learned, from the file `path`: a line of sizes, then whole numbers; and what `sentence_lines` wrote.

        Raises:
            LearnedFileError: a file cannot be read.
        """
        (probe, *arrays), _ = read_learned(path, _shapes, what="coverage", command=_COMMAND)
        try:
            sentences = frozenset(sentences_path.read_text("ascii").split())
        except (OSError, ValueError) as error:
            raise LearnedFileError(
                f"'{sentences_path}' cannot be read; restore it, or delete it and '{path.name}' and run `{_COMMAND}`"
            ) from error
        return cls(probe, Network.several(arrays), sentences)

    def fits(self, reading: Reading) -> bool:
        """Whether it was learned with the model that made `reading` of `PROBE_TEXT`."""
        return is_of_model(reading, self.probe, self.networks[0].width)

    def knows(self, sentence: str) -> bool:
        """Whether this sentence was among those asked for."""
        return _digest(sentence) in self.sentences

    def log_odds(self, tokens: Array) -> float:
        """How sure it is that our own articles tell it (natural log of the odds), for a question's tokens (t, width), t > 0."""
        return float(np.mean([network.scores(tokens)[0] for network in self.networks]))


def sentence_lines(sentences: Iterable[str]) -> str:
    """The digests of sentences, a line each."""
    return "".join(f"{digest}\n" for digest in sorted({_digest(sentence) for sentence in sentences}))


def _digest(sentence: str) -> str:
    return hashlib.sha256(sentence.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shapes(dim: int, width: int, h: int, q: int, n_networks: int) -> Shapes:
    return (dim,), *(n_networks * Network.shapes(width, h, q, 1))
