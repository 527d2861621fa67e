"""`guitu evaluate` on our own sets: answers, triage and offers on one page."""

from __future__ import annotations

from typing import Any

from bot.evaluate import evaluate_sets, page
from web.service import Service

SETS = {
    "dev": (("dev",), ("dev-uncovered",)),
    "test": (("test",), ("test-uncovered",)),
    "facts-test": (("facts-test",), ()),
    "main-60": (("main-60",), ()),
}


def evaluate_own(service: Service, name: str) -> tuple[dict[str, Any], str]:
    """The measures on the set `name`, and the page that shows them."""
    covered, uncovered = SETS[name]
    searcher = service.view().searcher
    report = evaluate_sets(searcher, service.settings.corpus / "eval", covered, uncovered)
    return report, page(report, f"set {name}")
