"""BM25 against sums on paper."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.lexical import K1, B, LexicalIndex, TermTable, idf

# Three passages of 2, 4 and 3 terms: the mean length is 3.
PASSAGES = [["park", "police"], ["park", "park", "park", "call"], ["visa", "debt", "call"]]


def weight(tf: int, length: int, mean_length: float = 3.0) -> float:
    return tf / (tf + K1 * (1 - B + B * length / mean_length))


def test_idf_on_paper() -> None:
    assert idf(1, 3) == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert idf(3, 3) == pytest.approx(math.log(1 + 0.5 / 3.5))
    assert idf(0, 3) > idf(1, 3) > idf(2, 3) > idf(3, 3) > 0


def test_scores_on_paper() -> None:
    index = LexicalIndex.build(PASSAGES)
    park, police = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    expected = [
        (park * weight(1, 2) + police * weight(1, 2)) / (park + police),
        park * weight(3, 4) / (park + police),
        0.0,
    ]
    assert index.scores(["park", "police"]) == pytest.approx(expected, rel=1e-5)
    # By hand: 1 / (1 + 1.2 * (0.25 + 0.75 * 2/3)) = 1 / 1.9
    assert index.scores(["police"])[0] == pytest.approx(1 / 1.9, rel=1e-5)


def test_a_term_that_no_passage_has_counts_in_the_whole() -> None:
    index = LexicalIndex.build(PASSAGES)
    alone, diluted = index.scores(["police"])[0], index.scores(["police", "mystery"])[0]
    police, mystery = idf(1, 3), idf(0, 3)
    assert diluted == pytest.approx(alone * police / (police + mystery), rel=1e-5)
    assert not index.knows("mystery")
    assert index.knows("police")


def test_repeats_in_the_query_count_once() -> None:
    index = LexicalIndex.build(PASSAGES)
    assert np.array_equal(index.scores(["police", "police", "park"]), index.scores(["police", "park"]))


@pytest.mark.parametrize("query", [[], ["mystery"]])
def test_nothing_known_scores_nothing(query: list[str]) -> None:
    scores = LexicalIndex.build(PASSAGES).scores(query)
    assert scores.tolist() == [0.0, 0.0, 0.0]
    assert scores.dtype == np.float32


WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
def test_scores_are_shares_and_equal_the_sum(passages: list[list[str]], query: list[str]) -> None:
    index = LexicalIndex.build(passages)
    scores = index.scores(query)
    assert scores.shape == (len(passages),)
    assert ((scores >= 0) & (scores <= 1)).all()
    distinct = set(query)
    most = sum(index.idf(term) for term in distinct)
    mean_length = sum(map(len, passages)) / len(passages)
    for score, passage in zip(scores, passages, strict=True):
        held = [term for term in distinct if term in passage]
        total = sum(index.idf(t) * weight(passage.count(t), len(passage), mean_length) for t in held)
        assert score == pytest.approx(total / most if most else 0.0, abs=1e-5)


@pytest.mark.parametrize("passages", [PASSAGES, [], [[]], [["缅北", "\ue000places:myanmar", "5.3"]]])
def test_saved_and_loaded(tmp_path: Path, passages: list[list[str]]) -> None:
    index = LexicalIndex.build(passages)
    index.save(tmp_path / "lexical")
    loaded = LexicalIndex.load(tmp_path / "lexical")
    query = ["park", "call", "缅北", "\ue000places:myanmar", "none"]
    assert np.array_equal(loaded.scores(query), index.scores(query))
    assert loaded.n_passages == len(passages)
    assert [loaded.idf(term) for term in query] == [index.idf(term) for term in query]


def test_shares_of_terms_on_paper(tmp_path: Path) -> None:
    table = TermTable.build(PASSAGES)
    weights = {"park": 1.0, "call": 2.0, "none": 1.0}
    assert table.shares(weights).tolist() == [0.25, 0.75, 0.5]
    assert table.shares({}).tolist() == [0.0, 0.0, 0.0]
    table.save(tmp_path / "terms.npz")
    assert TermTable.load(tmp_path / "terms.npz").shares(weights).tolist() == [0.25, 0.75, 0.5]


@pytest.mark.parametrize("rows", [[], [[]], [[], ["缅北"]]])
def test_tables_with_little_in_them(tmp_path: Path, rows: list[list[str]]) -> None:
    TermTable.build(rows).save(tmp_path / "terms.npz")
    loaded = TermTable.load(tmp_path / "terms.npz")
    assert loaded.shares({"缅北": 1.0}).tolist() == [float("缅北" in row) for row in rows]
