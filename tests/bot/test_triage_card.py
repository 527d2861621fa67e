"""The emergency path by rules alone, without a model: it may never fail and never be empty."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.contacts import ContactList
from bot.texts import catalogue
from bot.triage import Triage
from bot.types import SITUATIONS, Conversation, Question
from retrieval import LANGUAGES, Lexicon

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
CONTACTS = ContactList.load(CORPUS / "contacts.yaml")
TRIAGE = Triage(Lexicon.load(CORPUS / "lexicon.yaml"))
NOBODY = Conversation("test")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("他们不让我走", "zh-Hans"),
        ("护照被收了", "zh-Hans"),
        ("passport nila kuha", "tl"),
        ("bi nhot o campuchia", "vi"),
        ("tolong saya dikurung", "ms"),
        ("help me they locked us in and took my passport", "en"),
    ],
)
def test_emergencies_are_found_without_a_model(text: str, language: str) -> None:
    assessment = TRIAGE.assess(Question(text, language), NOBODY)
    assert assessment.is_emergency
    assert not assessment.is_declined


@pytest.mark.parametrize(
    "text",
    ["12308怎么打", "园区里是什么样", "《孤注一掷》拍的是真事吗", "763人是哪天移交的", "What happens in compounds?"],
)
def test_calm_questions_raise_no_alarm(text: str) -> None:
    assessment = TRIAGE.assess(Question(text, "zh-Hans"), NOBODY)
    assert not assessment.is_emergency
    assert not assessment.is_declined


@given(st.text(max_size=400))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    question = Question(text, "zh-Hans")
    card = TRIAGE.card(question, TRIAGE.assess(question, NOBODY), CONTACTS)
    assert card.contacts


def test_every_card_holds_numbers_of_the_list_alone() -> None:
    cry = TRIAGE.assess(Question("救命，他们不让我走", "zh-Hans"), NOBODY)
    countries = [None, "MM", "KH", "TH", "LA", "PH", "MY", "ID", "VN", "AE", "CN", "BR"]
    known = set(CONTACTS.by_id)
    n = 0
    for language, nationality, country in itertools.product(LANGUAGES, [None, "CN", "VN", "KE", "XX"], countries):
        card = TRIAGE.card(Question("x", language, nationality, country), cry, CONTACTS)
        assert card.contacts
        assert {contact.contact_id for contact in card.contacts} <= known
        assert card.lines
        assert card.notice
        n += 1
    assert n == len(LANGUAGES) * 5 * len(countries)
    assert len(SITUATIONS) == 6


def test_no_fixed_text_misses_a_language() -> None:
    missing = [(key, language) for key, by in catalogue().items() for language in LANGUAGES if not by.get(language)]
    assert catalogue()
    assert missing == []


# On the plain texts of dev, which the phrases were written for; most of dev is worded indirectly, which phrases cannot know
# (0.22 and 0.09 of all). Measured less a margin: 0.721, 0.027; 0.432, 0.031.
@pytest.mark.parametrize(("kind", "recall", "alarms"), [("emergency", 0.70, 0.04), ("harm", 0.40, 0.05)])
def test_rules_alone_do_not_fall_below_what_was_measured(kind: str, recall: float, alarms: float) -> None:
    lines = (CORPUS / "eval" / f"{kind}-dev.jsonl").read_text("utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["id"].startswith(kind)]
    assert len(records) > 100
    found = {True: 0, False: 0}
    for record in records:
        assessment = TRIAGE.assess(Question(record["text"], record["lang"]), NOBODY)
        found[record["label"]] += assessment.is_emergency if kind == "emergency" else assessment.is_declined
    n = {label: sum(record["label"] is label for record in records) for label in (True, False)}
    assert found[True] / n[True] >= recall
    assert found[False] / n[False] <= alarms
