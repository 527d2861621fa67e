"""What is remembered between questions, and how a follow-up becomes a question of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.types import Conversation, Question, Situation, Turn
from retrieval import fold

if TYPE_CHECKING:
    from retrieval import Query, Searcher

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
    conversation: Conversation,
    question: Question,
    article_ids: tuple[str, ...],
    situation: Situation,
    *,
    is_follow_up: bool = False,
) -> Conversation:
    """The conversation with one more turn; the oldest is forgotten after `MAX_TURNS`."""
    turn = Turn(question.text, article_ids, situation, is_follow_up)
    return replace(conversation, turns=(*conversation.turns, turn)[-MAX_TURNS:])


def standalone(question: Question, conversation: Conversation, *, is_follow_up: bool) -> str:
    """The text to search with: a follow-up joined to what it leans on, every other question as it stands.

    It leans on the last question that stood on its own, so that in a chain («and Thailand?», «and Laos?») the topic is
    not lost.
    """
    if not is_follow_up or not conversation.turns:
        return question.text
    own = (turn.question for turn in reversed(conversation.turns) if not turn.is_follow_up)
    return f"{next(own, conversation.turns[0].question)} {question.text}"


def search_query(searcher: Searcher, question: Question, conversation: Conversation, *, is_follow_up: bool) -> Query:
    """What to search for: the question as `standalone` has it, with the question itself in focus."""
    text = standalone(question, conversation, is_follow_up=is_follow_up)
    return searcher.query(text, language=question.language, focus=question.text)


_FOLLOW_UP = re.compile(
    r"^(那|那么|还有|然后|如果|要是|万一|而且|这个|那个|他们?|她们?|它|这|and\b|what about|how about|what if|then\b|but\b|or\b|"
    # A question word alone, with one word more, or with a pronoun: «why not», «when was that».
    r"(why|who|when|where)\b(?=\W*\w*\W*$|.*\b(it|that|this|they|them|those|he|him|she|her|there)\b)|"
    r"is (it|that|this)\b|còn\b|thế\b|vậy\b|แล้ว|kalau\b|bagaimana (dengan|kalau)|lalu\b|macam mana kalau|"
    r"じゃあ|では|それ|그럼|그러면|e se\b|e (o|a)\b|paano (kung|naman)|at\b|na je|और|तो|আর|তাহলে|ဒါဆို|ចុះ)|"
    # «…呢» and «…怎么办» close a follow-up unless a whole question stands before them.
    r"^(?!.{4,}(谁|什么|哪|怎|多少|几))[^,，。;；]*(呢|么办)[?？。 ]*$",
    re.IGNORECASE,
)


def leans_by_words(text: str) -> bool:
    """Whether the words of `text` say that it leans on the question before it: «那…», «…呢», "what about …"."""
    return _is_short(text) and _FOLLOW_UP.search(fold(text).strip()) is not None


def _is_short(text: str) -> bool:
    folded = fold(text).strip()
    length = len(folded) if re.search(r"[\u3040-\u9fff]", folded) else len(folded) / 3
    return length <= MAX_FOLLOW_UP_UNITS
