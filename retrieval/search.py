"""The one module that joins the rest: a query goes in, ranked passages come out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retrieval.analyze import terms
from retrieval.embed import Embedder
from retrieval.fusion import first_scores, fused_scores, language_habits, ranked_rows, spread
from retrieval.language import detect_language
from retrieval.lexicon import Lexicon, is_place_term
from retrieval.store import Index
from retrieval.types import Hit, Query, ScoredSentence

_YEAR = re.compile(r"(19|20)\d\d")
# Passages whose sentences are looked at; beyond, a passage never came first on the development sets.
N_CANDIDATES = 150
# Added to the score of passages in the reader's own language, in standard deviations of the cosine. Enough to put the
# reader's language first among passages that say the same, too little to lift one that says something else.
LANGUAGE_BONUS = 0.5


@dataclass(frozen=True, slots=True)
class _Signals:
    """What one query says of every passage and sentence: arrays in row order."""

    raw_cosines: NDArray[np.float32]
    habits: NDArray[np.float32]
    lexical: NDArray[np.float32]
    overlaps: NDArray[np.float32]

    @property
    def cosines(self) -> NDArray[np.float32]:
        """The cosines without what they owe to the language alone."""
        return self.raw_cosines - self.habits


class Searcher:
    """Searches one index with one model and one lexicon."""

    def __init__(self, index: Index, embedder: Embedder, lexicon: Lexicon) -> None:
        self.index = index
        self._embedder = embedder
        self._lexicon = lexicon

    @cached_property
    def _passage_ids(self) -> list[str]:
        return [passage.passage_id for passage in self.index.passages]

    @cached_property
    def _languages(self) -> NDArray[np.str_]:
        return np.array([self.index.articles[p.article_id].language for p in self.index.passages], dtype=np.str_)

    @cached_property
    def _language_rows(self) -> list[NDArray[np.int64]]:
        return [np.flatnonzero(self._languages == language) for language in np.unique(self._languages)]

    @cached_property
    def _sentence_rows(self) -> list[range]:
        """Rows of the sentences of each passage; they stand together, in the order of the passages."""
        bounds = np.searchsorted(
            [row.passage_row for row in self.index.sentences], np.arange(len(self.index.passages) + 1)
        )
        return [range(int(a), int(b)) for a, b in itertools.pairwise(bounds)]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {passage_id: row for row, passage_id in enumerate(self._passage_ids)}

    def query(self, text: str, *, language: str | None = None) -> Query:
        """`text` made ready; its language is detected where none is given."""
        return Query(
            text=text,
            language=language or detect_language(text),
            terms=tuple(dict.fromkeys((*terms(text), *self._lexicon.entity_terms(text)))),
            vector=self._embedder.embed_query(text),
        )

    def search(self, query: Query | str, k: int = 10, *, without: frozenset[str] = frozenset()) -> list[Hit]:
        """The `k` best passages, best first; ties by passage id.

        Args:
            without: ids of articles that must not appear.
        """
        if isinstance(query, str):
            query = self.query(query)
        signals = self._signals(query)
        first = first_scores(signals.cosines, signals.lexical) + self._language_bonus(query)
        if without:
            hidden = np.array([p.article_id in without for p in self.index.passages], dtype=bool)
            first = np.where(hidden, np.float32(-np.inf), first)
        candidates = ranked_rows(first, self._passage_ids, max(k, N_CANDIDATES))
        scores = self._scores(query, signals, candidates)
        order = ranked_rows(scores, [self._passage_ids[row] for row in candidates], k)
        hits: list[Hit] = []
        for position in order:
            row = candidates[position]
            passage = self.index.passages[row]
            hits.append(
                Hit(
                    passage=passage,
                    article=self.index.articles[passage.article_id],
                    rank=len(hits) + 1,
                    score=float(scores[position]),
                    cosine=float(signals.raw_cosines[row]),
                    lexical=float(signals.lexical[row]),
                    n_reprints=self.index.n_reprints.get(passage.article_id, 0),
                )
            )
        return hits

    def sentences(self, query: Query, hits: Sequence[Hit]) -> list[ScoredSentence]:
        """Every sentence of `hits` with its own evidence, in the order of the hits and of reading."""
        overlaps = self._overlaps(query)
        weights = {term: self.index.lexical.idf(term) for term in query.terms}
        contexts = self.index.passage_terms.shares(weights)
        names = {term: 1.0 for term in query.terms if is_place_term(term) or _YEAR.fullmatch(term)}
        named = self.index.passage_terms.shares(names) if names else np.ones(len(self.index.passages), np.float32)
        scored = []
        for hit in hits:
            passage_row = self._row_of[hit.passage.passage_id]
            rows = self._sentence_rows[passage_row]
            vectors = self.index.sentence_vectors.vectors(np.array(rows, dtype=np.int64))
            for row, cosine in zip(rows, vectors @ query.vector, strict=True):
                sentence = self.index.sentences[row].sentence
                text = hit.article.text[sentence.start : sentence.end]
                scored.append(
                    ScoredSentence(
                        hit=hit,
                        sentence=sentence,
                        text=text,
                        cosine=float(cosine),
                        overlap=float(overlaps[row]),
                        context_overlap=float(contexts[passage_row]),
                        names_overlap=float(named[passage_row]),
                    )
                )
        return scored

    def _signals(self, query: Query) -> _Signals:
        n = len(self.index.passages)
        rows, found = self.index.passage_vectors.top(query.vector, n)
        cosines = np.zeros(n, dtype=np.float32)
        cosines[rows] = found
        return _Signals(
            raw_cosines=cosines,
            habits=language_habits(cosines, self._language_rows),
            lexical=self.index.lexical.scores(query.terms),
            overlaps=self._overlaps(query),
        )

    def _overlaps(self, query: Query) -> NDArray[np.float32]:
        return self.index.sentence_terms.shares({term: self.index.lexical.idf(term) for term in query.terms})

    def _language_bonus(self, query: Query) -> NDArray[np.float32]:
        if query.language is None:
            return np.zeros(len(self.index.passages), dtype=np.float32)
        return np.where(self._languages == query.language, np.float32(LANGUAGE_BONUS), np.float32(0))

    def _scores(self, query: Query, signals: _Signals, candidates: Sequence[int]) -> NDArray[np.float32]:
        if not candidates:
            return np.zeros(0, dtype=np.float32)
        sentence_rows = np.concatenate([np.array(self._sentence_rows[row], dtype=np.int64) for row in candidates])
        sentence_cosines = self.index.sentence_vectors.vectors(sentence_rows) @ query.vector
        best_cosines = np.full(len(candidates), -1.0, dtype=np.float32)
        best_overlaps = np.zeros(len(candidates), dtype=np.float32)
        at = 0
        for position, row in enumerate(candidates):
            n = len(self._sentence_rows[row])
            if n:
                best_cosines[position] = sentence_cosines[at : at + n].max()
                best_overlaps[position] = signals.overlaps[sentence_rows[at : at + n]].max()
            at += n
        chosen = np.array(candidates, dtype=np.int64)
        cosines = signals.cosines
        scores = fused_scores(
            cosines[chosen],
            signals.lexical[chosen],
            best_cosines - signals.habits[chosen],
            best_overlaps,
            mean=float(cosines.mean()),
            spread=spread(cosines),
        )
        return scores + self._language_bonus(query)[chosen]
