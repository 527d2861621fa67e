"""Fusion: one score from several signals, and a ranking that never depends on chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval import fusion
from retrieval.fusion import first_scores, fused_scores, language_habits, ranked_rows


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_first_scores_on_paper() -> None:
    # Mean 0.5, standard deviation 0.1.
    scores = first_scores(floats(0.4, 0.6), floats(0.5, 0.0), lexical_weight=4.0)
    assert scores == pytest.approx([-1 + 2, 1], abs=1e-5)


def test_without_a_lexical_signal_the_cosine_decides() -> None:
    scores = first_scores(floats(0.8, 0.9, 0.7), floats(0, 0, 0))
    assert np.argsort(-scores).tolist() == [1, 0, 2]


def test_equal_cosines_divide_by_nothing() -> None:
    assert np.isfinite(first_scores(floats(0.5, 0.5), floats(0.1, 0.0))).all()


def test_no_passages() -> None:
    assert first_scores(floats(), floats()).shape == (0,)
    assert fusion.spread(floats()) == 1.0


def test_fused_scores_on_paper() -> None:
    scores = fused_scores(floats(0.6), floats(0.2), floats(0.7), floats(0.5), mean=0.5, spread=0.1)
    expected = 1 + fusion.SENTENCE_WEIGHT * 2 + fusion.LEXICAL_WEIGHT * 0.2 + fusion.OVERLAP_WEIGHT * 0.5
    assert scores == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("signal", range(4))
def test_each_signal_raises_the_score(signal: int) -> None:
    low = [floats(0.5) for _ in range(4)]
    high = [floats(0.6) if i == signal else values for i, values in enumerate(low)]
    assert fused_scores(*high, mean=0.5, spread=0.1)[0] > fused_scores(*low, mean=0.5, spread=0.1)[0]


def test_one_language_has_no_habit_and_the_nearer_of_two_has() -> None:
    cosines = floats(0.9, 0.9, 0.7, 0.7)
    assert language_habits(cosines, np.zeros(4, dtype=np.int64)) == pytest.approx([0], abs=1e-6)
    near, far = language_habits(cosines, np.array([0, 0, 1, 1]))
    assert near > 0 > far


def test_ties_are_broken_by_id() -> None:
    scores = floats(1, 2, 1, 2, 1)
    ids = ["e", "d", "c", "b", "a"]
    assert ranked_rows(scores, ids, 5) == [3, 1, 4, 2, 0]
    # Also where the tie crosses the end of the list.
    assert ranked_rows(scores, ids, 3) == [3, 1, 4]


def test_hidden_rows_are_left_out() -> None:
    assert ranked_rows(floats(-np.inf, 1, -np.inf), ["a", "b", "c"], 3) == [1]


@given(st.lists(st.floats(-5, 5, width=16), max_size=40), st.integers(-1, 50))
def test_ranking_equals_sorting(values: list[float], k: int) -> None:
    ids = [f"{i * 7919 % 101:03}#{i}" for i in range(len(values))]
    scores = np.array(values, dtype=np.float32)
    expected = sorted(range(len(values)), key=lambda row: (-scores[row], ids[row]))[: max(k, 0)]
    assert ranked_rows(scores, ids, k) == expected
