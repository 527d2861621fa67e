"""A small network that reads the tokens of a question: some details of it, and the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Network:
    """Attention over the tokens of a question: a few details, each looked for by a query, and the whole.

    Each token (width,) has a key and a value (h,); each of the q queries takes the values where keys are like it. These
    and the whole, made from the mean of the tokens, are what the n heads weigh.
    """

    keys: Array
    key_bias: Array
    queries: Array
    values: Array
    value_bias: Array
    whole: Array
    whole_bias: Array
    heads: Array
    head_bias: Array

    @staticmethod
    def shapes(width: int, h: int, q: int, n: int) -> tuple[tuple[int, ...], ...]:
        """The shapes of the arrays, in the order of the fields."""
        return (h, width), (h,), (q, h), (h, width), (h,), (h, width), (h,), (n, (q + 1) * h), (n,)

    @classmethod
    def several(cls, arrays: Sequence[Array]) -> list[Network]:
        """The networks whose `arrays` these are, one after the other."""
        n_arrays = len(cls.__slots__)
        return [cls(*arrays[n : n + n_arrays]) for n in range(0, len(arrays), n_arrays)]

    @property
    def arrays(self) -> list[Array]:
        """Its arrays, in the order of the fields."""
        return [getattr(self, name) for name in self.__slots__]

    @property
    def width(self) -> int:
        """Length of a token."""
        return int(self.keys.shape[1])

    def scores(self, tokens: Array) -> Array:
        """(n,) float32, one for each head, for the tokens of one question (t, width) with t > 0."""
        likeness = np.tanh(tokens @ self.keys.T + self.key_bias) @ self.queries.T
        shares = np.exp(likeness - likeness.max(axis=0))
        shares /= shares.sum(axis=0)
        details = shares.T @ np.maximum(tokens @ self.values.T + self.value_bias, 0)
        whole = np.maximum(self.whole @ tokens.mean(axis=0) + self.whole_bias, 0)
        found: Array = self.heads @ np.concatenate([details.ravel(), whole]) + self.head_bias
        return found
