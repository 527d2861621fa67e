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

    def cosines(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of every row with the unit vector `query` (dim,): (n_rows,) float32."""
        ...

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors of `rows`: (len(rows), dim) float32."""
        ...


class DenseIndex:
    """FAISS inner product over unit vectors: on those it equals the cosine, and the flat index is exact."""

    def __init__(self, index: faiss.IndexFlatIP) -> None:
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
        if not isinstance(index, faiss.IndexFlatIP):
            raise IndexDamagedError(f"'{path.name}' is no exact vector index; run `guitu index build`", path=path)
        return cls(index)

    def cosines(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of every row with the unit vector `query` (dim,): (n_rows,) float32."""
        # A search for all rows would sort them, at four times the cost.
        found: NDArray[np.float32] = self._matrix @ query.astype(np.float32, copy=False)
        return found

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors of `rows`: (len(rows), dim) float32."""
        # `reconstruct_batch` calls further threads up for it: with several questions at once 7,800 rows and their product
        # with a vector cost 0.55 ms of processor time, and so 0.39.
        return np.take(self._matrix, rows, axis=0)

    @property
    def _matrix(self) -> NDArray[np.float32]:
        """(n_rows, dim), the memory of the flat index itself, not a copy."""
        matrix: NDArray[np.float32] = faiss.rev_swig_ptr(self._index.get_xb(), self.n_rows * self.dim)
        return matrix.reshape(self.n_rows, self.dim)
