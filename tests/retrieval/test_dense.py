"""Dense search against numpy."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.dense import DenseIndex
from retrieval.errors import IndexDamagedError


@pytest.fixture
def embeddings() -> NDArray[np.float32]:
    rows = np.random.default_rng(7).normal(size=(200, 32)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_equals_the_dot_product(embeddings: NDArray[np.float32]) -> None:
    index = DenseIndex.build(embeddings)
    for query in embeddings[:20] + np.float32(0.01):
        np.testing.assert_allclose(index.cosines(query), embeddings @ query, atol=1e-6)


def test_stored_vectors_come_back(embeddings: NDArray[np.float32]) -> None:
    index = DenseIndex.build(embeddings)
    wanted = np.array([5, 0, 5, 199], dtype=np.int64)
    assert np.array_equal(index.vectors(wanted), embeddings[wanted])
    assert index.vectors(np.zeros(0, dtype=np.int64)).shape == (0, 32)


def test_an_empty_index() -> None:
    index = DenseIndex.build(np.zeros((0, 8), dtype=np.float32))
    assert index.n_rows == 0
    assert index.cosines(np.ones(8, dtype=np.float32)).tolist() == []


def test_saved_and_loaded(embeddings: NDArray[np.float32], tmp_path: Path) -> None:
    DenseIndex.build(embeddings).save(tmp_path / "a.faiss")
    loaded = DenseIndex.load(tmp_path / "a.faiss")
    assert (loaded.n_rows, loaded.dim) == (200, 32)
    assert np.array_equal(loaded.vectors(np.arange(200)), embeddings)
    np.testing.assert_allclose(loaded.cosines(embeddings[3]), embeddings @ embeddings[3], atol=1e-6)


@pytest.mark.parametrize("data", [b"", b"no index", b"IxFI" + b"\xff" * 40])
def test_a_damaged_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.faiss"
    path.write_bytes(data)
    with pytest.raises(IndexDamagedError, match="guitu index build") as caught:
        DenseIndex.load(path)
    assert caught.value.path == path


def test_an_index_of_another_kind(embeddings: NDArray[np.float32], tmp_path: Path) -> None:
    """One that is not exact cannot give every cosine."""
    path = tmp_path / "a.faiss"
    index = faiss.IndexHNSWFlat(32, 8)
    index.add(embeddings)
    faiss.write_index(index, str(path))
    with pytest.raises(IndexDamagedError, match="guitu index build"):
        DenseIndex.load(path)
