"""What the training commands share: our own sentences and questions, their tokens, and the pace of learning."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.chunk import passages_of
from retrieval.library import Library
from retrieval.store import QuestionRow, question_rows, sentence_rows, sentence_text
from retrieval.types import Reading

logger = logging.getLogger(__name__)

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
# What stands in a softmax for what does not count.
APART = -1e4
_TOLD_EVERY = 5000


@dataclass(frozen=True, slots=True)
class OwnSentences:
    """The sentences of our own articles: their words, article and the keys of what they rest on, and all known questions,
    whose `sentence_row` counts them."""

    texts: Sequence[str]
    article_of: Sequence[str]
    sources: Sequence[frozenset[str]]
    questions: Sequence[QuestionRow]

    @classmethod
    def read(cls, data: Path) -> OwnSentences:
        """Those of the corpus beside the code.

        Raises:
            CorpusError: an article is not as it should be.
        """
        articles = {article.article_id: article for article in Library(CORPUS, data).articles() if article.is_own}
        passages = [passage for article in articles.values() for passage in passages_of(article)]
        rows = sentence_rows(articles, passages)
        return cls(
            [sentence_text(articles, passages, row) for row in rows],
            [passages[row.passage_row].article_id for row in rows],
            [frozenset(row.sentence.source_keys) for row in rows],
            question_rows(articles, passages, rows),
        )


def readings(
    read: Callable[[str], Reading], texts: Sequence[str]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The vector (dim,) and the tokens (n, width) of each of `texts`, with progress in the log.

    Raises:
        SystemExit: the model tells no tokens.
    """
    for n, text in enumerate(texts):
        if n % _TOLD_EVERY == 0:
            logger.info("reading text %d of %d", n, len(texts))
        reading = read(text)
        if reading.tokens is None:
            raise SystemExit("the model gives no tokens; train with the default model (leave GUITU_MODEL empty)")
        yield reading.vector, reading.tokens


def on_one_source(rows: Sequence[int], sources: Sequence[frozenset[str]]) -> torch.Tensor:
    """(n, n): which two of the n sentences `rows` rest on one source and so may say the same, but for each with itself."""
    return torch.tensor([[a != b and bool(sources[a] & sources[b]) for b in rows] for a in rows])


def paced(
    optimiser: torch.optim.Optimizer, *, n_steps: int, n_warm_up: int, least: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """The rate of learning: up in `n_warm_up` steps, then down to the share `least` at the end of `n_steps`."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / n_warm_up) * max(least, 1 - step / n_steps)
    )
