"""Reads an offer of work abroad and marks the signs of a false one. It never says that an offer is safe."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bot.compose import compose_quotes
from bot.contacts import ContactList
from bot.folding import FoldedText, fold_pattern, fold_text
from bot.nationalities import likely_nationalities
from bot.offer_score import OfferWeights
from bot.question import DEFAULT_LANGUAGE, known_language
from bot.signs import MAX_SPANS, Sign, SignList, find_spans
from bot.types import Citation, Contact, OfferReport, Signal, Verdict
from retrieval import Article, Lexicon, ScoredSentence, Span, clean, detect_language
from retrieval.text import reading_units

if TYPE_CHECKING:
    from bot.view import View
    from retrieval import Searcher

logger = logging.getLogger(__name__)

Embed = Callable[[str], NDArray[np.float32]]
"""A text to its unit vector, (dim,): `Embedder.embed_query`."""

# Longer texts are cut: an advertisement is short, and a book should not keep a server busy.
MAX_OFFER_CHARS = 8000
MAX_CONTACTS = 5
# Matches of one sign looked at, so that a word repeated thousands of times costs no time.
MAX_MATCHES = 50
# A part of the text shows a sign when it is this much nearer to an example of the sign than to any ordinary
# sentence, and not below the floor. Chosen on the dev split, for few parts of honest advertisements.
SEMANTIC_MARGIN = 0.05
SEMANTIC_FLOOR = 0.88
MAX_SEGMENTS = 40
# At home wages differ too much by country for the limits in signs.yaml: pay must be so many times more.
HOME_PAY_FACTOR = 4.0
# Passages looked through for a sentence that describes a sign.
N_CANDIDATES = 120

_KINDS = ("licence", "anti-fraud", "labour", "anti-trafficking", "consular")
_SEGMENT = re.compile(r"[^\n。！？!?；;，,、။၊។፣።|]+")
_QUESTION = re.compile(r"[?？]|吗|嗎|呢|么")
_MIN_OFFER_UNITS = 12
_MIN_OFFER_MARKS = 4


@dataclass(frozen=True, slots=True)
class Findings:
    """Spans by id of each sign found, in the order of the list, and the ids of reassurances."""

    signs: Mapping[str, tuple[Span, ...]]
    reassurances: tuple[str, ...]
    is_abroad: bool = False

    def counted(self, signs: SignList) -> frozenset[str]:
        """The ids of the signs that count in the score."""
        return frozenset(
            s.sign_id for s in signs.signs if s.sign_id in self.signs and (self.is_abroad or not s.is_abroad_only)
        )


class OfferChecker:
    """Checks offers. Without `view` there are no quotes, without `embed` only patterns are looked for.

    Neither can make a check fail: what cannot be quoted is still marked and explained.
    """

    def __init__(
        self,
        signs: SignList,
        lexicon: Lexicon,
        contacts: ContactList,
        view: Callable[[], View] | None = None,
        embed: Embed | None = None,
        *,
        weights: OfferWeights | None = None,
    ) -> None:
        self._signs = signs
        self._places = _places_pattern(lexicon)
        self._contacts = contacts
        self._quotes = _Quotes(view) if view is not None else None
        self._likeness = _Likeness(signs, embed) if embed is not None else None
        self._weights = weights or OfferWeights.load()

    def check(
        self,
        text: str,
        *,
        language: str | None = None,
        nationality: str | None = None,
        country: str | None = None,
    ) -> OfferReport:
        """The report on the offer `text`; no text makes it fail.

        Args:
            language: of the reader, a BCP 47 tag; None or unknown: that of the text.
            nationality, country: ISO 3166-1 alpha-2, of the reader and of where the reader is, for contacts.
        """
        read = clean(text).strip()[:MAX_OFFER_CHARS].rstrip()
        written_in = detect_language(read)
        reader = known_language(language) or written_in or DEFAULT_LANGUAGE
        findings = self.find(read, written_in or reader)
        score = self._weights.score(self._signs, findings.counted(self._signs), findings.reassurances)
        verdict = self._verdict(score, findings)
        citations, numbers = self._cite(findings, reader)
        contacts = self._contacts_for(reader, nationality, country)
        return OfferReport(
            verdict=verdict,
            score=round(score, 4),
            language=reader,
            text=read,
            signals=self._signals(read, findings, reader, numbers),
            absent=tuple(s.sign_id for s in self._signs.signs if s.sign_id not in findings.signs),
            citations=citations,
            contacts=contacts,
            notice=self._notice(verdict, findings, reader, contacts),
        )

    def find(self, text: str, language: str) -> Findings:
        """The signs in `text`, which is written in `language`, and what reassures."""
        folded = fold_text(text)
        found = {
            sign.sign_id: list(islice(find_spans(sign.pattern, folded), MAX_MATCHES)) for sign in self._signs.signs
        }
        if self._likeness is not None:
            for sign_id, span in self._likeness.find(text):
                if not found[sign_id]:
                    found[sign_id].append(span)
        taken = [span for spans in found.values() for span in spans]
        calm = [r for r in self._signs.reassurances if _is_found(r.pattern, folded, taken)]
        for sign in self._signs.signs:
            if sign.detector == "places":
                found[sign.sign_id] += find_spans(self._places, folded)
        is_abroad = self._signs.abroad.search(folded.folded) is not None or any(
            found[sign.sign_id] for sign in self._signs.signs if sign.detector == "places"
        )
        limit = 1.0 if is_abroad else HOME_PAY_FACTOR
        for sign in self._signs.signs:
            if sign.detector == "pay" and not any(r.is_skill for r in calm):
                amounts = self._signs.pay.amounts(folded, language)
                found[sign.sign_id] += [amount.span for amount in amounts if amount.ratio > limit]
            elif sign.detector == "no-company" and text and not any(r.names_employer for r in calm):
                found[sign.sign_id].append(Span(0, 0))
        return Findings(
            {key: _without_overlap(spans)[:MAX_SPANS] for key, spans in found.items() if spans},
            tuple(r.reassurance_id for r in calm),
            is_abroad,
        )

    def looks_like_offer(self, text: str, *, strictly: bool) -> bool:
        """Whether somebody seems to have pasted an offer or to tell of one.

        Args:
            strictly: for a text that something else may answer. It must speak of work, and more of an offer must stand in
                it where something is asked besides.
        """
        read = clean(text).strip()[:MAX_OFFER_CHARS]
        if reading_units(read) < _MIN_OFFER_UNITS:
            return False
        folded = fold_text(read)
        n_words = len({match[0] for match in self._signs.offer_words.finditer(folded.folded)})
        if strictly and not n_words:
            return False
        n_signs = sum(next(find_spans(sign.pattern, folded), None) is not None for sign in self._signs.signs)
        if not n_words and n_signs < 2:
            return False
        if strictly and _QUESTION.search(read) and n_words + n_signs < 6:
            return False
        n_calm = sum(r.pattern.search(folded.folded) is not None for r in self._signs.reassurances)
        amounts = self._signs.pay.amounts(folded, detect_language(read) or DEFAULT_LANGUAGE)
        n_pay = 0 if next(amounts, None) is None else 2
        return n_words + n_signs + n_calm + n_pay >= _MIN_OFFER_MARKS

    def _verdict(self, score: float, findings: Findings) -> Verdict:
        if score >= self._weights.high_risk:
            return "high_risk"
        counted = findings.counted(self._signs)
        has_strong = any(s.strength == "strong" and s.sign_id in counted for s in self._signs.signs)
        # Whatever else an advertisement says, a strong sign is never passed over.
        return "suspicious" if has_strong or score >= self._weights.suspicious else "no_known_signs"

    def _signals(
        self, text: str, findings: Findings, language: str, numbers: Mapping[str, tuple[int, ...]]
    ) -> tuple[Signal, ...]:
        signals = [
            Signal(
                sign_id=sign.sign_id,
                label=sign.label(language),
                start=span.start,
                end=span.end,
                evidence=text[span.start : span.end],
                explanation=sign.explanation(language),
                citations=numbers.get(sign.sign_id, ()),
            )
            for sign in self._signs.signs
            for span in findings.signs.get(sign.sign_id, ())
        ]
        # What is missing comes after what stands in the text.
        return tuple(sorted(signals, key=lambda s: (s.end == 0, s.start, s.end, s.sign_id)))

    def _cite(self, findings: Findings, language: str) -> tuple[tuple[Citation, ...], Mapping[str, tuple[int, ...]]]:
        if self._quotes is None:
            return (), {}
        signs = [sign for sign in self._signs.signs if sign.sign_id in findings.signs and sign.query]
        try:
            chosen = self._quotes.find(signs, language)
        except Exception:
            # A broken index or model must not hide the signs from somebody about to leave.
            logger.exception("index or model cannot serve; the offer is checked without quotes")
            return (), {}
        citations = compose_quotes([sentence for _, sentence in chosen]).citations
        by_passage = {citation.passage_id: citation.n for citation in citations}
        numbers = {
            sign_id: (by_passage[sentence.hit.passage.passage_id],)
            for sign_id, sentence in chosen
            if sentence.hit.passage.passage_id in by_passage
        }
        return citations, numbers

    def _contacts_for(self, language: str, nationality: str | None, country: str | None) -> tuple[Contact, ...]:
        nations = (nationality,) if nationality else likely_nationalities(language)
        found: dict[str, Contact] = {}
        for nation in nations or (None,):
            for contact in self._contacts.select(nationality=nation, country=country, situation="weighing-offer"):
                is_near = contact.country in (nation, country) or (nation is not None and nation in contact.serves)
                if is_near and contact.kind in _KINDS:
                    found.setdefault(contact.contact_id, contact)
        ordered = sorted(found.values(), key=lambda c: _KINDS.index(c.kind))
        return tuple(ordered[:MAX_CONTACTS])

    def _notice(self, verdict: Verdict, findings: Findings, language: str, contacts: Sequence[Contact]) -> str:
        where = [c.names.get(language) or c.names.get("en") or c.contact_id for c in contacts if c.kind != "consular"]
        looked_for = [
            sign.label(language)
            for sign in self._signs.signs
            if sign.strength != "weak" and sign.sign_id not in findings.signs
        ]
        separator = "、" if language in ("zh-Hans", "zh-Hant", "ja") else ", "
        return self._signs.notice(verdict, language).format(
            signs=separator.join(looked_for),
            where=separator.join(where) or self._signs.notice("where_else", language),
        )


class _Quotes:
    """Sentences of published warnings that describe signs; kept until index or withdrawals change."""

    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._searcher: Searcher | None = None
        self._withdrawn: frozenset[str] = frozenset()
        self._kept: dict[tuple[str, str], ScoredSentence | None] = {}

    def find(self, signs: Sequence[Sign], language: str) -> list[tuple[str, ScoredSentence]]:
        """(sign id, sentence) for each sign that some article describes, in the order of `signs`.

        Raises:
            RetrievalError: index or model cannot serve.
        """
        view = self._view()
        with self._lock:
            if view.searcher is not self._searcher or view.withdrawn != self._withdrawn:
                self._searcher, self._withdrawn, self._kept = view.searcher, view.withdrawn, {}
            kept = self._kept
        found = []
        for sign in signs:
            key = (sign.sign_id, language)
            if key not in kept:
                kept[key] = _describing(view, sign, language)
            sentence = kept[key]
            if sentence is not None:
                found.append((sign.sign_id, sentence))
        return found


def _describing(view: View, sign: Sign, language: str) -> ScoredSentence | None:
    """The sentence of the sign's articles nearest to its query, in the reader's language if there is one."""
    is_chinese = language in ("zh-Hans", "zh-Hant")
    text = sign.query.get(language) or (sign.query.get("zh-Hans") if is_chinese else None) or sign.query.get("en")
    if text is None:
        return None
    query = view.searcher.query(text, language=language)
    _, sentences = view.searcher.find(query, N_CANDIDATES, without=view.withdrawn)
    wanted = [
        s
        for s in sentences
        if not sign.articles
        or s.hit.article.article_id in sign.articles
        or s.hit.article.translation_of in sign.articles
    ]
    for group in (
        [s for s in wanted if _reads(s.hit.article, language)],
        [s for s in wanted if s.hit.article.language == "en"],
        wanted,
    ):
        if group:
            return max(group, key=lambda s: (s.cosine + 0.1 * s.overlap, -s.hit.rank, -s.sentence.start))
    return None


def _reads(article: Article, language: str) -> bool:
    return article.language == language or {article.language, language} <= {"zh-Hans", "zh-Hant"}


class _Likeness:
    """Finds parts of a text that say in other words what a sign's examples say."""

    def __init__(self, signs: SignList, embed: Embed) -> None:
        self._embed = embed
        self._examples = [(sign.sign_id, example) for sign in signs.signs for example in sign.examples]
        self._ordinary = list(signs.ordinary)
        self._lock = threading.Lock()
        self._vectors: NDArray[np.float32] | None = None

    def find(self, text: str) -> list[tuple[str, Span]]:
        """(sign id, span) for each likeness, in the order of the text; none when the model cannot serve."""
        spans = [_stripped(text, Span(*m.span())) for m in _SEGMENT.finditer(text)]
        spans = [span for span in spans if span.end - span.start >= 4][:MAX_SEGMENTS]
        if not spans or not self._examples:
            return []
        try:
            with self._lock:
                if self._vectors is None:
                    known = [example for _, example in self._examples] + self._ordinary
                    self._vectors = np.stack([self._embed(sentence) for sentence in known])
            vectors = np.stack([self._embed(text[span.start : span.end]) for span in spans])
        except Exception:
            # As with quotes: patterns alone are better than no check at all.
            logger.exception("the model cannot serve; the offer is checked by patterns alone")
            return []
        cosines = vectors @ self._vectors.T
        n = len(self._examples)
        found = []
        for row, span in enumerate(spans):
            best = int(np.argmax(cosines[row, :n]))
            ordinary = float(cosines[row, n:].max()) if self._ordinary else 0.0
            cosine = float(cosines[row, best])
            if cosine >= SEMANTIC_FLOOR and cosine - ordinary >= SEMANTIC_MARGIN:
                found.append((self._examples[best][0], span))
        return found


def _stripped(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)


def _places_pattern(lexicon: Lexicon) -> re.Pattern[str]:
    """Any name of a high-risk place in the lexicon, on folded text."""
    names = {
        fold_pattern(re.escape(name))
        for entry in lexicon.entries
        if entry.group == "places" and entry.is_high_risk
        for forms in entry.names.values()
        for name in forms
        if len(name.strip()) > 1
    }
    parts = sorted(names, key=lambda n: (-len(n), n))
    return re.compile("|".join(rf"(?<![a-z0-9]){p}(?![a-z0-9])" for p in parts) or r"(?!)")


def _is_found(pattern: re.Pattern[str], folded: FoldedText, taken: Sequence[Span]) -> bool:
    """Whether `pattern` matches outside the spans `taken`: «no work permit» is no work permit."""
    return any(
        not any(span.start < other.end and other.start < span.end for other in taken)
        for span in find_spans(pattern, folded)
    )


def _without_overlap(spans: Sequence[Span]) -> tuple[Span, ...]:
    """`spans` in order, the longer of two that overlap."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (s.start - s.end, s.start)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return tuple(sorted(kept))
