"""What is remembered between questions, and how a follow-up becomes a question of its own."""

from __future__ import annotations

import re
from dataclasses import replace

from bot.types import Conversation, Question, Situation, Turn
from retrieval import fold

MAX_TURNS = 6
# A follow-up is short; a longer question says itself what it is about.
MAX_FOLLOW_UP_UNITS = 16


def with_person(conversation: Conversation, question: Question) -> Conversation:
    """The conversation with what the question newly says of the person."""
    return replace(
        conversation,
        language=question.language,
        nationality=question.nationality or conversation.nationality,
        country=question.country or conversation.country,
    )


def with_turn(
    conversation: Conversation, question: Question, article_ids: tuple[str, ...], situation: Situation
) -> Conversation:
    """The conversation with one more turn; the oldest is forgotten after `MAX_TURNS`."""
    turn = Turn(question.text, article_ids, situation)
    return replace(conversation, turns=(*conversation.turns, turn)[-MAX_TURNS:])


def standalone(question: Question, conversation: Conversation) -> str:
    """The text to search with: the question, joined to the one before where it cannot stand alone.

    The rule: a question is a follow-up when it opens or closes like one («那…», «…呢», "what about …") or consists of
    little more than function words, and there was a turn before. A changed topic has words of its own and is searched
    as it stands.
    """
    if conversation.turns and is_follow_up(question.text):
        return f"{conversation.turns[-1].question} {question.text}"
    return question.text


_FOLLOW_UP = re.compile(
    r"^(那|那么|还有|然后|如果|要是|万一|而且|这个|那个|他们?|她们?|它|这|and\b|what about|how about|what if|then\b|but\b|or\b|why\b|"
    r"who\b|when\b|where\b|is (it|that|this)\b|còn\b|thế\b|vậy\b|แล้ว|kalau\b|bagaimana (dengan|kalau)|lalu\b|macam mana kalau|"
    r"じゃあ|では|それ|그럼|그러면|e se\b|e (o|a)\b|paano (kung|naman)|at\b|na je|और|तो|আর|তাহলে|ဒါဆို|ចុះ)|(呢|么办)[?？。 ]*$",
    re.IGNORECASE,
)


def is_follow_up(text: str) -> bool:
    """Whether `text` leans on the question before it."""
    folded = fold(text).strip()
    length = len(folded) if re.search(r"[\u3040-\u9fff]", folded) else len(folded) / 3
    return length <= MAX_FOLLOW_UP_UNITS and _FOLLOW_UP.search(folded) is not None
