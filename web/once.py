"""An embedder that computes the vector of one question once, though several parts of an answer ask for it."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval import Embedder


class OnceEmbedder:
    """Passes everything on to `embedder`, and remembers the last question's vector of each thread.

    It remembers a digest in place of the words: nothing that a person typed stays in memory for it.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._last = threading.local()

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """(dim,) vector of a question."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if getattr(self._last, "key", None) != key:
            self._last.vector = self._embedder.embed_query(text)
            self._last.key = key
        vector: NDArray[np.float32] = self._last.vector
        return vector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)
