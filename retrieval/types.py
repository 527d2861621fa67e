"""The records of retrieval: facts are frozen, what depends on a query lives in `Hit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Span(NamedTuple):
    """A half-open range of Unicode code points, `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a statement comes from. `date` is ISO 8601; `url` is None where no citable copy exists."""

    publisher: str
    title: str
    url: str | None
    date: str | None


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading line of an article: `article.text[start:end]` is its words."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an article and the keys of the sources that it rests on (empty in crawled articles)."""

    start: int
    end: int
    source_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownQuestion:
    """A question that `article.sentences[sentence]` answers; `language` is its own, not the article's."""

    text: str
    language: str
    sentence: int


@dataclass(frozen=True, slots=True)
class Article:
    """One published text.

    `text` is NFC with `\\n` line ends and holds headings and paragraphs, without markup and footnote markers;
    `sentences` cover every word of it outside the headings, in order. `sources` maps footnote keys to sources.
    `published` is an ISO 8601 date; `language` a BCP 47 tag. `origin` is the line in which a crawled article
    says where it was taken from. `digest` is the SHA-256 (hex) of what a reader sees; `questions` are not part of
    that, they help to find its sentences.
    """

    article_id: str
    title: str
    url: str | None
    publisher: str
    published: str
    language: str
    text: str
    sentences: tuple[Sentence, ...]
    headings: tuple[Heading, ...] = ()
    kind: str = "news"
    topics: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    translation_of: str | None = None
    sources: dict[str, Source] = field(default_factory=dict)
    origin: str | None = None
    is_own: bool = False
    digest: str = ""
    questions: tuple[KnownQuestion, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """The retrievable part of an article; `text == article.text[start:end]`, id is `<article_id>#<ordinal>`."""

    passage_id: str
    article_id: str
    ordinal: int
    start: int
    end: int
    text: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search. `rank` counts from 1 without gaps; `score` orders within one list only.

    `cosine` is the dense similarity (-1..1), `lexical` the BM25 score as a share of the best score that the
    query could reach (0..1); `n_reprints` counts the reposts of the same text that were folded into this hit.
    """

    passage: Passage
    article: Article
    rank: int
    score: float
    cosine: float
    lexical: float
    n_reprints: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model makes of one question.

    Attributes:
        vector: (dim,) float32 of unit length.
        tokens: (n, width) float32, what the model knows of each token two thirds of the way up, where the last layers
            have not yet given up the details for the likeness of whole texts; None where the model does not tell.
        point: (d,) float32 of unit length, where the question lies among questions (`retrieval.question_space`).
    """

    vector: NDArray[np.float32]
    tokens: NDArray[np.float32] | None
    point: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Query:
    """A question made ready for search: `vector`, `point` and `tokens` as in `Reading`, `terms` for the lexical index.

    `unknown_share` is the weighed share of its terms that neither a passage nor a known question has (0..1);
    `has_names` says whether it names a place or a number.
    """

    text: str
    language: str | None
    terms: tuple[str, ...]
    vector: NDArray[np.float32]
    point: NDArray[np.float32]
    tokens: NDArray[np.float32] | None = None
    unknown_share: float = 0.0
    has_names: bool = False


@dataclass(frozen=True, slots=True)
class Likeness:
    """How the words of a query compare with those of a known question.

    `share` is the weighed share of the query's terms that the question has (0..1); `n_names_apart` counts places and
    numbers that only one of them names.
    """

    question: str
    share: float
    n_names_apart: int


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A sentence of a hit with its own evidence.

    `cosine` compares it with the query; `said_score` is the same in standard deviations among all sentences, without
    what its language adds. `asked` tells of its known question that is nearest to the query (None where it is far or
    there is none), `asked_cosine` how near the two are, `asked_score` the same as a standard score. `overlap` is the
    weighed share of the query's terms that it holds (0..1), `context_overlap` the same for its passage with title and
    heading. `n_names_missing` counts the places and numbers of the query that stand neither in the sentence nor in its
    title, heading or known question; `is_elsewhere` says that it names a place, and none of those that the query names;
    `is_abroad` that it names a country that the query does not, and that one which the query names stands in none of those.
    `reranked` is how well it answers, read token by token (`retrieval.reranker`): log odds, or None where it was not.
    """

    hit: Hit
    sentence: Sentence
    text: str
    cosine: float
    overlap: float
    context_overlap: float
    n_names_missing: int = 0
    is_elsewhere: bool = False
    is_abroad: bool = False
    said_score: float = 0.0
    asked: Likeness | None = None
    asked_score: float = 0.0
    asked_cosine: float = 0.0
    reranked: float | None = None
