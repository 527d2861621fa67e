"""Builds the sentences and citations of an answer from hits, and checks each quote."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote as quote_url

from bot.types import Citation, QuotedSentence
from retrieval import Article, Hit, ScoredSentence, Source

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quotes:
    """Sentences with the citations that they name, both ready to show."""

    sentences: tuple[QuotedSentence, ...]
    citations: tuple[Citation, ...]


def article_href(article_id: str, start: int | None = None, end: int | None = None) -> str:
    """Path of an article's page, with the span to highlight."""
    path = f"/articles/{quote_url(article_id, safe='')}"
    return path if start is None else f"{path}?start={start}&end={end}#quote"


def compose_quotes(chosen: Sequence[ScoredSentence]) -> Quotes:
    """The chosen sentences in their order, each citing the passage it stands in.

    A sentence that does not stand word for word in its quote is dropped and logged: nothing unquoted is ever shown.
    """
    citations: dict[str, Citation] = {}
    sentences = []
    shown: list[ScoredSentence] = []
    for choice in chosen:
        hit = choice.hit
        citation = citations.get(hit.passage.passage_id) or _citation(hit, len(citations) + 1)
        if not _is_quoted(choice.text, citation, hit.article):
            logger.error("a sentence of %s is not in its quote and was dropped", hit.passage.passage_id)
            continue
        citations[hit.passage.passage_id] = citation
        sentences.append(QuotedSentence(choice.text, (citation.n,)))
        shown.append(choice)
    used = {
        passage_id: _with_sources(citation, [c for c in shown if c.hit.passage.passage_id == passage_id])
        for passage_id, citation in citations.items()
    }
    return Quotes(tuple(sentences), tuple(used.values()))


def _citation(hit: Hit, n: int) -> Citation:
    article, passage = hit.article, hit.passage
    href = article_href(article.article_id, passage.start, passage.end)
    return Citation(
        n=n,
        article_id=article.article_id,
        passage_id=passage.passage_id,
        title=article.title,
        publisher=article.publisher,
        url=article.url or article_href(article.article_id),
        date=article.published,
        language=article.language,
        start=passage.start,
        end=passage.end,
        quote=article.text[passage.start : passage.end],
        href=href,
        n_reprints=hit.n_reprints,
    )


def _with_sources(citation: Citation, chosen: Sequence[ScoredSentence]) -> Citation:
    sources: dict[str, Source] = {}
    for choice in chosen:
        for key in choice.sentence.source_keys:
            sources[key] = choice.hit.article.sources[key]
    distinct = tuple(dict.fromkeys(sources.values()))
    article = chosen[0].hit.article
    if not distinct and not article.is_own:
        # In a crawled article the article itself is the source.
        distinct = (Source(article.publisher, article.title, article.url, article.published),)
    return replace(citation, sources=distinct)


def _is_quoted(text: str, citation: Citation, article: Article) -> bool:
    return bool(text) and text in citation.quote and article.text[citation.start : citation.end] == citation.quote
