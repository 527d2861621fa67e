"""What is kept for use without a network: the numbers, and the answers most needed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bot.contacts import ContactList
from retrieval import Article
from web.schemas import contact_json, source_json

N_ANSWERS = 20
MAX_SENTENCES = 4
SITUATIONS = ("trapped", "family")
# Which articles first, by the end of their id (the corpus names them alike in every language), then by topic.
_FIRST = (
    "if-you-are-trapped",
    "12308-how-to-dial",
    "whom-to-call",
    "family-first-24-hours",
    "for-the-family",
    "signs-of-a-false-offer",
    "lure-checks-before-you-say-yes",
    "before-leaving",
    "dangers-of-running",
    "consulate-can-and-cannot",
    "law-coerced-or-lured",
    "forced-to-scam-non-punishment",
    "after-coming-home",
)
_TOPICS = ("trapped", "hotline", "family", "ransom", "offer", "after-return", "law", "warning")
_QUESTION_MARKS = ("?", "？", "؟", "៖", "፧")


def offline_bundle(
    articles: Iterable[Article], contacts: ContactList, language: str, *, max_age_days: int, today: dt.date
) -> dict[str, Any]:
    """Emergency numbers and needed answers for readers of `language`.

    Answers are sections of our own articles whose heading is a question, in the form of `/v1/ask`. Where the
    language has none, they are Chinese for readers of Chinese and English for everybody else.
    """
    own = [article for article in articles if article.is_own]
    fallback = "zh-Hans" if language.startswith("zh") else "en"
    readable = [a for a in own if a.language == language] or [a for a in own if a.language == fallback]
    numbers = [contact_json(c, language, max_age_days) for c in contacts.contacts if {*SITUATIONS} & {*c.situations}]
    return {
        "date": today.isoformat(),
        "language": language,
        "contacts": [_lean(number) for number in numbers],
        "answers": _answers(sorted(readable, key=_need), N_ANSWERS),
    }


def _lean(contact: Mapping[str, Any]) -> dict[str, Any]:
    """A contact without what the card can do without: the bundle has to fit a slow line."""
    kept = (
        "id",
        "name",
        "number",
        "local",
        "country",
        "for",
        "dials_from",
        "kind",
        "channels",
        "checked",
        "old",
    )
    return {key: contact[key] for key in kept if contact[key] not in (None, False)}


def _need(article: Article) -> tuple[int, int, str]:
    named = next((i for i, end in enumerate(_FIRST) if article.article_id.endswith(end)), len(_FIRST))
    topic = next((i for i, topic in enumerate(_TOPICS) if topic in article.topics), len(_TOPICS))
    return named, topic, article.article_id


def _answers(articles: Sequence[Article], most: int) -> list[dict[str, Any]]:
    """Section by section, at most four from one article, so that many subjects have a place."""
    found: list[dict[str, Any]] = []
    for article in articles:
        for section in list(_sections(article))[:4]:
            found.append(section)
            if len(found) == most:
                return found
    return found


def _sections(article: Article) -> Iterator[dict[str, Any]]:
    bounds = [*[heading.start for heading in article.headings], len(article.text)]
    for heading, end in zip(article.headings, bounds[1:], strict=True):
        question = article.text[heading.start : heading.end].strip()
        inside = [s for s in article.sentences if heading.end <= s.start < end][:MAX_SENTENCES]
        if not question.endswith(_QUESTION_MARKS) or not inside:
            continue
        start, stop = inside[0].start, inside[-1].end
        keys = dict.fromkeys(key for sentence in inside for key in sentence.source_keys)
        yield {
            "question": question,
            "sentences": [{"text": article.text[s.start : s.end].strip(), "citations": [1]} for s in inside],
            "citations": [
                {
                    "n": 1,
                    "article_id": article.article_id,
                    "title": article.title,
                    "publisher": article.publisher,
                    "date": article.published,
                    "language": article.language,
                    "start": start,
                    "end": stop,
                    "quote": article.text[start:stop],
                    "href": f"/articles/{article.article_id}?start={start}&end={stop}#quote",
                    "sources": [
                        {k: v for k, v in source_json(article.sources[key]).items() if k != "url"}
                        for key in keys
                        if key in article.sources
                    ],
                }
            ],
        }
