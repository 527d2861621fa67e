"""Fits the weights of the signs to the dev split: `python -m bot.train_offer` writes offer_weights.yaml."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.contacts import ContactList
from bot.offer import Embed, Findings, OfferChecker
from bot.offer_score import MAX_REASSURANCE, PRIOR_REASSURANCE, PRIOR_WEIGHT, WEIGHTS_PATH, OfferWeights
from bot.offer_set import OFFERS_DIR, LabelledOffer, read_offers
from bot.signs import SignList
from retrieval import Lexicon

# How strongly weights are drawn back to those of their class; few advertisements show the rarer signs.
PRIOR_STRENGTH = 1.0
N_STEPS = 4000
STEP = 0.02
# The limit of high risk is set so that at most this share of the honest ones of the dev split reaches it.
MAX_HONEST_HIGH_RISK = 0.0


def fit(findings: Sequence[Findings], labels: Sequence[bool], signs: SignList) -> OfferWeights:
    """The weights that explain `labels` (true: a scam) best, drawn to the weights of their classes.

    Signs never speak for an offer and reassurances never against it, whatever a small set may suggest.
    """
    prior = OfferWeights.prior(signs)
    sign_ids = [sign.sign_id for sign in signs.signs]
    calm_ids = [r.reassurance_id for r in signs.reassurances]
    x = np.array(
        [[key in f.counted(signs) for key in sign_ids] + [key in f.reassurances for key in calm_ids] for f in findings],
        dtype=np.float64,
    )
    y = np.array(labels, dtype=np.float64)
    centre = np.array([prior.signs[k] for k in sign_ids] + [prior.reassurances[k] for k in calm_ids])
    weights, bias = centre.copy(), prior.bias
    n_signs = len(sign_ids)
    for _ in range(N_STEPS):
        error = _probabilities(x, weights, bias, n_signs) - y
        weights -= STEP * (x.T @ error + PRIOR_STRENGTH * (weights - centre))
        bias -= STEP * float(error.sum()) / 4
        weights[:n_signs] = np.clip(weights[:n_signs], 0.05, None)
        weights[n_signs:] = np.clip(weights[n_signs:], None, -0.05)
    scores = _probabilities(x, weights, bias, n_signs)
    high_risk = _threshold(scores[y == 0])
    return OfferWeights(
        bias=round(bias, 3),
        signs={key: round(float(w), 3) for key, w in zip(sign_ids, weights[:n_signs], strict=True)},
        reassurances={key: round(float(w), 3) for key, w in zip(calm_ids, weights[n_signs:], strict=True)},
        high_risk=high_risk,
        suspicious=0.25,
    )


def _probabilities(
    x: NDArray[np.float64], weights: NDArray[np.float64], bias: float, n_signs: int
) -> NDArray[np.float64]:
    calm = np.maximum(x[:, n_signs:] @ weights[n_signs:], -MAX_REASSURANCE)
    logits = bias + x[:, :n_signs] @ weights[:n_signs] + calm
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))


def _threshold(honest: NDArray[np.float64]) -> float:
    """A score that at most the allowed share of the honest ones reaches, and that leaves room above them."""
    ordered = np.sort(honest)[::-1]
    highest = float(ordered[min(int(MAX_HONEST_HIGH_RISK * len(ordered)), len(ordered) - 1)])
    return round(min(max(0.7, (1 + highest) / 2), 0.95), 3)


def write_weights(weights: OfferWeights, path: Path) -> None:
    """Writes `weights` as YAML that a person can read."""
    lines = [
        "# Weights of the signs in signs.yaml, from the dev split alone: `python -m bot.train_offer`.",
        "# score = 1 / (1 + exp(-(bias + signs found + reassurances found, these at least "
        f"{-MAX_REASSURANCE:g} together)))",
        "# A sign that is not listed weighs what its class weighs: "
        + ", ".join(f"{k} {v:g}" for k, v in PRIOR_WEIGHT.items())
        + f"; a reassurance {PRIOR_REASSURANCE:g}.",
        f"bias: {weights.bias:g}",
        "verdicts:  # a score from here on has the verdict",
        f"  high_risk: {weights.high_risk:g}",
        f"  suspicious: {weights.suspicious:g}",
        "signs:",
        *(f"  {key}: {value:g}" for key, value in weights.signs.items()),
        "reassurances:",
        *(f"  {key}: {value:g}" for key, value in weights.reassurances.items()),
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def collect(offers: Sequence[LabelledOffer], signs: SignList, lexicon: Lexicon, embed: Embed | None) -> list[Findings]:
    """What the checker finds in each offer, in order."""
    checker = OfferChecker(signs, lexicon, ContactList(()), embed=embed, weights=OfferWeights.prior(signs))
    return [checker.find(offer.text, offer.language) for offer in offers]


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the dev split, fits and writes."""
    parser = argparse.ArgumentParser(prog="python -m bot.train_offer", description=__doc__)
    parser.add_argument("--dev", type=Path, default=OFFERS_DIR / "offers-dev.jsonl")
    parser.add_argument("--lexicon", type=Path, default=Path("corpus/lexicon.yaml"))
    parser.add_argument("--out", type=Path, default=WEIGHTS_PATH)
    options = parser.parse_args(arguments)
    offers = read_offers(options.dev)
    signs = SignList.load()
    # Patterns alone: the weights must hold as well where the model cannot serve.
    findings = collect(offers, signs, Lexicon.load(options.lexicon), None)
    weights = fit(findings, [offer.is_scam for offer in offers], signs)
    write_weights(weights, options.out)
    print(f"{options.out}: {len(offers)} advertisements, high_risk from {weights.high_risk:g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
