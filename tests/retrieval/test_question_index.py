"""The nearest known questions: the same as by looking at all, though only some are looked at."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import question_index
from retrieval.dense import DenseIndex
from retrieval.fusion import language_habits
from retrieval.question_index import KnownQuestionIndex
from retrieval.store import QuestionRow
from retrieval.vectors import to_unit_rows

# Sentences 3, 6, 9, … have five questions each, in two languages.
ROWS = [QuestionRow(3 * (1 + i // 5), "en" if i % 5 < 3 else "zh-Hans", f"question {i}") for i in range(400)]
SENTENCES = np.array([row.sentence_row for row in ROWS])


@pytest.fixture
def points() -> NDArray[np.float32]:
    """(400, 16): the questions of a sentence lie around one place."""
    chance = np.random.default_rng(0)
    places = np.repeat(chance.normal(size=(80, 16)), 5, axis=0)
    return to_unit_rows((places + 0.3 * chance.normal(size=(400, 16))).astype(np.float32))


def less_habits(points: NDArray[np.float32], point: NDArray[np.float32]) -> NDArray[np.float32]:
    """(400,) cosines without what the language adds, by looking at all."""
    cosines = points @ point
    languages = np.array([row.language == "en" for row in ROWS], dtype=np.int64)
    return cosines - language_habits(cosines, languages)[languages]


@pytest.mark.parametrize("n_near", [10, 80, 300])
def test_the_nearest_questions_are_those_of_all(
    points: NDArray[np.float32], n_near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question_index, "N_NEAR", n_near)
    index = KnownQuestionIndex(ROWS, DenseIndex.build(points))
    for point in points[::37]:
        every = less_habits(points, point)
        best = int(every.argmax())
        found = index.near(point)
        assert found.sentence_rows.tolist() == sorted(set(SENTENCES.tolist()))
        row, cosine = found.nearest[int(SENTENCES[best])]
        assert row == best
        assert cosine == pytest.approx(float(points[best] @ point), abs=1e-5)
        assert found.sentence_rows[found.nearness.argmax()] == SENTENCES[best]
        assert found.nearness.max() == pytest.approx(float(every[best]), abs=1e-5)
        assert len(found.nearest) == min(n_near, question_index.N_ASKED)


def test_what_is_far_is_as_near_as_its_mean(points: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_index, "N_NEAR", 10)
    found = KnownQuestionIndex(ROWS, DenseIndex.build(points)).near(points[0])
    far = np.isclose(found.nearness, found.means, atol=1e-7)
    assert far.sum() == 70
    of_first = to_unit_rows(points[:5].sum(axis=0)[None])[0]
    assert found.means[0] == pytest.approx(float(of_first @ points[0]), abs=1e-5)


def test_one_question_is_enough() -> None:
    found = KnownQuestionIndex(ROWS[:1], DenseIndex.build(np.eye(1, 16, dtype=np.float32))).near(np.eye(16)[0])
    assert found.nearest == {3: (0, 1.0)}


def test_the_nearest_of_each_sentence_within_a_language(points: NDArray[np.float32]) -> None:
    index = KnownQuestionIndex(ROWS, DenseIndex.build(points))
    for point in points[::37]:
        in_order = np.argsort(-(points @ point), kind="stable").tolist()
        expected: dict[int, int] = {}
        for row in in_order:
            if ROWS[row].language == "zh-Hans":
                expected.setdefault(ROWS[row].sentence_row, row)
        assert list(index.nearest_of_each(point, "zh-Hans")) == list(expected.values())
    assert list(index.nearest_of_each(points[3], "km")) == []
