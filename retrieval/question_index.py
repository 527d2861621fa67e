"""Which known questions are near a query: first by the mean of those of each sentence, then one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.dense import DenseIndex, VectorIndex
from retrieval.fusion import habits_of
from retrieval.store import QuestionRow
from retrieval.vectors import to_unit_rows

# Sentences whose questions are looked at one by one: those whose mean question is nearest. On dev, with 300 as many first
# sentences are right (0.912; 0.913 with 150) and as many questions without an answer are told; means included, a twelfth
# is read.
N_NEAR = 150
# Sentences of which the nearest question is told, and whose passages are looked at.
N_ASKED = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """How near the known questions of each sentence that has any are to a query: arrays over those sentences.

    Attributes:
        sentence_rows: (n,) their rows in the index.
        means: (n,) float32, cosine of the query with the mean of the questions of each.
        nearness: (n,) float32, that of the nearest question, less what its language adds; for sentences beyond `N_NEAR`
            that of the mean, which is lower.
        nearest: the nearest question and its cosine for the `N_ASKED` nearest sentences, by row in the index.
    """

    sentence_rows: NDArray[np.int64]
    means: NDArray[np.float32]
    nearness: NDArray[np.float32]
    nearest: dict[int, tuple[int, float]]


class KnownQuestionIndex:
    """The known questions of an index; those of a sentence stand together, in the order of the sentences."""

    def __init__(self, questions: Sequence[QuestionRow], vectors: VectorIndex) -> None:
        """Of one question at least."""
        self._vectors = vectors
        self._of_sentence = np.array([question.sentence_row for question in questions], dtype=np.int64)
        self._sentence_rows, self._starts = np.unique(self._of_sentence, return_index=True)
        self._counts = np.diff(self._starts, append=len(questions))
        points = vectors.vectors(np.arange(len(questions)))
        self._means = DenseIndex.build(to_unit_rows(np.add.reduceat(points, self._starts, axis=0)))
        languages, self._language_of = np.unique([question.language for question in questions], return_inverse=True)
        self.rows_of = {
            str(language): np.flatnonzero(self._language_of == number) for number, language in enumerate(languages)
        }
        self._language_counts = np.bincount(self._language_of)
        self._language_means = np.stack([points[rows].mean(axis=0) for rows in self.rows_of.values()])

    def near(self, point: NDArray[np.float32]) -> Asked:
        """What the unit vector `point` (d,) of a query is near to."""
        means = self._means.cosines(point)
        near = np.sort(np.argpartition(-means, min(N_NEAR, len(means) - 1))[:N_NEAR])
        counts = self._counts[near]
        ends = counts.cumsum()
        starts = ends - counts
        rows = np.arange(ends[-1]) + np.repeat(self._starts[near] - starts, counts)
        cosines = self._vectors.vectors(rows) @ point
        habits = habits_of(self._language_means @ point, self._language_counts)
        found = cosines - habits[self._language_of[rows]]
        best = np.maximum.reduceat(found, starts)
        nearness = means.copy()
        nearness[near] = best
        nearest: dict[int, tuple[int, float]] = {}
        for i in np.argpartition(-best, min(N_ASKED, len(best) - 1))[:N_ASKED]:
            chosen = starts[i] + int(found[starts[i] : ends[i]].argmax())
            nearest[int(self._sentence_rows[near[i]])] = int(rows[chosen]), float(cosines[chosen])
        return Asked(self._sentence_rows, means, nearness, nearest)

    def nearest_of_each(self, point: NDArray[np.float32], language: str) -> Iterator[int]:
        """The nearest known question in `language` of each sentence that has any, by row, nearest first."""
        rows = self.rows_of.get(language)
        if rows is None:
            return
        cosines = self._vectors.cosines(point)[rows]
        # Those of a sentence stand together.
        starts = np.flatnonzero(np.diff(self._of_sentence[rows], prepend=-1))
        ends = np.append(starts[1:], len(rows))
        # There are far fewer sentences to put in order than questions.
        for i in np.argsort(-np.maximum.reduceat(cosines, starts), kind="stable").tolist():
            yield int(rows[starts[i] + cosines[starts[i] : ends[i]].argmax()])
