"""`guitu evaluate` on the sets of judged texts: triage and offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from bot.contacts import ContactList
from retrieval import EmbedderError, Lexicon
from tests.web.processes import REPOSITORY
from web.cli import EVALUATION_SETS
from web.evaluation import ALL, SET_NAMES, SETS, TEXT_SETS, evaluate_own
from web.service import Service


def test_the_command_line_offers_every_set() -> None:
    assert EVALUATION_SETS == SET_NAMES
    assert set(ALL) <= {*SETS, *TEXT_SETS}


class _Embedder:
    def embed_query(self, text: str) -> Any:
        raise EmbedderError("no model in this test")

    read_query = embed_query


class _Settings:
    corpus = REPOSITORY / "corpus"


class _Service:
    """What the sets of texts need of a service, without model and index."""

    settings = _Settings()
    lexicon = Lexicon.load(REPOSITORY / "corpus" / "lexicon.yaml")
    contacts = ContactList(())
    embedder: Callable[[], _Embedder] = staticmethod(_Embedder)


@pytest.mark.parametrize("name", TEXT_SETS)
def test_a_set_of_texts_is_measured_on_one_page(name: str) -> None:
    measures, page = evaluate_own(cast(Service, _Service()), name)
    assert page.splitlines()[0] == f"set {name}"
    assert "zh-Hans" in page
    all_texts = measures["emergency"]["all"] if name.startswith("triage") else measures["all"]
    assert all_texts["auroc"] > 0.5
