"""Measures the offer check on a labelled split: `python -m bot.evaluate_offers` prints the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.contacts import ContactList
from bot.offer import OfferChecker
from bot.offer_set import OFFERS_DIR, SPLITS, LabelledOffer, read_offers
from bot.ranking import auroc
from bot.signs import SignList
from bot.types import OfferReport
from retrieval import Lexicon


@dataclass(frozen=True, slots=True)
class OfferMeasures:
    """Figures of one group of advertisements; a share of nothing is 0.

    `precision` and `recall` count `high_risk` alone as an alarm; `recall_flagged` counts `suspicious` too.
    `brier` is the mean squared error of the score.
    """

    n_scams: int
    n_honest: int
    auroc: float
    precision: float
    recall: float
    recall_flagged: float
    honest_high_risk: float
    honest_flagged: float
    brier: float


def measure(reports: Sequence[tuple[bool, OfferReport]]) -> OfferMeasures:
    """The figures of (is a scam, report) pairs."""
    scams = [report for is_scam, report in reports if is_scam]
    honest = [report for is_scam, report in reports if not is_scam]
    hit, alarm = _n(scams, "high_risk"), _n(honest, "high_risk")
    return OfferMeasures(
        n_scams=len(scams),
        n_honest=len(honest),
        auroc=round(auroc([r.score for r in scams], [r.score for r in honest], empty=0.0), 4),
        precision=_share(hit, hit + alarm),
        recall=_share(hit, len(scams)),
        recall_flagged=_share(hit + _n(scams, "suspicious"), len(scams)),
        honest_high_risk=_share(alarm, len(honest)),
        honest_flagged=_share(alarm + _n(honest, "suspicious"), len(honest)),
        brier=_share(sum((r.score - is_scam) ** 2 for is_scam, r in reports), len(reports)),
    )


def offer_report(checker: OfferChecker, offers: Sequence[LabelledOffer]) -> dict[str, OfferMeasures]:
    """Figures for `all` and then for each language, by its tag."""
    reports = [(offer.language, offer.is_scam, checker.check(offer.text)) for offer in offers]
    languages = sorted({language for language, _, _ in reports})
    groups = {"all": [(is_scam, report) for _, is_scam, report in reports]}
    groups |= {tag: [(is_scam, r) for language, is_scam, r in reports if language == tag] for tag in languages}
    return {name: measure(group) for name, group in groups.items()}


def offer_page(figures: Mapping[str, OfferMeasures]) -> str:
    """The figures as a table for people."""
    lines = ["group    scams honest AUROC  precision recall flagged honest-high honest-flagged brier"]
    lines += [
        f"{name:8} {m.n_scams:5} {m.n_honest:6} {m.auroc:5.3f} {m.precision:9.3f} {m.recall:6.3f}"
        f" {m.recall_flagged:7.3f} {m.honest_high_risk:11.3f} {m.honest_flagged:14.3f} {m.brier:5.3f}"
        for name, m in figures.items()
    ]
    return "\n".join(lines)


def _n(reports: Sequence[OfferReport], verdict: str) -> int:
    return sum(report.verdict == verdict for report in reports)


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures of a split."""
    parser = argparse.ArgumentParser(prog="python -m bot.evaluate_offers", description=__doc__)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--offers", type=Path, default=OFFERS_DIR, help="folder of the splits")
    parser.add_argument("--lexicon", type=Path, default=Path("corpus/lexicon.yaml"))
    parser.add_argument("--model", type=Path, help="data folder of the embedding model; without it: patterns alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    embed = None
    if options.model:
        from retrieval import load_embedder

        embed = load_embedder(None, options.model).embed_query
    checker = OfferChecker(SignList.load(), Lexicon.load(options.lexicon), ContactList(()), embed=embed)
    figures = offer_report(checker, read_offers(options.offers / f"offers-{options.split}.jsonl"))
    if options.json:
        print(json.dumps({name: asdict(m) for name, m in figures.items()}, indent=1))
        return 0
    print(offer_page(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
