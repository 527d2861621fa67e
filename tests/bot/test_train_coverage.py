"""From which questions is learned what our own articles cover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bot.train_coverage
from bot.question_set import read_questions
from bot.train_coverage import HELD_OUT, asked_for, lessons, main, much_alike
from bot.train_evidence import COVERED, UNCOVERED
from bot.train_reranker import PAIRED
from retrieval.coverage import Coverage
from retrieval.training import OwnSentences
from retrieval.types import Reading
from tests.bot.test_question_set import SETS

EVAL = Path(__file__).resolve().parents[2] / "corpus" / "eval"


def test_texts_with_most_pairs_of_letters_in_common_are_much_alike() -> None:
    others = ["护照被老板收走了怎么办", "How do I call 12308?"]
    texts = [
        "护照被老板收走了咋办",
        "how do I call 12308",
        "How do I call 96110 from Laos",
        "护照",
        "",
        "办",
        "护 照，被老 板收走了。怎-么-办",
    ]
    assert much_alike(texts, others) == [True, True, False, False, False, False, True]
    assert much_alike(["abcd"], []) == [False]


@pytest.mark.slow
def test_nothing_is_learned_that_the_evidence_is_fitted_on_or_all_is_judged_by() -> None:
    """And enough is left of both kinds."""
    learned = lessons(EVAL)
    sets = sorted(path.stem for path in SETS if path.stem not in PAIRED)
    assert sets == sorted((*COVERED, *UNCOVERED, *HELD_OUT))
    apart = [q.question for name in sets for q in read_questions(EVAL, name)]
    assert not any(much_alike([judged.question for judged in learned[::20]], apart))
    n_covered = sum(bool(judged.facts) for judged in learned)
    assert n_covered > 15_000
    assert len(learned) - n_covered > 20_000


def test_sentences_that_nobody_asks_for_are_not_learned_of() -> None:
    judged = replace(read_questions(EVAL, "dev")[0], facts=frozenset({"a", "b"}))
    sources = [frozenset(keys) for keys in (["a--2"], ["c", "b"], ["c"], [])]
    own = OwnSentences(["甲", "乙", "丙", "丁"], ["x"] * 4, sources, [])
    assert asked_for([judged], own) == ["甲", "乙"]
    assert asked_for([], own) == []


class Reader:
    """A model whose tokens say whether a text has a question mark."""

    name = "tells marks"

    def read_query(self, text: str) -> Reading:
        marks = [[4.0 if letter == "?" else 0.0, float(n % 2)] for n, letter in enumerate(text)]
        vector = np.ones(3, np.float32) / np.sqrt(np.float32(3))
        return Reading(vector, np.array(marks, np.float32), vector)

    def embed_query(self, text: str) -> np.ndarray:
        return self.read_query(text).vector


def test_what_is_learned_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = read_questions(EVAL, "dev")[0]
    texts = [(f"ab{n}" + "?" * (n % 2), frozenset("f") if n % 2 else frozenset()) for n in range(600)]
    learned = [replace(judged, question=text, history=(), facts=facts) for text, facts in texts]
    own = OwnSentences(["甲"], ["x"], [frozenset("f")], [])
    monkeypatch.setattr(OwnSentences, "read", lambda data: own)
    path, sentences = tmp_path / "coverage.txt", tmp_path / "sentences.txt"
    monkeypatch.setattr(bot.train_coverage, "lessons", lambda folder: learned)
    monkeypatch.setattr(bot.train_coverage, "load_embedder", lambda path, data: Reader())
    monkeypatch.setattr(bot.train_coverage, "COVERAGE_FILE", path)
    monkeypatch.setattr(bot.train_coverage, "SENTENCES_FILE", sentences)
    monkeypatch.setattr(bot.train_coverage, "N_ROUNDS", 6)
    main(tmp_path)
    coverage = Coverage.load(path, sentences)
    assert coverage.knows("甲")
    assert len(coverage.networks) == bot.train_coverage.N_NETWORKS
    read = Reader().read_query
    tokens = [read(text).tokens for text in ("xy?", "xy")]
    asks, tells = (coverage.log_odds(found) for found in tokens if found is not None)
    assert asks > 0.5 > -0.5 > tells
