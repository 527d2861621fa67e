"""To what length a question is padded before a graph reads it."""

from __future__ import annotations

SHORT_TOKENS = 24
"""Four questions in five are no longer, a third of those in other languages than Chinese and English. The graph for just this
length needs 3.7 ms where the one for any length needs 4.5 (two cores)."""
_LENGTHS = (SHORT_TOKENS, 32, 64)
"""Another length than the last one costs 1.5 ms before anything is computed, the padding less than that."""


def padded_length(n: int) -> int:
    """The length for a question of `n` tokens: the next of a few, or `n` itself beyond them."""
    return next((length for length in _LENGTHS if n <= length), n)
