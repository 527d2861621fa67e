"""The joined bot over a tiny index, with a triage that says what the test wants and weights given by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bot.evidence
from bot.answer import MAX_CONTACTS, Answerer
from bot.contacts import ContactList
from bot.emergency import EmergencyCard
from bot.evidence import Chance, Evidence, Weights, choose
from bot.offer import OfferChecker
from bot.signs import SignList
from bot.suggestions import MAX_SUGGESTIONS
from bot.texts import text
from bot.triage import Assessment
from bot.types import Answer, Contact, Conversation, Question, Turn
from bot.view import View
from bot.whereabouts import Whereabouts
from retrieval import (
    EmbedderError,
    HashEmbedder,
    Index,
    IndexMissingError,
    KnownQuestion,
    Lexicon,
    RetrievalError,
    Searcher,
    build_index,
)

CONTACTS = ContactList.load(Path(__file__).resolve().parents[2] / "corpus" / "contacts.yaml")
CALM = Assessment(
    situation="general",
    is_follow_up=False,
    is_emergency=False,
    is_declined=False,
    is_watched=False,
    is_self_harm=False,
    is_violence=False,
    is_second_scam=False,
    notice=None,
    shows_contacts=False,
)
COVERED = "从境外拨打12308热线"
UNCOVERED = "巧克力蛋糕"


class FakeTriage:
    """Assesses everything in one way, and gives a card of its own."""

    def __init__(self, **said: Any) -> None:
        self.assessment = replace(CALM, **said)
        self.asked: list[tuple[Question, Conversation]] = []

    def assess(self, question: Question, conversation: Conversation) -> Assessment:
        self.asked.append((question, conversation))
        return self.assessment

    def card(self, question: Question, assessment: Assessment, contacts: ContactList) -> EmergencyCard:
        return EmergencyCard(contacts.contacts[:2], ("a line of the card",), "the notice of the card")

    def whereabouts(self, question: Question) -> Whereabouts:
        return Whereabouts(question.nationality, question.country)

    def surrender_contacts(self, question: Question, contacts: ContactList) -> tuple[Contact, ...]:
        return contacts.contacts[3:4]


@pytest.fixture(autouse=True)
def _plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Weights({"overlap": 10.0}, 1.0, Chance({"bias": -4.0, "share": 8.0}, {}, 0.5))
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: plain)


QUESTIONS = {
    "tiny-hotline": ("zh-Hans", ["境外怎么拨12308", "国家代码加在哪"]),
    "tiny-en-call": ("en", ["Police in Cambodia: 117 in which languages", "Whom do I call?"]),
}


@pytest.fixture
def searcher(tiny_index: Index) -> Searcher:
    """Over the tiny index, with questions known of the first sentence of two articles."""
    articles = [
        replace(article, questions=tuple(KnownQuestion(text, language, 0) for text in texts))
        for article in tiny_index.articles.values()
        for language, texts in [QUESTIONS.get(article.article_id, ("", []))]
    ]
    return Searcher(build_index(articles, HashEmbedder(), Lexicon()), HashEmbedder(), Lexicon())


Ask = Callable[..., Answer]


@pytest.fixture
def ask(searcher: Searcher) -> Ask:
    """Asks one question of an answerer whose triage says `said`."""

    def asked(words: str, language: str = "zh-Hans", *, without: tuple[str, ...] = (), **said: Any) -> Answer:
        answerer = Answerer(lambda: View(searcher, frozenset(without)), CONTACTS, FakeTriage(**said))  # type: ignore[arg-type]
        answer, _ = answerer.answer(Question(words, language), Conversation("c"))
        check(answer, searcher)
        return answer

    return asked


def check(answer: Answer, searcher: Searcher) -> None:
    """What is always true of an answer (CONTRACT §2)."""
    assert answer.answer_id
    assert 0.0 <= answer.confidence <= 1.0
    assert [c.n for c in answer.citations] == list(range(1, len(answer.citations) + 1))
    uses = dict.fromkeys(n for s in answer.sentences for n in s.citations)
    assert list(uses) == [c.n for c in answer.citations]
    for sentence in answer.sentences:
        assert sentence.citations
        assert all(sentence.text in answer.citations[n - 1].quote for n in sentence.citations)
    for citation in answer.citations:
        article = searcher.index.articles[citation.article_id]
        assert citation.quote == article.text[citation.start : citation.end]
    assert all(CONTACTS.by_id[c.contact_id] == c for c in answer.contacts)
    if answer.status == "answered":
        assert answer.sentences
    elif answer.status == "emergency":
        assert answer.contacts
    else:
        assert answer.sentences == answer.citations == ()
        assert answer.notice
    assert len(answer.suggestions) <= MAX_SUGGESTIONS


def test_what_is_covered_is_answered_with_quotes_alone(ask: Ask) -> None:
    answer = ask(COVERED)
    assert (answer.status, answer.notice, answer.contacts, answer.card) == ("answered", None, (), ())
    assert answer.sentences[0].text == "从境外拨打12308热线，要先加上中国的国家代码。"
    assert answer.citations[0].article_id == "tiny-hotline"
    assert answer.citations[0].sources[0].publisher == "甲报"
    assert answer.confidence > 0.5


def test_what_is_not_covered_says_so_and_whom_to_ask(ask: Ask) -> None:
    answer = ask(UNCOVERED)
    assert answer.status == "not_covered"
    assert answer.notice == text("not_covered", "zh-Hans")
    assert 0 < len(answer.contacts) <= MAX_CONTACTS
    assert answer.confidence < 0.5


def test_an_emergency_shows_the_card_with_or_without_quotes(ask: Ask) -> None:
    for words in (COVERED, UNCOVERED):
        answer = ask(words, is_emergency=True, situation="trapped")
        assert (answer.status, answer.situation) == ("emergency", "trapped")
        assert answer.contacts == CONTACTS.contacts[:2]
        assert answer.card == ("a line of the card",)
        assert answer.notice == "the notice of the card"
        assert bool(answer.sentences) is (words == COVERED)


def test_a_harmful_request_is_declined_unsearched(searcher: Searcher) -> None:
    def view() -> View:
        raise AssertionError("nothing is searched for those who would harm")

    answerer = Answerer(view, CONTACTS, FakeTriage(is_declined=True))  # type: ignore[arg-type]
    answer, conversation = answerer.answer(Question(COVERED, "en"), Conversation("c"))
    check(answer, searcher)
    assert (answer.status, answer.notice) == ("declined", text("declined", "en"))
    assert answer.contacts == CONTACTS.contacts[3:4]
    assert answer.suggestions == ()
    assert len(conversation.turns) == 1


OFFER = "高薪招聘客服，去缅甸，月薪三万，不要经验，包机票，别告诉家里"
OFFERS = OfferChecker(SignList.load(), Lexicon(), CONTACTS)


@pytest.mark.parametrize("nationality", [None, "VN"])
def test_a_pasted_offer_is_checked(searcher: Searcher, nationality: str | None) -> None:
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage(), OFFERS)  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(OFFER, "zh-Hans", nationality), Conversation("c"))
    check(answer, searcher)
    assert answer.offer == OFFERS.check(OFFER, language="zh-Hans", nationality=nationality)
    assert answer.offer.verdict == "high_risk"
    assert (answer.status, answer.situation, answer.suggestions) == ("not_covered", "weighing-offer", ())
    assert answer.notice == answer.offer.notice
    assert answer.contacts == answer.offer.contacts != ()
    # Where the check knows of none for the reader, those of every answer.
    answer, _ = answerer.answer(Question(OFFER, "en"), Conversation("c"))
    assert answer.offer is not None
    assert answer.contacts
    assert answer.offer.contacts == ()


def test_other_questions_bring_no_check(searcher: Searcher) -> None:
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage(), OFFERS)  # type: ignore[arg-type]
    for words in (COVERED, UNCOVERED):
        answer, _ = answerer.answer(Question(words, "zh-Hans"), Conversation("c"))
        assert answer.offer is None


@pytest.mark.parametrize(
    ("said", "status", "is_checked"),
    [
        ({"is_emergency": True, "situation": "trapped"}, "emergency", True),
        ({"is_declined": True}, "declined", False),
        ({"is_second_scam": True, "notice": "beware"}, "not_covered", True),
    ],
)
def test_card_refusal_and_warning_come_before_the_check(
    searcher: Searcher, said: dict[str, Any], status: str, is_checked: bool
) -> None:
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage(**said), OFFERS)  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(OFFER, "zh-Hans"), Conversation("c"))
    assert (answer.status, answer.offer is not None) == (status, is_checked)
    if status == "emergency":
        assert answer.contacts == CONTACTS.contacts[:2]
        assert answer.notice == "the notice of the card"
    if status == "not_covered":
        assert answer.notice == "beware"


def test_what_is_asked_with_an_offer_is_answered_beside_it(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OfferChecker, "looks_like_offer", lambda self, text, *, strictly: strictly)
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage(), OFFERS)  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(COVERED, "zh-Hans"), Conversation("c"))
    check(answer, searcher)
    assert answer.status == "answered"
    assert answer.offer is not None
    assert answer.notice == answer.offer.notice
    # What nothing answers is looked at less strictly.
    monkeypatch.setattr(OfferChecker, "looks_like_offer", lambda self, text, *, strictly: not strictly)
    answer, _ = answerer.answer(Question(UNCOVERED, "zh-Hans"), Conversation("c"))
    assert answer.offer is not None


def test_an_offer_is_checked_without_an_index() -> None:
    def broken() -> View:
        raise IndexMissingError("no index")

    answerer = Answerer(broken, CONTACTS, FakeTriage(), OFFERS)  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(OFFER, "zh-Hans"), Conversation("c"))
    assert answer.offer is not None
    assert answer.offer.verdict == "high_risk"
    with pytest.raises(IndexMissingError):
        answerer.answer(Question(COVERED, "zh-Hans"), Conversation("c"))


def test_a_second_scam_is_warned_of_where_nothing_answers(ask: Ask) -> None:
    for words in (COVERED, UNCOVERED):
        assert ask(words, is_second_scam=True, notice="beware", shows_contacts=True).notice == "beware"


@pytest.mark.parametrize("error", [IndexMissingError("no index"), EmbedderError("no model")])
def test_without_an_index_the_error_is_told_but_an_emergency_gets_its_card(error: RetrievalError) -> None:
    def broken() -> View:
        raise error

    with pytest.raises(type(error)):
        Answerer(broken, CONTACTS, FakeTriage()).answer(Question(COVERED, "en"), Conversation("c"))  # type: ignore[arg-type]
    triage = FakeTriage(is_emergency=True, situation="trapped")
    answer, conversation = Answerer(broken, CONTACTS, triage).answer(Question(COVERED, "en"), Conversation("c"))  # type: ignore[arg-type]
    assert (answer.status, answer.contacts) == ("emergency", CONTACTS.contacts[:2])
    assert answer.sentences == ()
    assert conversation.turns[-1].situation == "trapped"


def test_a_model_that_breaks_while_searching_does_not_hold_up_the_card(tiny_index: Index) -> None:
    class Broken(HashEmbedder):
        def embed_query(self, words: str) -> Any:
            raise EmbedderError("broken")

    view = View(Searcher(tiny_index, Broken(), Lexicon()))
    triage = FakeTriage(is_emergency=True)
    answer, _ = Answerer(lambda: view, CONTACTS, triage).answer(Question(COVERED, "en"), Conversation("c"))  # type: ignore[arg-type]
    assert answer.status == "emergency"


@pytest.mark.parametrize(
    ("words", "language", "key"),
    [
        (COVERED, "zh-Hans", None),
        (COVERED, "zh-Hant", None),
        (COVERED, "en", "fallback_zh-Hans"),
        (COVERED, "vi", "fallback_zh-Hans"),
        ("Police in Cambodia answer on 117", "en", None),
        ("Police in Cambodia answer on 117", "th", "fallback_en"),
        ("ตำรวจท่องเที่ยวรับสาย 1155", "en", "fallback_other"),
    ],
)
def test_a_quote_in_another_language_says_so_in_the_readers(
    ask: Ask, words: str, language: str, key: str | None
) -> None:
    answer = ask(words, language)
    assert answer.status == "answered"
    assert answer.language == language
    assert answer.notice == (None if key is None else text(key, language))


def test_a_warning_goes_before_the_note_on_the_language(ask: Ask) -> None:
    answer = ask(COVERED, "en", notice="Beware.", is_second_scam=True, shows_contacts=True)
    assert (answer.status, answer.notice) == ("answered", "Beware.")
    assert answer.contacts


def test_withdrawn_articles_never_appear(ask: Ask) -> None:
    before = ask(COVERED)
    assert {c.article_id for c in before.citations} == {"tiny-hotline"}
    assert set(ask(UNCOVERED).suggestions) & set(QUESTIONS["tiny-hotline"][1])
    for words in (COVERED, "领事热线", UNCOVERED):
        for is_emergency in (False, True):
            after = ask(words, without=("tiny-hotline",), is_emergency=is_emergency)
            assert "tiny-hotline" not in {c.article_id for c in after.citations}
            assert not set(after.suggestions) & set(QUESTIONS["tiny-hotline"][1])
            assert all("12308" not in s.text for s in after.sentences)


def test_when_everything_is_withdrawn_nothing_is_shown(ask: Ask, tiny_index: Index) -> None:
    answer = ask(COVERED, without=tuple(tiny_index.articles))
    assert (answer.status, answer.suggestions) == ("not_covered", ())


def test_a_sentence_that_is_not_in_its_quote_is_never_shown(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = searcher.find

    def changed(*arguments: Any, **named: Any) -> Any:
        hits, sentences = real(*arguments, **named)
        return hits, [replace(s, text=s.text + "（改）") for s in sentences]

    monkeypatch.setattr(searcher, "find", changed)
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage())  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(COVERED, "zh-Hans"), Conversation("c"))
    check(answer, searcher)
    assert answer.status == "not_covered"
    assert answer.contacts


def test_the_conversation_grows_and_keeps_what_was_said_of_the_person(searcher: Searcher) -> None:
    triage = FakeTriage(situation="family")
    answerer = Answerer(lambda: View(searcher), CONTACTS, triage)  # type: ignore[arg-type]
    conversation = Conversation("c")
    _, conversation = answerer.answer(Question(COVERED, "zh-Hans", "CN", "MM"), conversation)
    assert conversation.turns == (Turn(COVERED, ("tiny-hotline",), "family"),)
    _, conversation = answerer.answer(Question(UNCOVERED, "zh-Hans"), conversation)
    assert [turn.question for turn in conversation.turns] == [COVERED, UNCOVERED]
    question, seen = next(asked for asked in triage.asked if len(asked[1].turns) == 1)
    assert (question.nationality, question.country) == ("CN", "MM")
    assert len(seen.turns) == 1


def test_a_follow_up_is_searched_with_its_topic_and_remembered_as_one(searcher: Searcher) -> None:
    before = Conversation("c", (Turn(COVERED, (), "general"),))
    for is_follow_up, expected in ((True, {"tiny-hotline"}), (False, set())):
        triage = FakeTriage(is_follow_up=is_follow_up)
        answerer = Answerer(lambda: View(searcher), CONTACTS, triage)  # type: ignore[arg-type]
        answer, after = answerer.answer(Question("全天呢", "zh-Hans"), before)
        assert {c.article_id for c in answer.citations} == expected
        assert after.turns[-1].is_follow_up is is_follow_up


def test_contacts_are_for_the_nationality_that_was_said(ask: Ask, searcher: Searcher) -> None:
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage())  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(UNCOVERED, "zh-Hans", "VN", "KH"), Conversation("c"))
    assert answer.contacts
    for contact in answer.contacts:
        assert contact.country in ("VN", "KH")
        assert not contact.serves or "VN" in contact.serves


def test_suggestions_are_known_questions_in_the_readers_language_that_are_answered(ask: Ask) -> None:
    shown = ask(UNCOVERED).suggestions
    # One for each sentence, the nearest.
    assert shown in [("境外怎么拨12308",), ("国家代码加在哪",)]
    for suggestion in (*shown, *ask("chocolate cake", "en").suggestions):
        assert ask(suggestion, "zh-Hans" if suggestion in shown else "en").status == "answered"
    # Where there is an answer, or danger, nothing else is offered.
    assert ask(COVERED).suggestions == ask(UNCOVERED, is_emergency=True).suggestions == ()


def test_a_question_that_two_sentences_answer_is_suggested_once(tiny_index: Index) -> None:
    known = (KnownQuestion("境外怎么拨12308", "zh-Hans", 0),)
    articles = [replace(article, questions=known) for article in tiny_index.articles.values()]
    searcher = Searcher(build_index(articles, HashEmbedder(), Lexicon()), HashEmbedder(), Lexicon())
    answerer = Answerer(lambda: View(searcher), CONTACTS, FakeTriage())  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(UNCOVERED, "zh-Hans"), Conversation("c"))
    assert answer.suggestions == ("境外怎么拨12308",)


def test_a_known_question_that_is_not_answered_is_no_suggestion(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsure(*given: Any) -> Evidence:
        return replace(choose(*given), confidence=0.0)

    monkeypatch.setattr("bot.view.choose", unsure)
    assert ask(UNCOVERED).suggestions == ()


@pytest.mark.parametrize("said", [{"is_emergency": True}, {"is_declined": True}])
def test_a_question_that_would_bring_an_alarm_or_a_refusal_is_no_suggestion(
    searcher: Searcher, said: dict[str, Any]
) -> None:
    class Alarmed(FakeTriage):
        def assess(self, question: Question, conversation: Conversation) -> Assessment:
            return replace(CALM, **(said if question.text != UNCOVERED else {}))

    answerer = Answerer(lambda: View(searcher), CONTACTS, Alarmed())  # type: ignore[arg-type]
    answer, _ = answerer.answer(Question(UNCOVERED, "zh-Hans"), Conversation("c"))
    assert answer.suggestions == ()
