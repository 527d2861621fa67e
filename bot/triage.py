"""What a question needs before anything is searched: the situation, an emergency card, a refusal, a warning."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bot import emergency, refusal, situations
from bot.contacts import ContactList, unique
from bot.conversation import leans_by_words
from bot.emergency import EmergencyCard
from bot.errors import SignalsError
from bot.learned import Judgement, Read, Weights, with_rules
from bot.nationalities import likely_nationalities
from bot.signals import Signals, default_signals
from bot.texts import text
from bot.types import Contact, Conversation, Question, Situation
from bot.whereabouts import Whereabouts, whereabouts
from retrieval import Lexicon

logger = logging.getLogger(__name__)

_SURRENDER_KINDS = ("police", "emergency")
MAX_SURRENDER_CONTACTS = 3
# An emergency score from here on brings contacts beside the answer, without the card: so it is with 0 to 10 in 100
# questions, by dev set, that bring no card.
NEAR_ALARM = -1.5


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was understood of a question."""

    situation: Situation
    is_follow_up: bool
    is_emergency: bool
    is_declined: bool
    is_watched: bool
    is_self_harm: bool
    is_violence: bool
    is_second_scam: bool
    notice: str | None
    shows_contacts: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """What decides: an emergency, and a refusal, from 0 upwards. `judgement` is None where the rules stand alone."""

    emergency: float
    harm: float
    judgement: Judgement | None


class Triage:
    """Assesses questions by rules, and by what was learned from examples where an embedding model is at hand.

    With `read` None, or where it raises, the rules alone decide: the emergency card depends on no model.
    """

    def __init__(self, lexicon: Lexicon, read: Read | None = None, *, signals: Signals | None = None) -> None:
        self._lexicon = lexicon
        self._signals = signals or default_signals()
        self._read = read
        self._weights: Weights | None = None
        if read is not None:
            try:
                self._weights = Weights.load()
            except SignalsError:
                logger.exception("the triage goes by rules alone")
        # Not known until the model has answered once; it may be loaded, or mended, after the start.
        self._fits: bool | None = None

    def assess(self, question: Question, conversation: Conversation) -> Assessment:
        """What `question` needs, with the turns before in mind."""
        found = self._signals.find(question.text)
        scores = self.scores(question.text, found)
        violence = emergency.is_violence(found)
        self_harm = emergency.is_self_harm(found)
        in_danger = scores.emergency >= 0
        is_alarm = in_danger or self_harm or violence
        is_declined = scores.harm >= 0 and not is_alarm
        if scores.judgement is None or self._weights is None:
            situation = situations.situation_by_rules(found, is_alarm=in_danger)
        else:
            # The card comes early; of what situation somebody is, only a clear alarm says.
            is_clear = scores.emergency >= self._weights.clear_alarm
            situation = situations.situation_by_scores(scores.judgement.situations, found=found, is_alarm=is_clear)
        is_follow_up = bool(conversation.turns) and _leans(question.text, scores.judgement)
        situation = situations.in_conversation(
            situation, conversation, is_alarm=in_danger, is_home="home" in found, is_follow_up=is_follow_up
        )
        is_second_scam = "second_scam" in found and "story" not in found and not is_declined
        return Assessment(
            situation=situation,
            is_follow_up=is_follow_up,
            is_emergency=is_alarm,
            is_declined=is_declined,
            is_watched="watched" in found,
            is_self_harm=self_harm,
            is_violence=violence,
            is_second_scam=is_second_scam,
            notice=text("notice_second_scam", question.language) if is_second_scam else None,
            shows_contacts=is_alarm
            or is_second_scam
            or situation in ("trapped", "family")
            or scores.emergency >= NEAR_ALARM,
        )

    def is_follow_up(self, question: str) -> bool:
        """Whether a question cannot be understood without the one before it."""
        return _leans(question, self._judge(question))

    def scores(self, question: str, found: frozenset[str] | None = None) -> Scores:
        """What decides on the text of a question; `found` are its signals where they are known."""
        found = self._signals.find(question) if found is None else found
        alarm = emergency.alarm_score(found, self._signals)
        harm = refusal.harm_score(found, self._signals)
        judgement = self._judge(question)
        if judgement is None:
            return Scores(alarm - emergency.ALARM, harm - refusal.DECLINED, None)
        in_danger = with_rules(judgement.emergency, alarm - emergency.ALARM)
        harmful = with_rules(judgement.harm, harm - refusal.DECLINED)
        if emergency.is_certain(found, self._signals, alarm=alarm):
            in_danger = max(in_danger, 0.0)
        return Scores(in_danger, harmful, judgement)

    def card(self, question: Question, assessment: Assessment, contacts: ContactList) -> EmergencyCard:
        """The emergency card: every contact is a record of `contacts`, every line a fixed text."""
        where = self.whereabouts(question)
        chosen = emergency.card_contacts(
            contacts,
            nationality=where.nationality,
            country=where.country,
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

    def whereabouts(self, question: Question) -> Whereabouts:
        """Where the person is and from where, as said or as the text proposes."""
        return whereabouts(question, self._lexicon)

    def surrender_contacts(self, question: Question, contacts: ContactList) -> tuple[Contact, ...]:
        """Where somebody who wants to stop can turn: the police of where they are, then of where they are from."""
        from_language = likely_nationalities(question.language)
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

    def _judge(self, question: str) -> Judgement | None:
        if self._read is None or self._weights is None or self._fits is False:
            return None
        try:
            if self._fits is None:
                self._fits = self._weights.fits(self._read)
                if not self._fits:
                    logger.warning(
                        "the triage was taught with another embedding model and goes by rules alone; "
                        "run `python -m bot.train_triage`"
                    )
                    return None
            tokens = self._read(question).tokens
            return None if tokens is None else self._weights.judge(tokens)
        except Exception as error:
            # Whatever a model may raise: somebody in danger gets the card all the same.
            logger.warning("no embedding (%s); the triage goes by rules alone", type(error).__name__)
            return None


def _leans(question: str, judgement: Judgement | None) -> bool:
    return leans_by_words(question) if judgement is None else judgement.follow_up >= 0
