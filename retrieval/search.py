"""The one module that joins the rest: a query goes in, ranked passages come out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retrieval.analyze import terms
from retrieval.embed import Embedder
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
from retrieval.question_index import N_ASKED, Asked, KnownQuestionIndex
from retrieval.reranker import LOG_ODDS_RANGE
from retrieval.store import Index
from retrieval.types import Hit, Likeness, Query, ScoredSentence
from retrieval.vectors import to_unit_rows

_NUMBER = re.compile(r"[0-9]{3,}")
# Passages whose sentences are looked at; beyond, a passage never came first on the development sets.
N_CANDIDATES = 150
# Passages whose sentences are read token by token, and what the log odds of their best one are worth against standard
# deviations of the cosine. Chosen on the public development sets.
N_RERANKED = 20
RERANKED_WEIGHT = 0.25
# Of fewer questions nobody can tell how near is near; they are then held against the sentences.
MIN_ASKED = 50
# How much of a follow-up's vector is its own, beside that of the follow-up and its topic together. From 0.2 to 0.5 as many
# of the dev follow-ups are answered right (0.79; 0.76 without).
FOCUS_SHARE = 0.3
# Added to the score of passages in the reader's own language, in standard deviations of the cosine. Enough to put the
# reader's language first among passages that say the same, too little to lift one that says something else.
LANGUAGE_BONUS = 0.5


@dataclass(frozen=True, slots=True)
class _Words:
    """The terms of a question, and which of them are a place or a number."""

    terms: frozenset[str]
    names: frozenset[str]

    @classmethod
    def of(cls, found: Iterable[str]) -> _Words:
        distinct = frozenset(found)
        return cls(distinct, frozenset(t for t in distinct if is_place_term(t) or _NUMBER.fullmatch(t)))


@dataclass(frozen=True, slots=True)
class _Signals:
    """What one query says of every passage and sentence: arrays in row order.

    `said_cosines` tell how near each sentence is; `said` the same in standard deviations, without what its language
    adds; `asked_scores` how near its known questions are.
    """

    raw_cosines: NDArray[np.float32]
    habits: NDArray[np.float32]
    lexical: NDArray[np.float32]
    overlaps: NDArray[np.float32]
    said_cosines: NDArray[np.float32]
    said: NDArray[np.float32]
    asked: Asked | None
    asked_scores: NDArray[np.float32]

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
        self._asked_words: dict[int, _Words] = {}

    @cached_property
    def _passage_ids(self) -> list[str]:
        return [passage.passage_id for passage in self.index.passages]

    @cached_property
    def _languages(self) -> NDArray[np.str_]:
        return np.array([self.index.articles[p.article_id].language for p in self.index.passages], dtype=np.str_)

    @cached_property
    def _language_of(self) -> NDArray[np.int64]:
        """The language of each passage, as a number."""
        return _numbered(self._languages)

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
    def known(self) -> KnownQuestionIndex | None:
        """The known questions of the index, where it has any."""
        questions = self.index.questions
        return KnownQuestionIndex(questions, self.index.question_vectors) if questions else None

    @cached_property
    def _filled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The passages that have sentences, and where the sentences of each begin."""
        passage_rows, starts = np.unique(self._passage_of, return_index=True)
        return passage_rows, starts

    @cached_property
    def _places_named(self) -> NDArray[np.bool_]:
        """Which sentences name a place."""
        table = self.index.sentence_terms
        none = np.zeros(table.n_rows, dtype=bool)
        return _any_of([none, *(table.holding(term) for term in table.terms if is_place_term(term))])

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {passage_id: row for row, passage_id in enumerate(self._passage_ids)}

    @cached_property
    def _n_countries(self) -> NDArray[np.int64]:
        """How many countries each sentence names."""
        table = self.index.sentence_terms
        named = map(table.holding, self._lexicon.all_country_terms)
        found: NDArray[np.int64] = np.sum([np.zeros(table.n_rows, dtype=np.int64), *named], axis=0)
        return found

    def query(self, text: str, *, language: str | None = None, focus: str | None = None) -> Query:
        """`text` made ready; its language is detected where none is given.

        Args:
            focus: the part of `text` that matters most: its vector has a share in that of the whole, and where it
                names a place, the question is about that one and not about those that the rest names.
        """
        language = language or detect_language(text)
        places: set[str] = set()
        # The focus first: the triage has just read it, and an embedder may remember that.
        part = self._embedder.read_query(focus or text)
        vector, point, tokens = part.vector, part.point, part.tokens
        if focus and focus != text:
            whole = self._embedder.read_query(text)
            vector, point, tokens = _between(vector, whole.vector), _between(point, whole.point), whole.tokens
            places = {term for term in self._lexicon.entity_terms(focus) if is_place_term(term)}
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
            point=point,
            tokens=tokens,
            unknown_share=self._weight(unknown) / self._weight(found) if found else 0.0,
            has_names=bool(_Words.of(found).names),
        )

    def search(self, query: Query | str, k: int = 10, *, without: frozenset[str] = frozenset()) -> list[Hit]:
        """The `k` best passages, best first; ties by passage id.

        Args:
            without: ids of articles that must not appear.
        """
        if isinstance(query, str):
            query = self.query(query)
        return self._hits(query, self._signals(query), k, without)[0]

    def find(
        self, query: Query, k: int, *, without: frozenset[str] = frozenset()
    ) -> tuple[list[Hit], list[ScoredSentence]]:
        """What `search` finds, and every sentence of it with its own evidence, in the order of the hits and of reading.

        Sentences of hits after the first `N_RERANKED` are not read token by token.
        """
        signals = self._signals(query)
        hits, reranked = self._hits(query, signals, k, without)
        return hits, self._sentences(query, signals, hits, reranked)

    def _hits(
        self, query: Query, signals: _Signals, k: int, without: frozenset[str]
    ) -> tuple[list[Hit], dict[int, float]]:
        """The `k` best passages, and how well each of their sentences answers, read token by token (see `_reranked`)."""
        first = first_scores(signals.cosines, signals.lexical) + self._language_bonus(query)
        if without:
            hidden = np.array([p.article_id in without for p in self.index.passages], dtype=bool)
            first = np.where(hidden, np.float32(-np.inf), first)
        candidates = ranked_rows(first, self._passage_ids, max(k, N_CANDIDATES))
        if signals.asked is not None:
            nearest = np.argpartition(-signals.asked_scores, min(N_ASKED, len(signals.asked_scores) - 1))[:N_ASKED]
            found = (int(row) for row in np.unique(self._passage_of[nearest]) if first[row] > -np.inf)
            candidates = list(dict.fromkeys((*candidates, *found)))
        scores = self._scores(query, signals, candidates)
        candidate_ids = [self._passage_ids[row] for row in candidates]
        first_few = ranked_rows(scores, candidate_ids, N_RERANKED)
        reranked = self._reranked(query, [candidates[position] for position in first_few])
        if reranked:
            rows_of = (self._sentence_rows[candidates[position]] for position in first_few)
            best = [max((reranked[row] for row in rows), default=-LOG_ODDS_RANGE) for rows in rows_of]
            scores[first_few] += RERANKED_WEIGHT * (np.clip(best, -LOG_ODDS_RANGE, LOG_ODDS_RANGE) + LOG_ODDS_RANGE)
        order = ranked_rows(scores, candidate_ids, k)
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
        return hits, reranked

    def known_questions(
        self, query: Query, k: int, *, language: str, without: frozenset[str] = frozenset()
    ) -> list[int]:
        """Rows of the `k` known questions in `language` nearest to the query, a sentence each, best first."""
        rows = () if self.known is None else self.known.nearest_of_each(query.point, language)
        kept = (row for row in rows if self._article_of_question(row) not in without)
        return list(itertools.islice(kept, k))

    def _article_of_question(self, row: int) -> str:
        sentence = self.index.sentences[self.index.questions[row].sentence_row]
        return self.index.passages[sentence.passage_row].article_id

    def _sentences(
        self, query: Query, signals: _Signals, hits: Sequence[Hit], reranked: Mapping[int, float]
    ) -> list[ScoredSentence]:
        nearest = {} if signals.asked is None else signals.asked.nearest
        weights = {term: self.index.lexical.idf(term) for term in query.terms}
        contexts = self.index.passage_terms.shares(weights)
        words = _Words.of(query.terms)
        whole = self._weight(words.terms)
        names = sorted(words.names)
        headed = {name: self.index.heading_terms.holding(name) for name in names}
        held = {name: self.index.sentence_terms.holding(name) for name in names}
        places = [held[name] for name in names if is_place_term(name)]
        elsewhere = self._places_named & ~_any_of(places) if places else np.zeros(len(self._places_named), dtype=bool)
        countries = [name for name in names if name in self._lexicon.all_country_terms]
        scored = []
        for hit in hits:
            passage_row = self._row_of[hit.passage.passage_id]
            for row in self._sentence_rows[passage_row]:
                sentence = self.index.sentences[row].sentence
                text = hit.article.text[sentence.start : sentence.end]
                question_row, asked_cosine = nearest.get(row, (-1, 0.0))
                asked_words = self._words_of(question_row) if question_row >= 0 else None
                missing = [
                    name
                    for name in names
                    if not (held[name][row] or headed[name][passage_row])
                    and (asked_words is None or name not in asked_words.names)
                ]
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
                        n_names_missing=len(missing),
                        is_abroad=any(name in missing for name in countries)
                        and sum(int(held[name][row]) for name in countries) < int(self._n_countries[row]),
                        asked=None if asked_words is None else self._likeness(question_row, words, asked_words, whole),
                        asked_score=0.0 if signals.asked is None else float(signals.asked_scores[row]),
                        asked_cosine=asked_cosine,
                        reranked=reranked.get(row),
                    )
                )
        return scored

    def _reranked(self, query: Query, passage_rows: Sequence[int]) -> dict[int, float]:
        """How well each sentence of the passages answers, by its row; nothing where the model tells no tokens."""
        reranker, keys = self._embedder.reranker, self.index.sentence_keys
        if reranker is None or keys is None or query.tokens is None:
            return {}
        rows = [row for passage_row in passage_rows for row in self._sentence_rows[passage_row]]
        return dict(zip(rows, reranker.scores(query.tokens, [keys.of(row) for row in rows]).tolist(), strict=True))

    def verified(self, query: Query, sentence: ScoredSentence) -> float | None:
        """The log odds that a sentence found for `query` answers it, read once more (`retrieval.verifier`); None where
        nothing can tell: it was not read token by token, or nothing was learned for the model."""
        verifier, reranker, keys = self._embedder.verifier, self._embedder.reranker, self.index.sentence_keys
        if verifier is None or reranker is None or keys is None or query.tokens is None or sentence.reranked is None:
            return None
        rows = self._sentence_rows[self._row_of[sentence.hit.passage.passage_id]]
        row = next(row for row in rows if self.index.sentences[row].sentence == sentence.sentence)
        if not len(query.tokens) or not len(keys.of(row)):
            return None
        score = max(-LOG_ODDS_RANGE, min(sentence.reranked, LOG_ODDS_RANGE))
        return verifier.log_odds(query.tokens, reranker.findings(query.tokens, keys.of(row)), score)

    def coverage(self, query: Query, sentence: ScoredSentence) -> float | None:
        """The log odds that our own articles tell what `query` asks for (`retrieval.coverage`); None where nothing can tell:
        nothing was learned for the model, or the `sentence` found was not among those that were asked for."""
        learned = self._embedder.coverage
        if learned is None or query.tokens is None or not len(query.tokens) or not learned.knows(sentence.text):
            return None
        return learned.log_odds(query.tokens)

    def _signals(self, query: Query) -> _Signals:
        cosines = self.index.passage_vectors.cosines(query.vector)
        said_cosines = self.index.sentence_vectors.cosines(query.vector)
        sentence_languages = self._language_of[self._passage_of]
        said = standard_scores(said_cosines - language_habits(said_cosines, sentence_languages)[sentence_languages])
        asked = None if self.known is None else self.known.near(query.point)
        return _Signals(
            raw_cosines=cosines,
            habits=language_habits(cosines, self._language_of)[self._language_of],
            lexical=self.index.lexical.scores(query.terms),
            overlaps=self.index.sentence_terms.shares({term: self.index.lexical.idf(term) for term in query.terms}),
            said_cosines=said_cosines,
            said=said,
            asked=asked,
            asked_scores=self._asked_scores(asked, said_cosines, said),
        )

    @staticmethod
    def _asked_scores(
        asked: Asked | None, said_cosines: NDArray[np.float32], said: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How near the known questions of each sentence are, in standard deviations; where a sentence has none, `said`."""
        scores = said.copy()
        if asked is not None:
            among = asked.means if len(asked.means) >= MIN_ASKED else said_cosines
            scores[asked.sentence_rows] = standard_scores(asked.nearness, among)
        return scores

    def _likeness(self, question_row: int, words: _Words, asked: _Words, whole: float) -> Likeness:
        """How `words`, those of a query that weigh `whole`, compare with those of a known question."""
        return Likeness(
            question=self.index.questions[question_row].text,
            share=self._weight(words.terms & asked.terms) / whole if words.terms else 0.0,
            n_names_apart=len(words.names ^ asked.names),
        )

    def _words_of(self, question_row: int) -> _Words:
        """The words of a known question."""
        found = self._asked_words.get(question_row)
        if found is None:
            text = self.index.questions[question_row].text
            found = self._asked_words[question_row] = _Words.of((*terms(text), *self._lexicon.entity_terms(text)))
        return found

    def _weight(self, of: Iterable[str]) -> float:
        return sum(self.index.lexical.idf(term) for term in of)

    def _language_bonus(self, query: Query) -> NDArray[np.float32]:
        if query.language is None:
            return np.zeros(len(self.index.passages), dtype=np.float32)
        return np.where(self._languages == query.language, np.float32(LANGUAGE_BONUS), np.float32(0))

    def _scores(self, query: Query, signals: _Signals, candidates: Sequence[int]) -> NDArray[np.float32]:
        chosen = np.array(candidates, dtype=np.int64)
        cosines = signals.cosines
        scores = fused_scores(
            cosines[chosen],
            signals.lexical[chosen],
            self._best_of(signals.said_cosines, none=-1.0)[chosen] - signals.habits[chosen],
            self._best_of(signals.overlaps, none=0.0)[chosen],
            mean=float(cosines.mean()) if len(cosines) else 0.0,
            spread=spread(cosines),
        )
        if signals.asked is not None:
            scores += ASKED_WEIGHT * np.maximum(self._best_of(signals.asked_scores, none=0.0)[chosen], 0)
        return scores + self._language_bonus(query)[chosen]

    def _best_of(self, values: NDArray[np.float32], *, none: float) -> NDArray[np.float32]:
        """The highest of the `values` of the sentences of each passage; `none` where it has no sentence."""
        best = np.full(len(self.index.passages), none, dtype=np.float32)
        passage_rows, starts = self._filled
        if len(starts):
            best[passage_rows] = np.maximum.reduceat(values, starts)
        return best


def _between(part: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction between that of a question in focus and that of the text it stands in."""
    found: NDArray[np.float32] = to_unit_rows((FOCUS_SHARE * part + (1 - FOCUS_SHARE) * whole)[None])[0]
    return found


def _any_of(rows: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where any of `rows` is true."""
    found: NDArray[np.bool_] = np.logical_or.reduce(rows)
    return found


def _numbered(values: NDArray[np.str_]) -> NDArray[np.int64]:
    """Each value as its place among the distinct ones, sorted."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
