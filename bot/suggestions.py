"""Questions to offer where there is no answer: known questions, each of which was tried."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.triage import Triage
from bot.types import Conversation, Question
from bot.view import View
from retrieval import fold

if TYPE_CHECKING:
    from retrieval import Query

MAX_SUGGESTIONS = 3
# How many known questions are tried for one question; most of them answer.
N_TRIED = 6
_NUMBER = re.compile(r"\d[\d \-]{5,}\d")


class Suggestions:
    """Finds known questions near a question. What was found out about one is kept until the index changes."""

    def __init__(self, triage: Triage) -> None:
        self._triage = triage
        self._state: tuple[str, frozenset[str]] | None = None
        self._answers: dict[int, bool] = {}

    def near(self, view: View, query: Query) -> tuple[str, ...]:
        """Up to `MAX_SUGGESTIONS` covered questions near `query` in its language, nearest first, none of them twice.

        Each one, asked by itself, is answered and brings up neither an alarm nor a refusal.
        """
        found: list[str] = []
        # Several sentences may be known by one question.
        told = {fold(query.text)}
        language = _language(view, query)
        for row in view.searcher.known_questions(query, N_TRIED, language=language, without=view.withdrawn):
            text = view.searcher.index.questions[row].text
            # A number in a question is not checked as those in the contact list are.
            if fold(text) not in told and not _NUMBER.search(text) and self._is_answered(view, row):
                found.append(text)
                told.add(fold(text))
            if len(found) == MAX_SUGGESTIONS:
                break
        return tuple(found)

    def _is_answered(self, view: View, row: int) -> bool:
        state = (view.searcher.index.generation, view.withdrawn)
        if state != self._state:
            self._state, self._answers = state, {}
        answers = self._answers
        if row not in answers:
            known = view.searcher.index.questions[row]
            is_enough = view.evidence(view.searcher.query(known.text, language=known.language)).is_enough
            question = Question(known.text, known.language)
            if is_enough:
                assessment = self._triage.assess(question, Conversation(""))
                is_enough = not (assessment.is_emergency or assessment.is_declined)
            answers[row] = is_enough
        return answers[row]


def _language(view: View, query: Query) -> str:
    """The reader's language, or where nobody has written questions in it, the one that is quoted instead."""
    known = view.searcher.known
    if known is not None and query.language in known.rows_of:
        return str(query.language)
    return "zh-Hans" if query.language == "zh-Hant" else "en"
