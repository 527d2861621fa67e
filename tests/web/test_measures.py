"""Quality on the committed question sets: it may not fall below the committed figures by more than the margin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.evaluate import evaluate_sets, page
from bot.triage import Triage
from retrieval import Lexicon, Searcher, load_embedder, load_index
from tests.web.processes import REPOSITORY
from web.evaluation import SETS

pytestmark = pytest.mark.model
FIGURES: dict[str, Any] = yaml.safe_load((REPOSITORY / "corpus" / "eval" / "figures.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def parts(built_data: Path) -> tuple[Searcher, Triage]:
    embedder = load_embedder(None, built_data)
    lexicon = Lexicon.load(REPOSITORY / "corpus" / "lexicon.yaml")
    searcher = Searcher(load_index(built_data / "index", embedder), embedder, lexicon)
    return searcher, Triage(lexicon, embedder.read_query)


@pytest.mark.parametrize("name", list(FIGURES["sets"]))
def test_no_measure_falls(name: str, parts: tuple[Searcher, Triage], capsys: pytest.CaptureFixture[str]) -> None:
    covered, uncovered = SETS[name]
    report = evaluate_sets(*parts, REPOSITORY / "corpus" / "eval", covered, uncovered)
    with capsys.disabled():
        print("\n" + page(report, f"set {name}"))
    assert report["all"]["quoted"] == 1.0
    committed = FIGURES["sets"][name]
    assert committed
    fallen = {
        f"{group} {measure}": (value, report[group][measure])
        for group, measures in committed.items()
        for measure, value in measures.items()
        if report[group][measure] < value - FIGURES["margin"]
    }
    assert fallen == {}
