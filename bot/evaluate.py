"""Measures of retrieval, answers and abstention on the judged questions in corpus/eval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ir_measures
import numpy as np
from ir_measures import RR, R, Success, nDCG

from bot import conversation as conversations
from bot.compose import compose_quotes
from bot.evidence import N_CANDIDATES, choose
from bot.question_set import JudgedQuestion, fact_keys, holds_any, read_questions
from bot.ranking import auroc
from bot.types import Conversation, Question, Turn

if TYPE_CHECKING:
    from bot.triage import Triage
    from retrieval import Hit, Query, ScoredSentence, Searcher

RETRIEVAL_MEASURES = {
    "Success@1": Success @ 1,
    "Success@3": Success @ 3,
    "nDCG@10": nDCG @ 10,
    "MRR@10": RR @ 10,
    "Recall@10": R @ 10,
}
COVERAGES = (0.5, 0.7, 0.8, 0.9, 0.95)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the bot made of one covered question.

    `first_passage` is the id of the passage cited first, if any; `is_heard` says that the triage did not decline it.
    """

    question: JudgedQuestion
    run: Mapping[str, float]
    first_passage: str | None
    cites_first: bool
    cites_any: bool
    contains: bool | None
    superfluous: float
    n_sentences: int
    is_quoted: bool
    confidence: float
    is_heard: bool
    is_answered: bool


def find(searcher: Searcher, triage: Triage, judged: JudgedQuestion) -> tuple[Query, list[Hit], list[ScoredSentence]]:
    """Candidates for one judged question, found as the bot finds them."""
    turns = tuple(
        Turn(text, (), "general", is_follow_up=n > 0 and triage.is_follow_up(text))
        for n, text in enumerate(judged.history)
    )
    question = Question(judged.question, judged.language)
    is_follow_up = bool(turns) and triage.is_follow_up(judged.question)
    query = conversations.search_query(searcher, question, Conversation("", turns), is_follow_up=is_follow_up)
    return query, *searcher.find(query, N_CANDIDATES)


def is_right(sentence: ScoredSentence, judged: JudgedQuestion) -> bool:
    """Whether the sentence rests on a fact that answers the question."""
    return bool(fact_keys(sentence.sentence.source_keys) & judged.facts)


def known_facts(searcher: Searcher) -> set[str]:
    """Keys of all sources that the indexed articles rest on."""
    return {key for article in searcher.index.articles.values() for key in fact_keys(article.sources)}


def evaluate_sets(
    searcher: Searcher,
    triage: Triage,
    folder: Path,
    covered: Sequence[str],
    uncovered: Sequence[str],
    *,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Measures by group: `all`, `lang:<tag>`, `style:<name>`, and `abstention`.

    Args:
        covered, uncovered: names of sets in `folder`, without `.jsonl`. Questions whose facts no article tells count
            as left out, not as wrong; their number is `left_out` in `all`.
    """
    known = known_facts(searcher)
    judged = [question for name in covered for question in read_questions(folder, name)]
    usable = [question for question in judged if question.facts & known]
    qrels = _qrels(searcher, usable)
    outcomes = []
    for n, question in enumerate(usable, start=1):
        outcomes.append(_outcome(searcher, triage, question))
        if progress:
            progress("covered questions", n, len(usable))
    refused = [question for name in uncovered for question in read_questions(folder, name)]
    confidences = []
    answered = []
    for n, question in enumerate(refused, start=1):
        evidence = choose(*find(searcher, triage, question), searcher)
        confidences.append(evidence.confidence)
        answered.append(evidence.is_enough)
        if progress:
            progress("uncovered questions", n, len(refused))
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        for group in ("all", f"lang:{outcome.question.language}", f"style:{outcome.question.style}"):
            groups[group].append(outcome)
    report = {group: _measures(found, qrels) for group, found in sorted(groups.items())}
    report["all"]["left_out"] = float(len(judged) - len(usable))
    report["abstention"] = _abstention(outcomes, confidences, answered)
    return report


def page(report: Mapping[str, Mapping[str, float]], title: str) -> str:
    """The measures as one page of text."""
    columns = (
        "n",
        "Success@1",
        "Success@3",
        "nDCG@10",
        "MRR@10",
        "passage_first",
        "cites_first",
        "cites_any",
        "contains",
        "superfluous",
        "heard",
        "answered",
    )
    lines = [title, f"{'':20}" + "".join(f"{name:>14}" for name in columns)]
    for group, measures in report.items():
        if group != "abstention":
            values = "".join(
                f"{measures[name]:>14.0f}" if name == "n" else f"{measures.get(name, float('nan')):>14.3f}"
                for name in columns
            )
            lines.append(f"{group:20}{values}")
    lines.append(f"not in any article, left out: {report['all']['left_out']:.0f} questions")
    lines.append("abstention: " + ", ".join(f"{name} {value:.3f}" for name, value in report["abstention"].items()))
    return "\n".join(lines)


def _outcome(searcher: Searcher, triage: Triage, judged: JudgedQuestion) -> Outcome:
    query, hits, sentences = find(searcher, triage, judged)
    evidence = choose(query, hits, sentences, searcher)
    quotes = compose_quotes(evidence.sentences)
    by_number = {citation.n: citation for citation in quotes.citations}
    shown = " ".join(sentence.text for sentence in quotes.sentences)
    right = [is_right(sentence, judged) for sentence in evidence.sentences]
    is_heard = not triage.assess(Question(judged.question, judged.language), Conversation("")).is_declined
    return Outcome(
        question=judged,
        run={hit.passage.passage_id: float(N_CANDIDATES - hit.rank) for hit in hits},
        first_passage=evidence.sentences[0].hit.passage.passage_id if evidence.sentences else None,
        cites_first=bool(right) and right[0],
        cites_any=any(right),
        contains=holds_any(shown, judged.contains) if judged.contains else None,
        superfluous=1 - float(np.mean(right)) if right else 0.0,
        n_sentences=len(right),
        is_quoted=all(s.text in by_number[n].quote for s in quotes.sentences for n in s.citations),
        confidence=evidence.confidence,
        is_heard=is_heard,
        is_answered=is_heard and evidence.is_enough,
    )


def _qrels(searcher: Searcher, questions: Iterable[JudgedQuestion]) -> dict[str, dict[str, int]]:
    """Passages with a sentence that rests on a judged fact are relevant."""
    holding: dict[str, set[str]] = defaultdict(set)
    for row in searcher.index.sentences:
        passage = searcher.index.passages[row.passage_row]
        for key in fact_keys(row.sentence.source_keys):
            holding[key].add(passage.passage_id)
    return {q.question_id: {p: 1 for fact in q.facts for p in holding.get(fact, ())} for q in questions}


def _measures(outcomes: Sequence[Outcome], qrels: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    wanted = {o.question.question_id: dict(qrels[o.question.question_id]) for o in outcomes}
    run = {o.question.question_id: dict(o.run) for o in outcomes}
    means = ir_measures.calc_aggregate(list(RETRIEVAL_MEASURES.values()), wanted, run)
    contains = [o.contains for o in outcomes if o.contains is not None]
    return {
        "n": float(len(outcomes)),
        **{name: round(float(means[measure]), 4) for name, measure in RETRIEVAL_MEASURES.items()},
        "passage_first": _mean([o.first_passage in wanted[o.question.question_id] for o in outcomes]),
        "cites_first": _mean([o.cites_first for o in outcomes]),
        "cites_any": _mean([o.cites_any for o in outcomes]),
        **({"contains": _mean(contains)} if contains else {}),
        "superfluous": _mean([o.superfluous for o in outcomes]),
        "sentences": _mean([o.n_sentences for o in outcomes]),
        "quoted": _mean([o.is_quoted for o in outcomes]),
        "heard": _mean([o.is_heard for o in outcomes]),
        "answered": _mean([o.is_answered for o in outcomes]),
    }


def _abstention(
    outcomes: Sequence[Outcome], uncovered: Sequence[float], answered_wrongly: Sequence[bool]
) -> dict[str, float]:
    covered = np.array([o.confidence for o in outcomes])
    refused = np.array(uncovered)
    if not len(covered) or not len(refused):
        return {}
    right = np.array([o.confidence for o in outcomes if o.cites_first])
    measures = {
        "uncovered": float(len(refused)),
        "auroc": round(auroc(covered, refused, empty=math.nan), 4),
        "auroc_right": round(auroc(right, refused, empty=math.nan), 4),
        "answered_covered": _mean([o.is_answered for o in outcomes]),
        "answered_uncovered": _mean(answered_wrongly),
    }
    for share in COVERAGES:
        bound = float(np.quantile(covered, 1 - share))
        measures[f"uncovered_answered_at_{share:g}"] = round(float(np.mean(refused >= bound)), 4)
    return measures


def _mean(values: Sequence[float | bool]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")
