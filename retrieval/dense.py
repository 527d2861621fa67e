"""Exact search over unit vectors. Only this file imports faiss."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexDamagedError


class VectorIndex(Protocol):
    """The seam for other stores of vectors: rows keep the order in which they were added."""

    n_rows: int

    def top(self, query: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows and cosines of the `k` rows nearest to the unit vector `query` (dim,), best first."""
        ...

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors of `rows`: (len(rows), dim) float32."""
        ...


class DenseIndex:
    """FAISS inner product over unit vectors: on those it equals the cosine, and the flat index is exact."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index
        self.n_rows: int = index.ntotal
        self.dim: int = index.d

    @classmethod
    def build(cls, embeddings: NDArray[np.float32]) -> DenseIndex:
        """The index of embeddings: (n, dim) float32, rows of unit length."""
        index = faiss.IndexFlatIP(embeddings.shape[1])
        index.add(np.ascontiguousarray(embeddings, dtype=np.float32))
        return cls(index)

    def save(self, path: Path) -> None:
        """Writes the index to the file `path`."""
        faiss.write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path) -> DenseIndex:
        """The index in the file `path`.

        Raises:
            IndexDamagedError: the file is no index of this kind.
        """
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IndexDamagedError(f"'{path.name}' is no vector index; run `guitu index build`", path=path) from error
        return cls(index)

    def top(self, query: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows and cosines of the `k` rows nearest to the unit vector `query` (dim,), best first."""
        k = min(k, self.n_rows)
        if k <= 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        cosines, rows = self._index.search(query.reshape(1, -1), k)
        return rows[0], cosines[0]

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors of `rows`: (len(rows), dim) float32."""
        if len(rows) == 0:
            return np.zeros((0, self.dim), dtype=np.float32)
        found: NDArray[np.float32] = self._index.reconstruct_batch(np.ascontiguousarray(rows, dtype=np.int64))
        return found
