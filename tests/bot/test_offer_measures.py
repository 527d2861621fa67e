from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.contacts import ContactList
from bot.evaluate_offers import auroc, main, offer_page, offer_report
from bot.offer import OfferChecker
from bot.offer_set import read_offers
from bot.signs import SignList
from retrieval import Lexicon

CORPUS = Path(__file__).parents[2] / "corpus"


def test_auroc_by_hand() -> None:
    assert auroc([0.9, 0.4], [0.4, 0.1], empty=0.0) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert auroc([], [0.1], empty=0.0) == 0


def test_the_splits_are_large_balanced_and_apart() -> None:
    dev, test = (read_offers(CORPUS / "eval" / f"offers-{split}.jsonl") for split in ("dev", "test"))
    everything = dev + test
    assert sum(offer.is_scam for offer in everything) >= 150
    assert sum(not offer.is_scam for offer in everything) >= 150
    assert len({offer.text for offer in everything}) == len({o.offer_id for o in everything}) == len(everything)
    assert {offer.language for offer in dev} == {offer.language for offer in test}


def test_the_aims_on_the_test_split() -> None:
    lexicon = Lexicon.load(CORPUS / "lexicon.yaml")
    checker = OfferChecker(SignList.load(), lexicon, ContactList(()))
    figures = offer_report(checker, read_offers(CORPUS / "eval" / "offers-test.jsonl"))
    assert figures["all"].auroc >= 0.95
    assert figures["all"].honest_high_risk <= 0.03
    assert figures["all"].n_scams == sum(m.n_scams for name, m in figures.items() if name != "all")


def test_offers_by_another_hand_do_not_fall_below_what_was_measured() -> None:
    blind = read_offers(CORPUS / "eval" / "offers-blind.jsonl")
    known = {o.text for split in ("dev", "test") for o in read_offers(CORPUS / "eval" / f"offers-{split}.jsonl")}
    assert len(blind) >= 300
    assert not known & {offer.text for offer in blind}
    checker = OfferChecker(SignList.load(), Lexicon.load(CORPUS / "lexicon.yaml"), ContactList(()))
    figures = offer_report(checker, blind)
    # Measured, patterns alone: 0.955 and 0.026; less a margin.
    assert figures["all"].auroc >= 0.94
    assert figures["all"].honest_high_risk <= 0.04
    assert "zh-Hans" in offer_page(figures)


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--split", "dev", "--json", "--offers", str(CORPUS / "eval")]
    assert main([*arguments, "--lexicon", str(CORPUS / "lexicon.yaml")]) == 0
    assert json.loads(capsys.readouterr().out)["all"]["n_scams"] > 0


def test_a_faulty_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "offers.jsonl"
    path.write_text('{"id": "a", "lang": "en", "label": "maybe", "text": "x"}\n', "utf-8")
    with pytest.raises(ValueError, match="line 1"):
        read_offers(path)
