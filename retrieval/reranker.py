"""How well a sentence answers a question, read token by token: late interaction, and what it leaves open.

Each token of the question is held against those of the sentence. How near the nearest ones are says what the two have
in common; two small layers over each token and what it found, the second with what the others found in view, say which of
them the sentence leaves unanswered. Learned by
`python -m bot.train_reranker`. The tokens of sentences are stored with the index, as keys of a byte a number.
Late interaction: Khattab and Zaharia, ColBERT, SIGIR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexDamagedError
from retrieval.learned_file import Shapes, is_of_model, read_learned
from retrieval.types import Reading
from retrieval.vectors import to_unit_rows

RERANKER_FILE = Path(__file__).parent / "reranker.txt"
# The last tokens of a question are read, as a long one comes to its point at the end, and the first ones of a sentence.
MAX_QUESTION_TOKENS = 64
MAX_SENTENCE_TOKENS = 160
# Sentences that are looked at closely: those that have most in common with the question.
N_CLOSE = 12
# Log odds beyond this say no more.
LOG_ODDS_RANGE = 12.0
# A key is a unit vector times this, in whole numbers.
KEY_SCALE = 127.0

Array = NDArray[np.float32]
Keys = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Reranker:
    """The learned layers, for tokens (width,), keys (d,) and h details.

    Attributes:
        probe: (dim,) vector of `learned_file.PROBE_TEXT` by the model that it belongs to.
        ask, ask_bias, say, say_bias: (d, width) and (d,), make a key of a token of a question, of a sentence.
        weight: (width,), how much a token of a question counts.
        of_asked, of_found, of_both: (h, d), `of_nearest`, `of_bias`: (h,), make the details of a token, of what it
            found in the sentence, of both and of how near the nearest token is.
        mix, mix_context: (h, h), `mix_bias`: (h,), what is added to the details of a token for these and for those of all.
        importance, verdict: (h,), what the details say of the token's weight and of the answer.
        scales: (3,): of the nearness, of how sharply a token looks, and what is added.
        digest: SHA-256 (hex) of the file.
    """

    probe: Array
    ask: Array
    ask_bias: Array
    say: Array
    say_bias: Array
    weight: Array
    of_asked: Array
    of_found: Array
    of_both: Array
    of_nearest: Array
    of_bias: Array
    mix: Array
    mix_bias: Array
    mix_context: Array
    importance: Array
    verdict: Array
    scales: Array
    digest: str = field(kw_only=True)

    @staticmethod
    def shapes(dim: int, width: int, d: int, h: int) -> Shapes:
        """The shapes of the arrays, in the order of the attributes."""
        layer = ((d, width), (d,))
        return (dim,), *layer, *layer, (width,), *((h, d),) * 3, (h,), (h,), (h, h), (h,), (h, h), (h,), (h,), (3,)

    @classmethod
    def load(cls, path: Path = RERANKER_FILE) -> Reranker:
        """The reranker in the file `path`: a line with dim, width, d and h, then whole numbers.

        Raises:
            LearnedFileError: the file cannot be read.
        """
        arrays, digest = read_learned(path, cls.shapes, what="reranker", command="python -m bot.train_reranker var")
        return cls(*arrays, digest=digest)

    def fits(self, reading: Reading) -> bool:
        """Whether it was learned with the model that made `reading` of `learned_file.PROBE_TEXT`."""
        return is_of_model(reading, self.probe, len(self.weight))

    def keys(self, tokens: Array) -> Keys:
        """(m, d) for the tokens (n, width) of a sentence, m being n or `MAX_SENTENCE_TOKENS`."""
        found = to_unit_rows(tokens[:MAX_SENTENCE_TOKENS] @ self.say.T + self.say_bias)
        return np.round(found * KEY_SCALE).astype(np.int8)

    def scores(self, tokens: Array, keys: Sequence[Keys]) -> Array:
        """(s,) for the tokens (n, width) of a question and the keys of s sentences: the log odds that each answers.

        The odds are those among sentences much like the right one, not those of any question to be answered. All but
        the `N_CLOSE` that have most in common with the question get at most the lowest score of those.
        """
        if not keys or not len(tokens):
            return np.zeros(len(keys), dtype=np.float32)
        tokens = tokens[-MAX_QUESTION_TOKENS:]
        asked = to_unit_rows(tokens @ self.ask.T + self.ask_bias)
        weight = tokens @ self.weight
        shares = _softmax(weight, axis=0)
        scale, _, added = self.scales
        starts = np.cumsum([0, *map(len, keys[:-1])])
        likeness = asked @ (np.concatenate(keys).astype(np.float32) / np.float32(KEY_SCALE)).T
        # (n, s): how near the nearest token of each sentence is.
        nearest = np.maximum.reduceat(likeness, starts, axis=1)
        scores: Array = scale * (shares @ nearest) + added
        close = np.argsort(-scores, kind="stable")[:N_CLOSE]
        found = self._found(likeness, starts[close], [keys[row] for row in close])
        details = found @ self.of_found.T + (found * asked) @ self.of_both.T + (asked @ self.of_asked.T + self.of_bias)
        details += nearest.T[close, :, None] * self.of_nearest
        np.maximum(details, 0, out=details)
        of_all = shares @ details
        details += np.maximum(details @ self.mix.T + (of_all @ self.mix_context.T + self.mix_bias)[:, None], 0)
        weights = _softmax(details @ self.importance + weight, axis=1)
        far = np.delete(np.arange(len(keys)), close)
        scores[close] += (weights[:, None] @ details)[:, 0] @ self.verdict
        # None of those that have less in common comes before them.
        scores[far] = np.minimum(scores[far], scores[close].min())
        return scores

    def findings(self, tokens: Array, keys: Keys) -> Array:
        """(m, 3d + 1), for each of the last m tokens of a question (n, width): its key, what it found in a sentence with
        `keys`, the product of both, and how near the nearest token is."""
        asked = to_unit_rows(tokens[-MAX_QUESTION_TOKENS:] @ self.ask.T + self.ask_bias)
        likeness = asked @ (keys.astype(np.float32) / np.float32(KEY_SCALE)).T
        found = self._found(likeness, np.zeros(1, np.int64), [keys])[0]
        return np.concatenate([asked, found, asked * found, likeness.max(axis=1, keepdims=True)], axis=1)

    def _found(self, likeness: Array, starts: NDArray[np.int64], keys: Sequence[Keys]) -> Array:
        """(k, n, d): what each token of the question finds in k sentences, whose keys begin at `starts` of `likeness`."""
        found = np.empty((len(keys), len(likeness), len(self.ask)), dtype=np.float32)
        for row, start, said in zip(found, starts.tolist(), keys, strict=True):
            # No likeness is above 1, and none so far below that its power would vanish.
            looks = np.exp(self.scales[1] * (likeness[:, start : start + len(said)] - 1))
            row[:] = looks @ said.astype(np.float32) / (np.float32(KEY_SCALE) * looks.sum(axis=1, keepdims=True))
        return found


class KeyTable:
    """The keys of all sentences of an index, one below the other; read from disk as they are needed."""

    def __init__(self, starts: NDArray[np.int64], keys: Keys) -> None:
        self._starts = starts
        self._keys = keys

    @classmethod
    def build(cls, keys: Sequence[Keys]) -> KeyTable:
        """The table of one array (m, d) a sentence; all of the same d."""
        starts = np.cumsum([0, *map(len, keys)], dtype=np.int64)
        return cls(starts, np.concatenate(keys) if keys else np.zeros((0, 0), dtype=np.int8))

    @property
    def n_rows(self) -> int:
        """How many sentences there are."""
        return len(self._starts) - 1

    def of(self, row: int) -> Keys:
        """(m, d), the keys of the sentence `row`."""
        return self._keys[self._starts[row] : self._starts[row + 1]]

    def save(self, path: Path) -> None:
        """Writes `<path>.npy` and `<path>-starts.npy`."""
        np.save(path.with_name(f"{path.name}.npy"), self._keys)
        np.save(path.with_name(f"{path.name}-starts.npy"), self._starts)

    @classmethod
    def load(cls, path: Path) -> KeyTable:
        """What `save` wrote.

        Raises:
            IndexDamagedError: the two do not fit together.
        """
        # Still read from disk as needed; a plain view of it is quicker to cut.
        keys = np.load(path.with_name(f"{path.name}.npy"), mmap_mode="r", allow_pickle=False).view(np.ndarray)
        starts = np.load(path.with_name(f"{path.name}-starts.npy"), allow_pickle=False)
        if keys.ndim != 2 or keys.dtype != np.int8 or starts.ndim != 1 or not len(starts) or starts[-1] != len(keys):
            raise IndexDamagedError(f"'{path.name}' does not fit together; run `guitu index build`", path=path)
        return cls(starts, keys)


def _softmax(values: Array, axis: int) -> Array:
    shares = np.exp(values - values.max(axis=axis, keepdims=True))
    softmax: Array = shares / shares.sum(axis=axis, keepdims=True)
    return softmax
