"""BM25 over the terms of passages. Only this file imports bm25s."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from numpy.typing import NDArray

# It sets itself to say every step, whatever the program has chosen.
logging.getLogger("bm25s").setLevel(logging.WARNING)

K1 = 1.2
B = 0.75


def idf(df: int, n_passages: int) -> float:
    """Weight of a term that occurs in `df` of `n_passages` passages.

    Source: the variant of Lucene, as in bm25s `scoring.py` (Kamphuis et al., ECIR 2020, table 1).
    """
    return math.log(1 + (n_passages - df + 0.5) / (df + 0.5))


class LexicalIndex:
    """Scores of every passage for the terms of a query; passages are rows, in the order they were given."""

    def __init__(self, bm25: Any, document_frequencies: dict[str, int], n_passages: int) -> None:
        self._bm25 = bm25
        self._df = document_frequencies
        self.n_passages = n_passages

    @classmethod
    def build(cls, passage_terms: Sequence[Sequence[str]]) -> LexicalIndex:
        """The index of passages given as their terms, in row order."""
        df = Counter(term for terms in passage_terms for term in set(terms))
        bm25 = bm25s.BM25(method="lucene", k1=K1, b=B)
        if df:
            bm25.index([list(terms) for terms in passage_terms], show_progress=False)
        return cls(bm25, dict(df), len(passage_terms))

    def save(self, folder: Path) -> None:
        """Writes the index into `folder`, which is created."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._df:
            self._bm25.save(str(folder))
        rows = "".join(f"{df}\t{term}\n" for term, df in sorted(self._df.items()))
        (folder / "df.tsv").write_text(f"{self.n_passages}\n{rows}", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """The index written by `save`."""
        n_passages, *rows = (folder / "df.tsv").read_text("utf-8").rstrip("\n").split("\n")
        df = {term: int(count) for count, _, term in (row.partition("\t") for row in rows)}
        bm25 = bm25s.BM25.load(str(folder), load_corpus=False) if df else bm25s.BM25()
        return cls(bm25, df, int(n_passages))

    def idf(self, term: str) -> float:
        """Weight of `term` in this index; a term that no passage has weighs most."""
        return idf(self._df.get(term, 0), self.n_passages)

    def knows(self, term: str) -> bool:
        """Whether any passage has `term`."""
        return term in self._df

    def scores(self, query_terms: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of each passage as a share of the most that the query could reach.

        Returns:
            (n_passages,) float32 in 0..1. Terms that no passage has count in the whole, so the scores of a query in
            another language stay near 0: a stray number in it is no evidence.
        """
        distinct = list(dict.fromkeys(query_terms))
        most = sum(self.idf(term) for term in distinct) * (K1 + 1)
        known = [term for term in distinct if term in self._df]
        if not known or most <= 0:
            return np.zeros(self.n_passages, dtype=np.float32)
        raw: NDArray[np.float32] = self._bm25.get_scores(known)
        # bm25s drops the constant factor k1 + 1 of the numerator as Lucene does.
        return (raw * (K1 + 1) / most).astype(np.float32)


class TermTable:
    """Which rows hold which terms; rows are sentences, in the order they were given."""

    def __init__(self, rows_of: dict[str, NDArray[np.int32]], n_rows: int) -> None:
        self._rows_of = rows_of
        self.n_rows = n_rows

    @classmethod
    def build(cls, row_terms: Sequence[Sequence[str]]) -> TermTable:
        """The table of rows given as their terms."""
        rows_of: dict[str, list[int]] = {}
        for row, terms in enumerate(row_terms):
            for term in set(terms):
                rows_of.setdefault(term, []).append(row)
        return cls({term: np.array(rows, dtype=np.int32) for term, rows in rows_of.items()}, len(row_terms))

    def save(self, path: Path) -> None:
        """Writes the table to the file `path` (.npz)."""
        terms = sorted(self._rows_of)
        lengths = np.array([len(self._rows_of[term]) for term in terms], dtype=np.int32)
        rows = np.concatenate([self._rows_of[term] for term in terms]) if terms else np.zeros(0, dtype=np.int32)
        text = np.frombuffer("\n".join(terms).encode(), dtype=np.uint8)
        np.savez(path, terms=text, lengths=lengths, rows=rows, n_rows=np.array(self.n_rows))

    @classmethod
    def load(cls, path: Path) -> TermTable:
        """The table written by `save`."""
        with np.load(path) as stored:
            terms = stored["terms"].tobytes().decode().split("\n")
            parts = np.split(stored["rows"], np.cumsum(stored["lengths"])[:-1])
            n_rows = int(stored["n_rows"])
        return cls(dict(zip(terms, parts, strict=True)) if terms != [""] else {}, n_rows)

    @property
    def terms(self) -> Collection[str]:
        """Every term that a row holds."""
        return self._rows_of.keys()

    def holding(self, term: str) -> NDArray[np.bool_]:
        """Which rows hold `term`: (n_rows,)."""
        held = np.zeros(self.n_rows, dtype=bool)
        held[self._rows_of.get(term, [])] = True
        return held

    def shares(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """For each row, the share of the whole weight that its terms carry: (n_rows,) float32 in 0..1."""
        shares = np.zeros(self.n_rows, dtype=np.float32)
        total = sum(weights.values())
        if total > 0:
            for term, weight in weights.items():
                rows = self._rows_of.get(term)
                if rows is not None:
                    shares[rows] += weight / total
        return shares
