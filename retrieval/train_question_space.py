"""`python -m retrieval.train_question_space DATA_FOLDER` learns question_space.txt from the known questions alone.

Two questions of one sentence shall lie close, questions of other sentences apart, above all those of the same article.
Takes about five minutes on two cores.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from retrieval.embed import Embedder, load_embedder
from retrieval.learned_file import PROBE_TEXT, number_lines
from retrieval.question_space import SPACE_FILE, features_of
from retrieval.store import QuestionRow
from retrieval.training import APART, OwnSentences, on_one_source, paced, readings

logger = logging.getLogger(__name__)

# Chosen on the dev questions, by how often the nearest known question belongs to a sentence that answers. Of the
# directions, 128 tell nearly as much as 256 (0.895 and 0.898; in the answers no difference), and the processor's cache
# holds them.
N_DIRECTIONS = 128
N_STEPS = 4000
RATE = 1e-3
DECAY = 0.01
DROPPED = 0.2
TEMPERATURE = 0.05
ARTICLES_AT_ONCE = 24
SENTENCES_OF_ARTICLE = 8
_WARM_UP_STEPS = 50


def features(texts: Sequence[str], embedder: Embedder) -> torch.Tensor:
    """(n, dim + width), see `retrieval.question_space.features_of`."""
    rows = [
        features_of(vector[None], tokens.mean(axis=0)[None])[0]
        for vector, tokens in readings(embedder.read_query, texts)
    ]
    return torch.from_numpy(np.stack(rows))


def fit(
    found: torch.Tensor, questions: Sequence[QuestionRow], article_of: Sequence[str], sources: Sequence[frozenset[str]]
) -> torch.Tensor:
    """The projection (d, dim + width) of standardised features.

    Args:
        found: a row a question of `questions`.
        article_of, sources: the article of each sentence, and the keys of what it rests on.
    """
    torch.manual_seed(0)
    chance = np.random.default_rng(0)
    of_sentence: dict[int, list[int]] = defaultdict(list)
    for row, question in enumerate(questions):
        of_sentence[question.sentence_row].append(row)
    of_article: dict[str, list[int]] = defaultdict(list)
    for sentence_row, rows in of_sentence.items():
        if len(rows) > 1:
            of_article[article_of[sentence_row]].append(sentence_row)
    articles = list(of_article.values())
    layer = nn.Linear(found.shape[1], N_DIRECTIONS, bias=False)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=RATE, weight_decay=DECAY)
    pace = paced(optimiser, n_steps=N_STEPS, n_warm_up=_WARM_UP_STEPS, least=0.02)

    def points(rows: Sequence[int]) -> torch.Tensor:
        return functional.normalize(layer(functional.dropout(found[list(rows)], DROPPED)), dim=1)

    for step in range(N_STEPS):
        chosen: list[int] = []
        for n in chance.choice(len(articles), min(ARTICLES_AT_ONCE, len(articles)), replace=False):
            among = articles[n]
            chosen += chance.choice(among, min(SENTENCES_OF_ARTICLE, len(among)), replace=False).tolist()
        ones, others = zip(*(chance.choice(of_sentence[row], 2, replace=False) for row in chosen), strict=True)
        likeness = points(ones) @ points(others).T / TEMPERATURE
        # They are neither alike nor apart.
        likeness = likeness.masked_fill(on_one_source(chosen, sources), APART)
        own = torch.arange(len(chosen))
        loss = functional.cross_entropy(likeness, own) + functional.cross_entropy(likeness.T, own)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        pace.step()
        if step % 500 == 0:
            logger.info("step %d of %d, loss %.3f", step, N_STEPS, float(loss.detach()))
    return layer.weight.detach()


def main(data: Path) -> None:
    """Writes question_space.txt."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    embedder = load_embedder(None, data)
    own = OwnSentences.read(data)
    found = features([question.text for question in own.questions], embedder)
    mean, scale = found.mean(0), found.std(0)
    projection = fit((found - mean) / scale, own.questions, own.article_of, own.sources) / scale
    probe = embedder.embed_query(PROBE_TEXT)
    # Only directions count: the largest number is made to fit the fixed point.
    projection /= projection.abs().max()
    dim, width = len(probe), found.shape[1] - len(probe)
    numbers = number_lines([probe, mean.numpy(), projection.numpy()])
    SPACE_FILE.write_text(f"{dim} {width} {len(projection)}\n{numbers}", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
