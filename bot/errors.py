"""Everything the bot may raise.

BotError
├── QuestionError            what was typed cannot be taken as a question
│   ├── EmptyQuestionError
│   └── QuestionTooLongError   carries `limit_chars`
├── ContactsError            the contact list is not as it should be
├── SignalsError             phrases or examples for the triage are not as they should be
├── SignsError               the list of signs of a false offer is not as it should be
├── PictureError             a picture cannot be read; carries `reason`
└── CitationError            a sentence is not in its quote: our bug, never shown
"""

from __future__ import annotations


class BotError(Exception):
    """Base of all errors of this package."""


class QuestionError(BotError):
    """What was typed cannot be taken as a question."""


class EmptyQuestionError(QuestionError):
    """Nothing but white space was typed."""


class QuestionTooLongError(QuestionError):
    """More was typed than a question may have."""

    def __init__(self, limit_chars: int) -> None:
        super().__init__(f"the question is longer than {limit_chars} characters; shorten it")
        self.limit_chars = limit_chars


class ContactsError(BotError):
    """The contact list cannot be used; the message names the record and the remedy."""


class SignalsError(BotError):
    """Phrases or examples for the triage cannot be used; the message names the file."""


class CitationError(BotError):
    """A sentence does not stand in the passage that it cites."""


class SignsError(BotError):
    """The signs of a false offer or their weights cannot be used; the message names the record."""


class PictureError(BotError):
    """A picture cannot be read.

    `reason` is one of too_large, too_many_pixels, unknown_format, animated, damaged, no_text, busy, unavailable.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
