"""The measures on a case small enough to work out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import bot.evidence
from bot.evaluate import evaluate_sets, known_facts, page
from bot.evidence import Chance, Weights
from bot.triage import Triage
from bot.types import Conversation, Question
from retrieval import HashEmbedder, Index, Lexicon, Searcher

TRIAGE = Triage(Lexicon())
# In the tiny corpus the sentences of each article rest on the sources `one` or `two`.
BASE = {"lang": "zh-Hans", "style": "plain", "facts": ["one"]}
COVERED = [
    # The best sentence rests on `one`: right. The one after it rests on `two`: superfluous.
    {**BASE, "id": "c1", "question": "从境外拨打12308热线", "contains": ["12308"]},
    # The best sentence rests on `one`, not on `two`; the next of its passage does: cited, but not first.
    {**BASE, "id": "c2", "style": "typo", "question": "境外拨打12308热线国家代码", "facts": ["two"]},
    # Right, and the only sentence of its passage; the string that was wanted is not in it.
    {**BASE, "id": "c3", "lang": "en", "question": "Police in Cambodia answer on 117", "contains": ["911"]},
    # Nothing in it is in the corpus: found, but with no confidence.
    {**BASE, "id": "c4", "lang": "en", "question": "zzzz"},
    # No article tells this: left out, not wrong.
    {**BASE, "id": "c5", "lang": "en", "question": "Police in Cambodia", "facts": ["unknown"]},
]
UNCOVERED = [
    {"id": "u1", "lang": "zh-Hans", "style": "plain", "question": "qqqq", "facts": []},
    # A trap: all its words are in the corpus.
    {"id": "u2", "lang": "th", "style": "plain", "question": "ตำรวจท่องเที่ยวรับสาย 1155", "facts": []},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "equivalents.yaml").write_text("")
    for name, records in (("covered", COVERED), ("uncovered", UNCOVERED)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(r) for r in records), "utf-8")
    return tmp_path


@pytest.fixture
def searcher(tiny_index: Index, monkeypatch: pytest.MonkeyPatch) -> Searcher:
    plain = Weights({"overlap": 10.0}, 0.1, Chance({"bias": -4.0, "share": 8.0}, {}, 0.5))
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: plain)
    return Searcher(tiny_index, HashEmbedder(), Lexicon())


def test_measures_by_hand(searcher: Searcher, folder: Path) -> None:
    assert known_facts(searcher) == {"one", "two"}
    report = evaluate_sets(searcher, TRIAGE, folder, ["covered"], ["uncovered"])
    everything = report["all"]
    assert (everything["n"], everything["left_out"]) == (4.0, 1.0)
    assert everything["quoted"] == 1.0
    chinese = report["lang:zh-Hans"]
    assert chinese["n"] == 2.0
    assert (chinese["cites_first"], chinese["cites_any"]) == (0.5, 1.0)
    assert chinese["passage_first"] == 1.0
    assert chinese["superfluous"] == 0.5  # one of two sentences, twice
    assert chinese["sentences"] == 2.0
    assert chinese["contains"] == 1.0  # of the one that says what it wants
    assert chinese["answered"] == 1.0
    assert chinese["Success@1"] == 1.0
    typo = report["style:typo"]
    assert (typo["n"], typo["cites_first"], typo["cites_any"]) == (1.0, 0.0, 1.0)
    assert "contains" not in typo
    assert report["lang:en"]["answered"] == 0.5
    assert report["lang:en"]["contains"] == 0.0
    assert everything["heard"] == 1.0


def test_what_is_declined_is_not_answered(searcher: Searcher, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declined = replace(TRIAGE.assess(Question("12308", "en"), Conversation("")), is_declined=True)
    monkeypatch.setattr(Triage, "assess", lambda self, question, conversation: declined)
    report = evaluate_sets(searcher, TRIAGE, folder, ["covered"], [])
    assert (report["all"]["heard"], report["all"]["answered"]) == (0.0, 0.0)


def test_abstention_by_hand(searcher: Searcher, folder: Path) -> None:
    abstention = evaluate_sets(searcher, TRIAGE, folder, ["covered"], ["uncovered"])["abstention"]
    assert abstention["uncovered"] == 2.0
    assert abstention["answered_covered"] == 0.75
    assert abstention["answered_uncovered"] == 0.5
    # Eight pairs: c1, c2, c3 stand above u1, c4 ties with it; u2 is as sure as can be and at best tied.
    assert 3.5 / 8 <= abstention["auroc"] <= (3.5 + 3 / 2) / 8
    assert abstention["uncovered_answered_at_0.5"] == 0.5


def test_progress_and_the_printed_page(searcher: Searcher, folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    report = evaluate_sets(
        searcher, TRIAGE, folder, ["covered"], ["uncovered"], progress=lambda *step: told.append(step)
    )
    assert told == [
        *(("covered questions", n, 4) for n in range(1, 5)),
        *(("uncovered questions", n, 2) for n in range(1, 3)),
    ]
    lines = page(report, "a title").splitlines()
    assert lines[0] == "a title"
    assert {line.split()[0] for line in lines[2:]} >= {
        "all",
        "lang:en",
        "lang:zh-Hans",
        "style:typo",
        "abstention:",
    }
    assert "not in any article, left out: 1 questions" in lines


def test_without_uncovered_questions_nothing_is_said_of_abstention(searcher: Searcher, folder: Path) -> None:
    assert evaluate_sets(searcher, TRIAGE, folder, ["covered"], [])["abstention"] == {}


def test_the_same_every_time(searcher: Searcher, folder: Path) -> None:
    first = evaluate_sets(searcher, TRIAGE, folder, ["covered"], ["uncovered"])
    assert first == evaluate_sets(searcher, TRIAGE, folder, ["covered"], ["uncovered"])
