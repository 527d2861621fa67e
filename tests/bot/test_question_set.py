"""Judged questions: what is read, and what counts as holding a string."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.errors import BotError
from bot.question_set import fact_keys, holds_any, read_questions
from bot.train_reranker import PAIRED
from retrieval.known_questions import question_paths, read_questions_file

CORPUS_EVAL = Path(__file__).resolve().parents[2] / "corpus" / "eval"
SETS = [
    path
    for path in CORPUS_EVAL.glob("*.jsonl")
    if not path.stem.startswith(("offers", "emergency", "harm", "situation", "follow_up"))
]
RECORD = {"id": "q1", "lang": "en", "style": "plain", "question": "Whom do I call?", "facts": ["one"]}


def written(folder: Path, *records: Any, equivalents: str = "") -> Path:
    (folder / "equivalents.yaml").write_text(equivalents)
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n\n")
    return folder


def test_a_question_is_read(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {**RECORD, "contains": ["117"], "history": ["In Cambodia?"]},
        {**RECORD, "id": "q2", "facts": []},
    )
    first, second = read_questions(folder, "set")
    assert (first.question_id, first.language, first.style) == ("q1", "en", "plain")
    assert (first.facts, first.contains, first.history) == ({"one"}, ("117",), ("In Cambodia?",))
    assert (second.facts, second.contains, second.history) == (frozenset(), (), ())


def test_equivalent_facts_count_too(tmp_path: Path) -> None:
    folder = written(tmp_path, RECORD, equivalents="one: [two, three]\nfour: [five]\n")
    assert read_questions(folder, "set")[0].facts == {"one", "two", "three"}


@pytest.mark.parametrize(
    "line", ["{", "[]", '"text"', "5", "null", '{"id": "q"}', json.dumps({**RECORD, "facts": None})]
)
def test_a_malformed_set_is_refused_by_name(tmp_path: Path, line: str) -> None:
    with pytest.raises(BotError, match=r"set\.jsonl"):
        read_questions(written(tmp_path, RECORD, line), "set")


def test_a_missing_set_or_damaged_equivalents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BotError, match=r"none\.jsonl"):
        read_questions(written(tmp_path, RECORD), "none")
    with pytest.raises(BotError):
        read_questions(written(tmp_path, RECORD, equivalents="[: ["), "set")
    with pytest.raises(BotError):
        read_questions(written(tmp_path, RECORD, equivalents="- a list"), "set")
    (tmp_path / "set.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(BotError):
        read_questions(tmp_path, "set")


def test_fact_keys_are_without_the_mark_of_a_second_source() -> None:
    assert fact_keys(["one", "one--2", "two--3", "three-four"]) == {"one", "two", "three-four"}
    assert fact_keys([]) == set()


@pytest.mark.parametrize(
    ("text", "strings", "holds"),
    [
        ("拨打12308热线", ["12308"], True),
        ("拨打+86-10-12308。", ["12308"], False),  # a number stands whole
        ("拨打+86 10 12308。", ["861012308"], True),
        ("Call 02 123 4567", ["02-123-4567"], True),
        ("抓获1079人", ["1079"], True),
        ("抓获21079人", ["1079"], False),
        ("抓获10791人", ["1079"], False),
        ("3.5%", ["5"], False),
        ("1,079 people", ["079"], False),
        ("In MARCH they left", ["march"], True),
        ("它说.*", [".*"], True),
        ("它说什么", [".*"], False),
        ("甲", ["乙", "甲"], True),
        ("甲", [], False),
        ("", ["甲"], False),
    ],
)
def test_holds_any(text: str, strings: list[str], holds: bool) -> None:
    assert holds_any(text, strings) is holds


@pytest.mark.parametrize("path", sorted(SETS), ids=lambda path: path.stem)
def test_the_sets_of_the_corpus_are_whole(path: Path) -> None:
    questions = read_questions(CORPUS_EVAL, path.stem)
    assert len(questions) >= 60
    ids = [q.question_id for q in questions]
    assert len(ids) == len(set(ids))
    assert all(q.question.strip() for q in questions)
    if path.stem.endswith("uncovered"):
        assert not any(q.facts for q in questions)


def test_there_are_sets_to_look_at() -> None:
    assert {path.stem for path in SETS} >= {"dev", "dev-uncovered", "test", "test-uncovered", "main-60"}


def test_nothing_held_out_is_learned_from() -> None:
    """No question of a test set stands among the known questions or in what the reranker learns from."""

    def wording(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum())

    learned = {
        wording(question)
        for path in question_paths(CORPUS_EVAL.parent / "questions")
        for questions in read_questions_file(path).values()
        for question in questions
    }
    learned |= {wording(q.question) for name in PAIRED for q in read_questions(CORPUS_EVAL, name)}
    assert len(learned) > 50_000
    held_out = [path.stem for path in SETS if not path.stem.startswith("dev")]
    assert len(held_out) >= 6
    alone = [q for name in held_out for q in read_questions(CORPUS_EVAL, name) if not q.history]
    assert [q.question_id for q in alone if wording(q.question) in learned] == []
