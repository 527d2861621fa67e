"""Merges what is known of a passage into one score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What each signal is worth against the cosine of the passage, in standard deviations of that cosine. Chosen on the
# four public development sets and our own dev questions together; the CHANGELOG has the table.
SENTENCE_WEIGHT = 0.8
LEXICAL_WEIGHT = 10.0
OVERLAP_WEIGHT = 7.0
# What the nearest known question of a passage is worth. Chosen on our own dev questions: the public sets have none.
ASKED_WEIGHT = 1.0


# How much of the difference between languages is taken out of the cosines, and how many passages a language needs
# before its mean is trusted by half.
HABIT_SHARE = 0.7
HABIT_PRIOR = 20


def language_habits(cosines: NDArray[np.float32], languages: NDArray[np.int64]) -> NDArray[np.float32]:
    """What to take off the cosine of each row because of its language alone.

    The model puts texts of one language near one another whatever they say, so that a question in Vietnamese finds
    every Vietnamese passage nearer than the Chinese one that answers it. The mean of each language for this query
    shows by how much.

    Args:
        cosines: (n,) dense similarity of each row.
        languages: (n,) the number of the language of each row, counted from 0.
    Returns:
        (number of languages,) float32, to subtract from the rows of each; 0 where there is one language only.
    """
    counts = np.bincount(languages)
    return habits_of(np.bincount(languages, weights=cosines) / np.maximum(counts, 1), counts)


def habits_of(means: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """What `language_habits` gives for the mean cosine of the rows of each language and how many there are: (n,)."""
    trust = counts / (counts + HABIT_PRIOR)
    mean = float(means @ counts) / max(int(counts.sum()), 1)
    habits: NDArray[np.float32] = (HABIT_SHARE * trust * (means - mean)).astype(np.float32)
    return habits


def first_scores(
    cosines: NDArray[np.float32], lexical: NDArray[np.float32], *, lexical_weight: float = 2 * LEXICAL_WEIGHT
) -> NDArray[np.float32]:
    """Score of each passage by which candidates are chosen, before their sentences are looked at.

    The cosine counts by how far it stands out among the passages of this query (cosines of one model crowd in a
    narrow band that differs from query to query). The lexical share counts as it is: in a query whose words the
    corpus does not have, say one in another language, it is near 0 and changes nothing. Reciprocal-rank fusion
    cannot tell the two cases apart, as ranks carry no strength.

    Args:
        cosines: (n,) dense similarity of each passage.
        lexical: (n,) BM25 as a share of the most that the query could reach, 0..1.
    Returns:
        (n,) float32, higher is better.
    """
    return (standard_scores(cosines) + lexical_weight * lexical).astype(np.float32)


def fused_scores(
    cosines: NDArray[np.float32],
    lexical: NDArray[np.float32],
    sentence_cosines: NDArray[np.float32],
    sentence_overlaps: NDArray[np.float32],
    *,
    mean: float,
    spread: float,
) -> NDArray[np.float32]:
    """Score of each candidate, with the best of its sentences: one that says the thing outweighs a passage about it.

    Args:
        cosines, lexical: as in `first_scores`, (n,) for the candidates.
        sentence_cosines: (n,) highest cosine of a sentence of each candidate.
        sentence_overlaps: (n,) highest share of the query's weighed terms that one sentence of it holds, 0..1.
        mean, spread: of the cosines of all passages for this query.
    Returns:
        (n,) float32, higher is better.
    """
    standard = (cosines - mean) / spread + SENTENCE_WEIGHT * (sentence_cosines - mean) / spread
    scores: NDArray[np.float32] = standard + LEXICAL_WEIGHT * lexical + OVERLAP_WEIGHT * sentence_overlaps
    return scores.astype(np.float32)


def spread(cosines: NDArray[np.float32]) -> float:
    """Standard deviation of `cosines`, 1 where there is none to measure by."""
    return (float(cosines.std()) if len(cosines) else 0.0) or 1.0


def standard_scores(cosines: NDArray[np.float32], among: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """`cosines` less the mean of those that they are held against, in standard deviations of those: (n,) float32.

    Args:
        among: what to hold them against; `cosines` themselves where None.
    """
    among = cosines if among is None else among
    return ((cosines - _mean(among)) / spread(among)).astype(np.float32)


def _mean(cosines: NDArray[np.float32]) -> float:
    return float(cosines.mean()) if len(cosines) else 0.0


def ranked_rows(scores: NDArray[np.float32], ids: Sequence[str], k: int) -> list[int]:
    """Rows of the `k` best scores, by score descending, then id ascending; rows of score -inf are left out."""
    n = min(k, len(scores))
    if n <= 0:
        return []
    threshold = np.partition(scores, len(scores) - n)[len(scores) - n]
    candidates = np.flatnonzero((scores >= threshold) & (scores > -np.inf))
    return sorted((int(row) for row in candidates), key=lambda row: (-float(scores[row]), ids[row]))[:n]
