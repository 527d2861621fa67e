"""`guitu evaluate` on our own sets: answers, triage and offers on one page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bot.evaluate import evaluate_sets, page
from bot.evaluate_offers import offer_page, offer_report
from bot.evaluate_triage import measure_triage, triage_report
from bot.offer import OfferChecker
from bot.offer_set import read_offers
from bot.signs import SignList
from bot.triage import Triage
from web.service import Service

SETS = {
    "dev": (("dev", "dev-more"), ("dev-uncovered", "dev-more-uncovered")),
    "test": (("test",), ("test-uncovered",)),
    "test-more": (("test-more",), ("test-more-uncovered",)),
    "test-languages": (("test-languages",), ()),
    "facts-test": (("facts-test",), ()),
    "main-60": (("main-60",), ()),
}
# Sets of judged texts: which part is measured, and on which split.
TEXT_SETS = {
    "triage": ("triage", "test"),
    "triage-blind": ("triage", "blind"),
    "offers": ("offers", "test"),
    "offers-blind": ("offers", "blind"),
}
# Everything that is held out, on one page.
ALL = ("test", "test-more", "test-languages", *TEXT_SETS)
SET_NAMES = (*SETS, *TEXT_SETS, "all")


def evaluate_own(service: Service, name: str) -> tuple[dict[str, Any], str]:
    """The measures on the set `name`, one of `SET_NAMES`, and the page that shows them; with `all`, by set."""
    if name != "all":
        return _evaluate(service, name)
    found = {part: _evaluate(service, part) for part in ALL}
    return {part: measures for part, (measures, _) in found.items()}, "\n\n".join(text for _, text in found.values())


def _evaluate(service: Service, name: str) -> tuple[dict[str, Any], str]:
    folder = service.settings.corpus / "eval"
    title = f"set {name}"
    triage = Triage(service.lexicon, service.embedder().read_query)
    if name in SETS:
        covered, uncovered = SETS[name]
        report = evaluate_sets(service.view().searcher, triage, folder, covered, uncovered)
        return dict(report), page(report, title)
    part, split = TEXT_SETS[name]
    if part == "triage":
        measures = measure_triage(triage, split, folder)
        return asdict(measures), f"{title}\n{triage_report(measures)}"
    # Without the index: verdicts do not depend on the quotes beside them.
    checker = OfferChecker(SignList.load(), service.lexicon, service.contacts, embed=service.embedder().embed_query)
    figures = offer_report(checker, read_offers(folder / f"offers-{split}.jsonl"))
    return {group: asdict(m) for group, m in figures.items()}, f"{title}\n{offer_page(figures)}"
