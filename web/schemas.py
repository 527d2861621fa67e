"""Request and response bodies of the public interface (CONTRACT §2)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bot.contacts import is_old
from bot.types import Answer, Citation, Contact, OfferReport
from retrieval import Article, Source


class AskRequest(BaseModel):
    """Body of `POST /v1/ask`. Fields that we do not know are passed over, so that newer clients keep working."""

    model_config = ConfigDict(strict=True)

    question: str
    lang: str | None = Field(None, max_length=35)
    conversation_id: str | None = Field(None, max_length=100)
    nationality: str | None = Field(None, max_length=10)
    country: str | None = Field(None, max_length=10)


class OfferRequest(BaseModel):
    """JSON body of `POST /v1/check-offer`."""

    model_config = ConfigDict(strict=True)

    text: str
    lang: str | None = Field(None, max_length=35)


class FeedbackRequest(BaseModel):
    """Body of `POST /v1/feedback`."""

    model_config = ConfigDict(strict=True)

    answer_id: str = Field(min_length=1, max_length=100)
    helpful: bool
    comment: str | None = Field(None, max_length=2000)


def source_json(source: Source) -> dict[str, Any]:
    """A source as the contract writes it."""
    return {"publisher": source.publisher, "title": source.title, "url": source.url, "date": source.date}


def contact_json(contact: Contact, language: str, max_age_days: int) -> dict[str, Any]:
    """A contact as the contract writes it, with its name and note in `language`, else in English.

    `number` is what can be dialled: the international form, else the local one, else the address.
    """
    newest = max(contact.sources, key=lambda source: source.date or "")
    names = contact.names
    return {
        "id": contact.contact_id,
        "name": names.get(language) or names.get("zh-Hans" if language == "zh-Hant" else "en") or names["en"],
        "number": contact.number or contact.local or contact.address,
        "local": contact.local,
        "country": contact.country,
        "for": "ALL" if not contact.serves else ",".join(contact.serves),
        "dials_from": list(contact.dials_from),
        "kind": contact.kind,
        "channels": list(contact.channels),
        "address": contact.address,
        "hours": contact.hours,
        "languages": list(contact.languages),
        "checked": contact.checked,
        "old": is_old(contact, dt.date.today(), max_age_days),
        "note": contact.note.get(language) or contact.note.get("en"),
        "source": source_json(newest),
    }


def citation_json(citation: Citation) -> dict[str, Any]:
    """A citation as the contract writes it."""
    return {
        "n": citation.n,
        "article_id": citation.article_id,
        "passage_id": citation.passage_id,
        "title": citation.title,
        "publisher": citation.publisher,
        "url": citation.url,
        "date": citation.date,
        "language": citation.language,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
        "href": citation.href,
        "sources": [source_json(source) for source in citation.sources],
        "n_reprints": citation.n_reprints,
    }


def answer_json(answer: Answer, conversation_id: str, max_age_days: int) -> dict[str, Any]:
    """The body of `POST /v1/ask`."""
    return {
        "id": answer.answer_id,
        "conversation_id": conversation_id,
        "status": answer.status,
        "language": answer.language,
        "situation": answer.situation,
        "notice": answer.notice,
        "contacts": [contact_json(contact, answer.language, max_age_days) for contact in answer.contacts],
        "card": list(answer.card),
        "sentences": [{"text": s.text, "citations": list(s.citations)} for s in answer.sentences],
        "citations": [citation_json(citation) for citation in answer.citations],
        "confidence": round(answer.confidence, 4),
        "suggestions": list(answer.suggestions),
        "offer": None if answer.offer is None else offer_json(answer.offer, max_age_days),
    }


def article_json(article: Article) -> dict[str, Any]:
    """The body of `GET /v1/articles/{article_id}`."""
    return {
        "id": article.article_id,
        "title": article.title,
        "url": article.url,
        "publisher": article.publisher,
        "date": article.published,
        "language": article.language,
        "kind": article.kind,
        "topics": list(article.topics),
        "countries": list(article.countries),
        "translation_of": article.translation_of,
        "origin": article.origin,
        "text": article.text,
        "headings": [{"start": h.start, "end": h.end} for h in article.headings],
        "sentences": [{"start": s.start, "end": s.end, "sources": list(s.source_keys)} for s in article.sentences],
        "sources": {key: source_json(source) for key, source in article.sources.items()},
    }


def offer_json(report: OfferReport, max_age_days: int) -> dict[str, Any]:
    """The body of `POST /v1/check-offer`."""
    return {
        "verdict": report.verdict,
        "score": round(report.score, 4),
        "language": report.language,
        "text": report.text,
        "signals": [
            {
                "id": signal.sign_id,
                "label": signal.label,
                "start": signal.start,
                "end": signal.end,
                "evidence": signal.evidence,
                "explanation": signal.explanation,
                "citations": list(signal.citations),
            }
            for signal in report.signals
        ],
        "absent": list(report.absent),
        "citations": [citation_json(citation) for citation in report.citations],
        "contacts": [contact_json(contact, report.language, max_age_days) for contact in report.contacts],
        "notice": report.notice,
    }
