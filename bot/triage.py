"""What a question needs before anything is searched: the situation, an emergency card, a refusal, a warning."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot import emergency, refusal, situations
from bot.contacts import ContactList, unique
from bot.emergency import EmergencyCard
from bot.examples import Classifier, Judgement, read_examples
from bot.signals import Signals, default_signals
from bot.texts import text
from bot.types import Contact, Conversation, Question, Situation
from bot.whereabouts import guess_country, guess_nationality
from retrieval import Lexicon

logger = logging.getLogger(__name__)

_SURRENDER_KINDS = ("police", "emergency")
MAX_SURRENDER_CONTACTS = 3


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was understood of a question. `nationality` and `country` are guesses from the text: proposals only."""

    situation: Situation
    is_emergency: bool
    is_declined: bool
    is_watched: bool
    is_self_harm: bool
    is_violence: bool
    is_second_scam: bool
    notice: str | None
    shows_contacts: bool
    nationality: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class Scores:
    """The sums behind the decisions, for measuring: each decision is taken where its score reaches its limit."""

    emergency: float
    harm: float
    judgement: Judgement | None


class Triage:
    """Assesses questions by rules, and by examples where an embedding model is at hand.

    With `embed` None, or where it raises, the rules alone decide: the emergency card depends on no model.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        embed: Callable[[str], NDArray[np.float32]] | None = None,
        *,
        signals: Signals | None = None,
    ) -> None:
        self._lexicon = lexicon
        self._signals = signals or default_signals()
        self._embed = embed
        self._classifier: Classifier | None = None
        if embed is not None:
            try:
                self._classifier = Classifier.train(read_examples(), embed)
            except Exception:
                # Whatever a model may raise: without it the rules decide.
                logger.exception("the examples cannot be embedded; the triage goes by rules alone")

    def assess(self, question: Question, conversation: Conversation) -> Assessment:
        """What `question` needs, with the turns before in mind."""
        found = self._signals.find(question.text)
        scores = self.scores(question.text, found)
        self_harm, violence = emergency.is_self_harm(found), emergency.is_violence(found)
        is_alarm = scores.emergency >= emergency.ALARM or self_harm or violence
        is_declined = scores.harm >= refusal.DECLINED and not is_alarm
        situation = self._situation(found, scores, conversation, is_alarm=scores.emergency >= emergency.ALARM)
        is_second_scam = "second_scam" in found and "story" not in found and not is_declined
        return Assessment(
            situation=situation,
            is_emergency=is_alarm,
            is_declined=is_declined,
            is_watched="watched" in found,
            is_self_harm=self_harm,
            is_violence=violence,
            is_second_scam=is_second_scam,
            notice=text("notice_second_scam", question.language) if is_second_scam else None,
            shows_contacts=is_alarm or is_second_scam or situation in ("trapped", "family"),
            nationality=guess_nationality(question.text),
            country=guess_country(question.text, self._lexicon),
        )

    def scores(self, question: str, found: frozenset[str] | None = None) -> Scores:
        """The sums behind the decisions on the text of a question."""
        found = self._signals.find(question) if found is None else found
        alarm = emergency.alarm_score(found, self._signals)
        harm = refusal.harm_score(found, self._signals)
        judgement = self._judge(question)
        if judgement is not None:
            alarm = judgement.adjust_alarm(alarm)
            harm = judgement.adjust_harm(harm)
        return Scores(alarm, harm, judgement)

    def card(self, question: Question, assessment: Assessment, contacts: ContactList) -> EmergencyCard:
        """The emergency card: every contact is a record of `contacts`, every line a fixed text."""
        chosen = emergency.card_contacts(
            contacts,
            nationality=question.nationality or assessment.nationality,
            country=question.country or assessment.country,
            language=question.language,
            situation=assessment.situation,
            self_harm=assessment.is_self_harm,
            violence=assessment.is_violence,
            watched=assessment.is_watched,
        )
        kinds = {"self_harm": assessment.is_self_harm, "violence": assessment.is_violence}
        lines = emergency.card_lines(assessment.situation, question.language, **kinds)
        if not (question.nationality and question.country):
            lines += (text("card_where", question.language),)
        return EmergencyCard(chosen, lines, emergency.card_notice(assessment.situation, question.language, **kinds))

    def surrender_contacts(self, question: Question, contacts: ContactList) -> tuple[Contact, ...]:
        """Where somebody who wants to stop can turn: the police of where they are, then of where they are from."""
        from_language = emergency.LANGUAGE_NATIONALITIES.get(question.language, ())
        places = [question.country, question.nationality, *from_language]
        police = [
            contact
            for place in dict.fromkeys(p for p in places if p)
            for contact in contacts.contacts
            if contact.country == place and not contact.serves and contact.kind in _SURRENDER_KINDS
            if "phone" in contact.channels
        ]
        own = [
            contact
            for contact in contacts.contacts
            if contact.kind == "consular" and set(contact.serves) & {question.nationality, *from_language}
        ]
        return unique((*police[:2], *own[:1]))[:MAX_SURRENDER_CONTACTS]

    def _situation(
        self, found: frozenset[str], scores: Scores, conversation: Conversation, *, is_alarm: bool
    ) -> Situation:
        situation = situations.situation_by_rules(found, is_alarm=is_alarm)
        if scores.judgement is not None:
            situation = scores.judgement.adjust_situation(situation, is_alarm=is_alarm)
        return situations.in_conversation(situation, conversation, is_alarm=is_alarm, is_home="home" in found)

    def _judge(self, question: str) -> Judgement | None:
        if self._embed is None or self._classifier is None:
            return None
        try:
            return self._classifier.judge(self._embed(question))
        except Exception:
            logger.exception("a question cannot be embedded; the triage goes by rules alone")
            return None
