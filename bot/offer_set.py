"""The labelled advertisements in corpus/eval: scam offers and honest ones, in three splits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

OFFERS_DIR = Path("corpus/eval")
# Fitted on; held out, by the hand of the patterns in part; held out, by another hand.
SPLITS = ("dev", "test", "blind")


@dataclass(frozen=True, slots=True)
class LabelledOffer:
    """One advertisement of a split. `language` is what it is written in."""

    offer_id: str
    language: str
    is_scam: bool
    text: str


def read_offers(path: Path) -> list[LabelledOffer]:
    """The advertisements in the JSON lines file `path`, in order.

    Raises:
        ValueError: a line is not as it should be; the message names it.
    """
    offers = []
    for n, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            label = record["label"]
            if label not in ("scam", "honest"):
                raise ValueError(f"label '{label}'")
            offers.append(LabelledOffer(record["id"], record["lang"], label == "scam", record["text"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"'{path}', line {n}: needs id, lang, label (scam or honest) and text") from error
    return offers
