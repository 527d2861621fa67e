"""The records of the bot, in the words of the public interface (CONTRACT §2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from retrieval.types import Source

Status = Literal["answered", "not_covered", "emergency", "declined"]
Situation = Literal["weighing-offer", "about-to-travel", "trapped", "family", "returned", "general"]
SITUATIONS: tuple[Situation, ...] = (
    "weighing-offer",
    "about-to-travel",
    "trapped",
    "family",
    "returned",
    "general",
)


@dataclass(frozen=True, slots=True)
class Contact:
    """One checked number or address, a record of `corpus/contacts.yaml`.

    `number` is as dialled internationally (None where it cannot be), `local` as dialled inside `country`;
    `serves` holds nationalities, empty for everybody; `dials_from` holds country codes, or `*` for everywhere.
    `checked` is the ISO date of the newest source. Names and notes are by language.
    """

    contact_id: str
    names: Mapping[str, str]
    number: str | None
    local: str | None
    country: str
    serves: tuple[str, ...]
    kind: str
    situations: tuple[str, ...]
    dials_from: tuple[str, ...]
    channels: tuple[str, ...]
    address: str | None
    hours: str | None
    languages: tuple[str, ...]
    priority: int
    checked: str
    confidence: str
    sources: tuple[Source, ...]
    note: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that sentences rest on. `quote == article.text[start:end]`; `n` counts from 1 in order of first use."""

    n: int
    article_id: str
    passage_id: str
    title: str
    publisher: str
    url: str
    date: str
    language: str
    start: int
    end: int
    quote: str
    href: str
    sources: tuple[Source, ...] = ()
    n_reprints: int = 0


@dataclass(frozen=True, slots=True)
class QuotedSentence:
    """A sentence of the answer; it stands word for word in the quote of each citation named."""

    text: str
    citations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks, cleaned and bounded. `nationality` and `country` (where the person is) are ISO codes."""

    text: str
    language: str
    nationality: str | None = None
    country: str | None = None


Verdict = Literal["high_risk", "suspicious", "no_known_signs"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One place where a sign shows: `evidence == report.text[start:end]`.

    For a sign that is something missing, the evidence is empty and stands at 0. `citations` holds the `n` of
    what is quoted to explain it.
    """

    sign_id: str
    label: str
    start: int
    end: int
    evidence: str
    explanation: str
    citations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferReport:
    """What the check of an offer found. `text` is what was read; `absent` are ids of signs looked for and not found."""

    verdict: Verdict
    score: float
    language: str
    text: str
    signals: tuple[Signal, ...]
    absent: tuple[str, ...]
    citations: tuple[Citation, ...]
    contacts: tuple[Contact, ...]
    notice: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot says. `confidence` (0..1) is the calibrated chance that the articles answer the question."""

    answer_id: str
    status: Status
    language: str
    situation: Situation
    notice: str | None = None
    contacts: tuple[Contact, ...] = ()
    sentences: tuple[QuotedSentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    confidence: float = 0.0
    suggestions: tuple[str, ...] = ()
    # Lines of the emergency card that are not contacts: what to say, what to write down, what a text can do.
    card: tuple[str, ...] = ()
    # Where an offer was pasted: what its check found.
    offer: OfferReport | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange as the next question needs it: what was asked, what it was about, and whether it leaned on the one
    before it."""

    question: str
    article_ids: tuple[str, ...]
    situation: Situation
    is_follow_up: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is remembered between questions: the last turns, and what the person has said of themselves."""

    conversation_id: str
    turns: tuple[Turn, ...] = ()
    language: str | None = None
    nationality: str | None = None
    country: str | None = None
