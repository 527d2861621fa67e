"""Cuts an article into passages at sentence ends, keeping exact offsets."""

from __future__ import annotations

import math

from retrieval.text import reading_units
from retrieval.types import Article, Heading, Passage, Sentence

# In reading units (about one Chinese character each). Chosen so that a passage fits the model's 512 tokens with its
# context, and so that a quote can be read at a glance on a phone.
TARGET_UNITS = 280
MAX_UNITS = 350


def passages_of(article: Article) -> list[Passage]:
    """The passages of `article`, in reading order.

    Each is a run of whole sentences below one heading; headings are context, not part of a passage. Every sentence
    lies in exactly one passage, and `article.text[p.start:p.end] == p.text`.
    """
    passages: list[Passage] = []
    for heading, section in _sections(article):
        for run in _runs(article.text, section):
            start, end = run[0].start, run[-1].end
            ordinal = len(passages)
            passages.append(
                Passage(
                    passage_id=f"{article.article_id}#{ordinal}",
                    article_id=article.article_id,
                    ordinal=ordinal,
                    start=start,
                    end=end,
                    text=article.text[start:end],
                    heading=heading,
                )
            )
    return passages


def _sections(article: Article) -> list[tuple[str, list[Sentence]]]:
    sections: list[tuple[str, list[Sentence]]] = [("", [])]
    events: list[Heading | Sentence] = sorted([*article.headings, *article.sentences], key=lambda e: e.start)
    for event in events:
        if isinstance(event, Heading):
            sections.append((article.text[event.start : event.end], []))
        else:
            sections[-1][1].append(event)
    return [(heading, sentences) for heading, sentences in sections if sentences]


def _runs(text: str, sentences: list[Sentence]) -> list[list[Sentence]]:
    """Splits a section into runs of sentences, as even as sentence ends allow."""
    total = sum(reading_units(text[s.start : s.end]) for s in sentences)
    n_runs = math.ceil(total / TARGET_UNITS) if total > MAX_UNITS else 1
    target = total / n_runs
    runs: list[list[Sentence]] = [[]]
    size = 0.0
    for sentence in sentences:
        units = reading_units(text[sentence.start : sentence.end])
        if runs[-1] and (size + units > MAX_UNITS or size + units / 2 > target):
            runs.append([])
            size = 0.0
        runs[-1].append(sentence)
        size += units
    return runs
