"""The one module that joins the rest: a question goes in, an answer comes out."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace

from bot import conversation as conversations
from bot.compose import compose_quotes
from bot.contacts import ContactList, unique
from bot.emergency import card_contacts
from bot.evidence import Evidence
from bot.nationalities import likely_nationalities
from bot.offer import OfferChecker
from bot.suggestions import Suggestions
from bot.texts import text
from bot.triage import Assessment, Triage
from bot.types import Answer, Contact, Conversation, OfferReport, Question
from bot.view import View
from retrieval import RetrievalError

logger = logging.getLogger(__name__)

MAX_CONTACTS = 4


class Answerer:
    """Answers questions.

    `view` gives what may be searched now and raises `RetrievalError` while nothing can be: the emergency card needs
    neither index nor model and is given all the same. An offer that is pasted is checked, where `offers` is given.
    """

    def __init__(
        self, view: Callable[[], View], contacts: ContactList, triage: Triage, offers: OfferChecker | None = None
    ) -> None:
        self._view = view
        self.contacts = contacts
        self._triage = triage
        self._offers = offers
        self._suggestions = Suggestions(triage)

    def answer(self, question: Question, conversation: Conversation) -> tuple[Answer, Conversation]:
        """The answer to `question`, and the conversation with this turn added.

        Raises:
            RetrievalError: index or model cannot serve, and the question is no emergency.
        """
        conversation = conversations.with_person(conversation, question)
        question = replace(question, nationality=conversation.nationality, country=conversation.country)
        assessment = self._triage.assess(question, conversation)
        if assessment.is_declined:
            answer = self._declined(question, assessment)
        else:
            answer = self._answered(question, conversation, assessment)
        article_ids = tuple(dict.fromkeys(c.article_id for c in answer.citations))
        return answer, conversations.with_turn(
            conversation, question, article_ids, assessment.situation, is_follow_up=assessment.is_follow_up
        )

    def _answered(self, question: Question, conversation: Conversation, assessment: Assessment) -> Answer:
        answer = Answer(
            answer_id=uuid.uuid4().hex,
            status="not_covered",
            language=question.language,
            situation=assessment.situation,
        )
        try:
            answer = self._quoted(answer, question, conversation, assessment)
        except RetrievalError:
            answer = replace(answer, offer=self._offer(question, strictly=True))
            if not assessment.is_emergency and answer.offer is None:
                raise
            logger.exception("index or model cannot serve; card and signs are shown without quotes")
        if assessment.is_emergency:
            card = self._triage.card(question, assessment, self.contacts)
            return replace(answer, status="emergency", contacts=card.contacts, card=card.lines, notice=card.notice)
        is_covered = answer.status == "answered"
        if answer.offer is not None:
            return replace(
                answer,
                situation="weighing-offer" if answer.situation == "general" else answer.situation,
                notice=assessment.notice or answer.offer.notice,
                contacts=answer.offer.contacts or self._contacts(question, assessment),
            )
        contacts = () if is_covered and not assessment.shows_contacts else self._contacts(question, assessment)
        if not is_covered:
            notice = assessment.notice or text("not_covered", question.language)
            return replace(answer, notice=notice, contacts=contacts)
        return replace(answer, notice=assessment.notice or answer.notice, contacts=contacts)

    def _quoted(self, answer: Answer, question: Question, conversation: Conversation, assessment: Assessment) -> Answer:
        view = self._view()
        query = conversations.search_query(view.searcher, question, conversation, is_follow_up=assessment.is_follow_up)
        evidence = view.evidence(query)
        quotes = compose_quotes(evidence.sentences) if evidence.is_enough else None
        if quotes is None or not quotes.sentences:
            offer = self._offer(question, strictly=False)
            suggests = offer is None and not assessment.is_emergency
            suggestions = self._suggestions.near(view, query) if suggests else ()
            return replace(answer, confidence=evidence.confidence, suggestions=suggestions, offer=offer)
        return replace(
            answer,
            status="answered",
            sentences=quotes.sentences,
            citations=quotes.citations,
            confidence=evidence.confidence,
            notice=_fallback_notice(question.language, evidence),
            offer=self._offer(question, strictly=True),
        )

    def _offer(self, question: Question, *, strictly: bool) -> OfferReport | None:
        if self._offers is None or not self._offers.looks_like_offer(question.text, strictly=strictly):
            return None
        return self._offers.check(
            question.text, language=question.language, nationality=question.nationality, country=question.country
        )

    def _declined(self, question: Question, assessment: Assessment) -> Answer:
        contacts = self._triage.surrender_contacts(question, self.contacts)
        return Answer(
            answer_id=uuid.uuid4().hex,
            status="declined",
            language=question.language,
            situation=assessment.situation,
            notice=text("declined", question.language),
            contacts=contacts,
        )

    def _contacts(self, question: Question, assessment: Assessment) -> tuple[Contact, ...]:
        """Where to ask: for a person who has not said of what nationality, the language is taken as a hint."""
        where = self._triage.whereabouts(question)
        nationality, country = where.nationality, where.country
        hinted = (nationality,) if nationality else likely_nationalities(question.language)
        found = [
            contact
            for serving in hinted or ((None,) if country else ())
            for contact in self.contacts.select(
                nationality=serving, country=country, situation=assessment.situation, most=MAX_CONTACTS
            )
        ]
        if not found:
            found = list(
                card_contacts(
                    self.contacts,
                    nationality=nationality,
                    country=country,
                    language=question.language,
                    situation=assessment.situation,
                )
            )
        return unique(found)[:MAX_CONTACTS]


def _fallback_notice(language: str, evidence: Evidence) -> str | None:
    """A fixed sentence when what is quoted is not in the reader's language."""
    quoted = {choice.hit.article.language for choice in evidence.sentences}
    if language in quoted or {language, *quoted} <= {"zh-Hans", "zh-Hant"}:
        return None
    only = next(iter(quoted)) if len(quoted) == 1 else "other"
    return text(f"fallback_{only}" if only in ("zh-Hans", "en") else "fallback_other", language)
