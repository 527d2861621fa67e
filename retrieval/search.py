"""The one module that joins the rest: a query goes in, ranked passages come out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retrieval.analyze import terms
from retrieval.embed import Embedder
from retrieval.encoders import to_unit_rows
from retrieval.fusion import (
    ASKED_WEIGHT,
    first_scores,
    fused_scores,
    language_habits,
    ranked_rows,
    spread,
    standard_scores,
)
from retrieval.language import detect_language
from retrieval.lexicon import Lexicon, is_place_term
from retrieval.store import Index
from retrieval.types import Hit, Likeness, Query, ScoredSentence

_NUMBER = re.compile(r"[0-9]{3,}")
# Passages whose sentences are looked at; beyond, a passage never came first on the development sets.
N_CANDIDATES = 150
# Sentences with the nearest known questions, whose passages are looked at too.
N_ASKED = 60
# Taken off the cosine of known questions in another language than the query's: across languages nearness says less, and
# of many questions one is always near. Chosen on dev.
FOREIGN_PENALTY = 0.02
# Of fewer questions nobody can tell how near is near; they are then held against the sentences.
MIN_ASKED = 50
# Added to the score of passages in the reader's own language, in standard deviations of the cosine. Enough to put the
# reader's language first among passages that say the same, too little to lift one that says something else.
LANGUAGE_BONUS = 0.5


@dataclass(frozen=True, slots=True)
class _Asked:
    """How near the known questions of each sentence are to the query: arrays over the sentences.

    `scores` in standard deviations; where a sentence has no known question, its own nearness stands in. `cosines` and
    `rows` are those of its nearest known question, 0 and -1 where it has none.
    """

    scores: NDArray[np.float32]
    cosines: NDArray[np.float32]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Signals:
    """What one query says of every passage and sentence: arrays in row order.

    `said_cosines` tell how near each sentence is; `said` the same in standard deviations, without what its language
    adds.
    """

    raw_cosines: NDArray[np.float32]
    habits: NDArray[np.float32]
    lexical: NDArray[np.float32]
    overlaps: NDArray[np.float32]
    said_cosines: NDArray[np.float32]
    said: NDArray[np.float32]
    asked: _Asked | None

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
        self._terms_of_question: dict[int, frozenset[str]] = {}

    @cached_property
    def _passage_ids(self) -> list[str]:
        return [passage.passage_id for passage in self.index.passages]

    @cached_property
    def _languages(self) -> NDArray[np.str_]:
        return np.array([self.index.articles[p.article_id].language for p in self.index.passages], dtype=np.str_)

    @cached_property
    def _language_rows(self) -> list[NDArray[np.int64]]:
        return _rows_by_value(self._languages)

    @cached_property
    def _sentence_rows(self) -> list[range]:
        """Rows of the sentences of each passage; they stand together, in the order of the passages."""
        bounds = np.searchsorted(
            [row.passage_row for row in self.index.sentences], np.arange(len(self.index.passages) + 1)
        )
        return [range(int(a), int(b)) for a, b in itertools.pairwise(bounds)]

    @cached_property
    def _passage_of(self) -> NDArray[np.int64]:
        """The passage row of each sentence."""
        return np.array([row.passage_row for row in self.index.sentences], dtype=np.int64)

    @cached_property
    def _question_starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the known questions of a sentence begin, and that sentence; they stand together, in its order."""
        of_sentence = np.array([question.sentence_row for question in self.index.questions], dtype=np.int64)
        sentence_rows, starts = np.unique(of_sentence, return_index=True)
        return starts, sentence_rows

    @cached_property
    def _sentence_language_rows(self) -> list[NDArray[np.int64]]:
        return _rows_by_value(self._languages[self._passage_of])

    @cached_property
    def _question_language_rows(self) -> list[NDArray[np.int64]]:
        return _rows_by_value(np.array([question.language for question in self.index.questions], dtype=np.str_))

    @cached_property
    def _places_named(self) -> NDArray[np.bool_]:
        """Which sentences name a place."""
        table = self.index.sentence_terms
        none = np.zeros(table.n_rows, dtype=bool)
        return _any_of([none, *(table.holding(term) for term in table.terms if is_place_term(term))])

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {passage_id: row for row, passage_id in enumerate(self._passage_ids)}

    def query(self, text: str, *, language: str | None = None, focus: str | None = None) -> Query:
        """`text` made ready; its language is detected where none is given.

        Args:
            focus: the part of `text` that matters most: its embedding is added to that of the whole, and where it
                names a place, the question is about that one and not about those that the rest names.
        """
        language = language or detect_language(text)
        vector = self._embedder.embed_query(text)
        if focus is None or focus == text:
            return self._query(text, language, vector)
        vector = to_unit_rows((vector + self._embedder.embed_query(focus))[None])[0]
        places = {term for term in self._lexicon.entity_terms(focus) if is_place_term(term)}
        return self._query(text, language, vector, places=places)

    def _query(
        self, text: str, language: str | None, vector: NDArray[np.float32], *, places: Collection[str] = ()
    ) -> Query:
        entities = self._lexicon.entity_terms(text)
        if places:
            entities = [term for term in entities if term in places or not is_place_term(term)]
        found = tuple(dict.fromkeys((*terms(text), *entities)))
        lexical = self.index.lexical
        unknown = [term for term in found if not lexical.knows(term) and term not in self.index.asked_terms]
        return Query(
            text=text,
            language=language,
            terms=found,
            vector=vector,
            unknown_share=self._weight(unknown) / self._weight(found) if found else 0.0,
            has_names=bool(_names(found)),
        )

    def nearness(self, text: str) -> float:
        """Cosine of `text` with the nearest known question; 0 where there are none."""
        if not self.index.questions:
            return 0.0
        return float(self.index.question_vectors.cosines(self._embedder.embed_query(text)).max())

    def search(self, query: Query | str, k: int = 10, *, without: frozenset[str] = frozenset()) -> list[Hit]:
        """The `k` best passages, best first; ties by passage id.

        Args:
            without: ids of articles that must not appear.
        """
        if isinstance(query, str):
            query = self.query(query)
        return self._hits(query, self._signals(query), k, without)

    def find(
        self, query: Query, k: int, *, without: frozenset[str] = frozenset()
    ) -> tuple[list[Hit], list[ScoredSentence]]:
        """What `search` finds, and every sentence of it with its own evidence, in the order of the hits and of reading."""
        signals = self._signals(query)
        hits = self._hits(query, signals, k, without)
        return hits, self._sentences(query, signals, hits)

    def _hits(self, query: Query, signals: _Signals, k: int, without: frozenset[str]) -> list[Hit]:
        first = first_scores(signals.cosines, signals.lexical) + self._language_bonus(query)
        if without:
            hidden = np.array([p.article_id in without for p in self.index.passages], dtype=bool)
            first = np.where(hidden, np.float32(-np.inf), first)
        candidates = ranked_rows(first, self._passage_ids, max(k, N_CANDIDATES))
        if signals.asked is not None:
            nearest = np.argsort(-signals.asked.scores, kind="stable")[:N_ASKED]
            found = (int(row) for row in np.unique(self._passage_of[nearest]) if first[row] > -np.inf)
            candidates = list(dict.fromkeys((*candidates, *found)))
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

    @cached_property
    def question_rows(self) -> dict[str, NDArray[np.int64]]:
        """The rows of the known questions in each language that has any."""
        return {self.index.questions[int(rows[0])].language: rows for rows in self._question_language_rows if len(rows)}

    def known_questions(
        self, query: Query, k: int, *, language: str, without: frozenset[str] = frozenset()
    ) -> list[int]:
        """Rows of the `k` known questions in `language` nearest to the query, a sentence each, best first."""
        rows = self.question_rows.get(language)
        if rows is None:
            return []
        cosines = self.index.question_vectors.cosines(query.vector)[rows]
        found: dict[int, int] = {}
        for row in rows[np.argsort(-cosines, kind="stable")].tolist():
            sentence_row = self.index.questions[row].sentence_row
            passage = self.index.passages[self.index.sentences[sentence_row].passage_row]
            if passage.article_id not in without:
                found.setdefault(sentence_row, row)
            if len(found) == k:
                break
        return list(found.values())

    def known_query(self, row: int) -> Query:
        """The known question in `row`, made ready as a query without embedding it again."""
        question = self.index.questions[row]
        return self._query(
            question.text, question.language, self.index.question_vectors.vectors(np.array([row], dtype=np.int64))[0]
        )

    def _sentences(self, query: Query, signals: _Signals, hits: Sequence[Hit]) -> list[ScoredSentence]:
        asked = signals.asked
        weights = {term: self.index.lexical.idf(term) for term in query.terms}
        contexts = self.index.passage_terms.shares(weights)
        names = _names(query.terms)
        headed = {name: self.index.heading_terms.holding(name) for name in names}
        held = {name: self.index.sentence_terms.holding(name) for name in names}
        places = [held[name] for name in names if is_place_term(name)]
        elsewhere = self._places_named & ~_any_of(places) if places else np.zeros(len(self._places_named), dtype=bool)
        scored = []
        for hit in hits:
            passage_row = self._row_of[hit.passage.passage_id]
            for row in self._sentence_rows[passage_row]:
                sentence = self.index.sentences[row].sentence
                text = hit.article.text[sentence.start : sentence.end]
                question_row = -1 if asked is None else int(asked.rows[row])
                asked_terms = self._question_terms(question_row)[1] if question_row >= 0 else ()
                scored.append(
                    ScoredSentence(
                        hit=hit,
                        sentence=sentence,
                        text=text,
                        cosine=float(signals.said_cosines[row]),
                        is_elsewhere=bool(elsewhere[row]),
                        said_score=float(signals.said[row]),
                        overlap=float(signals.overlaps[row]),
                        context_overlap=float(contexts[passage_row]),
                        n_names_missing=sum(
                            not (held[name][row] or headed[name][passage_row] or name in asked_terms) for name in names
                        ),
                        asked=self._likeness(query, question_row),
                        asked_score=0.0 if asked is None else float(asked.scores[row]),
                        asked_cosine=0.0 if asked is None else float(asked.cosines[row]),
                    )
                )
        return scored

    def _signals(self, query: Query) -> _Signals:
        cosines = self.index.passage_vectors.cosines(query.vector)
        said_cosines = self.index.sentence_vectors.cosines(query.vector)
        said = standard_scores(said_cosines - language_habits(said_cosines, self._sentence_language_rows))
        return _Signals(
            raw_cosines=cosines,
            habits=language_habits(cosines, self._language_rows),
            lexical=self.index.lexical.scores(query.terms),
            overlaps=self.index.sentence_terms.shares({term: self.index.lexical.idf(term) for term in query.terms}),
            said_cosines=said_cosines,
            said=said,
            asked=self._asked(query, said_cosines, said) if self.index.questions else None,
        )

    def _asked(self, query: Query, said_cosines: NDArray[np.float32], said: NDArray[np.float32]) -> _Asked:
        starts, sentence_rows = self._question_starts
        raw = self.index.question_vectors.cosines(query.vector)
        found = raw - language_habits(raw, self._question_language_rows)
        for language, question_rows in self.question_rows.items():
            if _kind_of(language) != _kind_of(query.language):
                found[question_rows] -= FOREIGN_PENALTY
        best = np.maximum.reduceat(found, starts)
        scores = said.copy()
        among = best if len(best) >= MIN_ASKED else said_cosines
        scores[sentence_rows] = standard_scores(best, among)
        cosines = np.zeros(len(said), dtype=np.float32)
        rows = np.full(len(said), -1, dtype=np.int64)
        bounds = [*starts.tolist(), len(found)]
        # Only the nearest are ever looked at one by one.
        for position in np.argpartition(-best, min(N_ASKED, len(best) - 1))[: N_ASKED + 1]:
            start, end = bounds[position], bounds[position + 1]
            row = start + int(found[start:end].argmax())
            rows[sentence_rows[position]] = row
            cosines[sentence_rows[position]] = raw[row]
        return _Asked(scores=scores, cosines=cosines, rows=rows)

    def _likeness(self, query: Query, question_row: int) -> Likeness | None:
        """How the words of the query compare with those of a known question; None without one."""
        if question_row < 0:
            return None
        text, asked = self._question_terms(question_row)
        ours = set(query.terms)
        return Likeness(
            question=text,
            share=self._weight(ours & asked) / self._weight(ours) if ours else 0.0,
            n_names_apart=len(_names(ours) ^ _names(asked)),
        )

    def _question_terms(self, question_row: int) -> tuple[str, frozenset[str]]:
        text = self.index.questions[question_row].text
        found = self._terms_of_question.get(question_row)
        if found is None:
            found = frozenset((*terms(text), *self._lexicon.entity_terms(text)))
            self._terms_of_question[question_row] = found
        return text, found

    def _weight(self, of: Iterable[str]) -> float:
        return sum(self.index.lexical.idf(term) for term in of)

    def _language_bonus(self, query: Query) -> NDArray[np.float32]:
        if query.language is None:
            return np.zeros(len(self.index.passages), dtype=np.float32)
        return np.where(self._languages == query.language, np.float32(LANGUAGE_BONUS), np.float32(0))

    def _scores(self, query: Query, signals: _Signals, candidates: Sequence[int]) -> NDArray[np.float32]:
        if not candidates:
            return np.zeros(0, dtype=np.float32)
        sentence_rows = np.concatenate([np.array(self._sentence_rows[row], dtype=np.int64) for row in candidates])
        sentence_cosines = signals.said_cosines[sentence_rows]
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
        if signals.asked is not None:
            best_asked = [signals.asked.scores[self._sentence_rows[row]].max(initial=0.0) for row in candidates]
            scores += ASKED_WEIGHT * np.array(best_asked, dtype=np.float32)
        return scores + self._language_bonus(query)[chosen]


def _kind_of(language: str | None) -> str:
    """The language without its script: the two scripts of Chinese are one language here."""
    return (language or "").partition("-")[0]


def _names(of: Iterable[str]) -> set[str]:
    """Those terms that are a place or a number, a year or a hotline, say."""
    return {term for term in of if is_place_term(term) or _NUMBER.fullmatch(term)}


def _any_of(rows: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where any of `rows` is true."""
    found: NDArray[np.bool_] = np.logical_or.reduce(rows)
    return found


def _rows_by_value(values: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """The rows of each value."""
    return [np.flatnonzero(values == value) for value in np.unique(values)]
