"""Learns the weights of the triage: `python -m bot.train_triage` writes triage_weights.yaml from examples, the dev sets and
some of the known questions.

Nothing of the test and blind sets is read. Takes an hour on two cores.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bot.emergency import ALARM, alarm_score
from bot.learned import HEADS, NETWORKS, WEIGHTS_FILE, Read, scores_of, with_rules, write_weights
from bot.refusal import DECLINED, harm_score
from bot.signals import Signals, default_signals
from bot.triage_set import EVAL_DIR, KINDS, Kind, read_examples, read_judged
from bot.types import SITUATIONS
from retrieval import Network, load_embedder
from retrieval.known_questions import question_paths, read_questions_file
from retrieval.learned_file import PROBE_TEXT
from retrieval.network_training import N_DETAILS, N_QUERIES, fit
from retrieval.training import readings

logger = logging.getLogger(__name__)

# How often a network sees each sentence, where it has one head and where it has several.
N_ROUNDS = 14
N_ROUNDS_OF_SEVERAL = 8
# How much a sentence counts for a head when it was collected for another one: the calm questions of one set are no
# look-alikes of the other's.
OTHER_WEIGHT = 0.1
# Sentences on follow-ups are one in twenty and share the network with all the others. Held out, at 5 in 100 false alarms,
# 0.94 of the follow-ups are found with this weight and 0.90 without.
FOLLOW_UP_WEIGHT = 4.0
N_FOLDS = 3
# Known questions that are learned from: what articles answer is no harm, whatever its words. Without them 5 in 100 of the
# dev questions that have an answer were declined.
N_KNOWN = 12000
KNOWN = "known"
# The share of a head's hardest look-alikes, by hands that the network has not seen, that may be taken for its case: there
# the limit is set. A missed emergency costs more than a needless card, which stands above the answer and not in its
# place; a harmful request that is not declined gets quotes of published warnings. Of plain look-alikes, held out, 0.016 are
# declined with 0.06 (0.972 of the plain requests), 0.024 with 0.07 (0.972); of known questions 0.011 and 0.014.
FALSE_ALARMS = {"emergency": 0.08, "harm": 0.06, "follow_up": 0.05}
# The same where an alarm also decides on the situation.
CLEAR_ALARMS = 0.03
_ALARM_CLASSES = frozenset({"trapped", "family_alarm", "self_harm", "violence"})
_SITUATION_CLASSES = {
    "trapped": "trapped",
    "family_alarm": "family",
    "family_calm": "family",
    "offer": "weighing-offer",
    "travel": "about-to-travel",
    "returned": "returned",
    "general": "general",
}


@dataclass(frozen=True, slots=True)
class Lesson:
    """A sentence and what is known of it, by head: true, false, or absent where it says nothing to a head.

    `collection` is the set that it was collected for: a kind, `examples`, which serve all heads, or `KNOWN`; `hand` is who
    wrote it: "" for those who also wrote the rules.
    """

    text: str
    collection: str
    known: dict[str, bool] = field(default_factory=dict)
    hand: str = ""


def lessons(eval_dir: Path) -> list[Lesson]:
    """All sentences that are learned from."""
    found = []
    for name, sentences in read_examples().items():
        known = {"emergency": name in _ALARM_CLASSES, "harm": name == "harmful"}
        if name in _SITUATION_CLASSES:
            known |= {s: s == _SITUATION_CLASSES[name] for s in SITUATIONS}
        found += [Lesson(sentence, "examples", known) for _, sentence in sentences]
    for kind in KINDS:
        for judged in read_judged(kind, "dev", eval_dir):
            # What a follow-up is about is told by the turns before it, not by its words.
            if kind == "situation" and judged.history:
                continue
            hand = judged.text_id.partition("-")[0]
            known = _known(kind, judged.label)
            found.append(Lesson(judged.text, kind, known, "" if hand in KINDS else hand))
    return found


def known_lessons(questions_dir: Path) -> list[Lesson]:
    """Known questions by lot; those of an article are of one hand, so that folds tell how questions on others are taken."""
    texts = [
        (path.stem, text)
        for path in question_paths(questions_dir)
        for group in read_questions_file(path).values()
        for text in group
    ]
    drawn = np.random.default_rng(0).permutation(len(texts))[:N_KNOWN].tolist()
    return [Lesson(text, KNOWN, {"harm": False}, f"{KNOWN} {article}") for article, text in (texts[i] for i in drawn)]


def _known(kind: Kind, label: bool | str) -> dict[str, bool]:
    if kind == "emergency":
        return {"emergency": bool(label), "harm": False}
    if kind == "harm":
        # Some of those who ask how to stop are held themselves.
        return {"harm": True, "emergency": False} if label else {"harm": False}
    if kind == "follow_up":
        return {"follow_up": bool(label)}
    return {s: s == label for s in SITUATIONS}


def fit_networks(tokens: Sequence[torch.Tensor], y: torch.Tensor, counts: torch.Tensor) -> list[Network]:
    """The networks for `NETWORKS`, from what `fit` takes for all `HEADS`."""
    networks = []
    for lot, heads in enumerate(NETWORKS):
        own = [HEADS.index(head) for head in heads]
        is_single = len(own) == 1
        # On situations little is known: what is known for the other heads helps. Held out, 0.91 of them are told with it
        # and 0.83 without.
        taught = own if is_single else list(range(len(HEADS)))
        rows = np.flatnonzero(~torch.isnan(y[:, taught]).all(1).numpy()).tolist()
        network = fit(
            [tokens[row] for row in rows],
            y[rows][:, taught],
            counts[rows][:, taught],
            n_rounds=N_ROUNDS if is_single else N_ROUNDS_OF_SEVERAL,
            lot=lot,
        )
        kept = [taught.index(column) for column in own]
        networks.append(replace(network, heads=network.heads[kept], head_bias=network.head_bias[kept]))
    return networks


def limit(scores: NDArray[Any], is_case: NDArray[np.bool_], false_alarms: float) -> float:
    """The score that at most the share `false_alarms` of the calm sentences reaches."""
    calm = np.sort(scores[~is_case])[::-1]
    return float(calm[int(false_alarms * len(calm))])


def parts(learned: Sequence[Lesson]) -> NDArray[np.int64]:
    """(n,) which of `N_FOLDS` parts each sentence is in, all of a hand in one: what a network makes of a hand that it knows
    says little of new people. Those who also wrote the rules are in all: they alone wrote the plain sentences."""
    hands = sorted({lesson.hand for lesson in learned} - {""})
    of_hand = {hand: n % N_FOLDS for n, hand in enumerate(hands)}
    lots = np.random.default_rng(0).integers(N_FOLDS, size=len(learned)).tolist()
    return np.array([of_hand.get(lesson.hand, lot) for lesson, lot in zip(learned, lots, strict=True)])


def held_out_scores(
    learned: Sequence[Lesson], tokens: Sequence[torch.Tensor], y: torch.Tensor, counts: torch.Tensor, signals: Signals
) -> NDArray[np.float32]:
    """(n, heads), what decides on each sentence, the rules included, by networks that learned without its part."""
    scores = np.zeros(tuple(y.shape), dtype=np.float32)
    part_of = parts(learned)
    for part in range(N_FOLDS):
        kept, left = (np.flatnonzero(is_in).tolist() for is_in in (part_of != part, part_of == part))
        logger.info("learning from %d sentences, without %d", len(kept), len(left))
        networks = fit_networks([tokens[i] for i in kept], y[kept], counts[kept])
        for i in left:
            scores[i] = scores_of(networks, tokens[i].numpy())
    for row, lesson in enumerate(learned):
        found = signals.find(lesson.text)
        scores[row, 0] = with_rules(scores[row, 0], alarm_score(found, signals) - ALARM)
        scores[row, 1] = with_rules(scores[row, 1], harm_score(found, signals) - DECLINED)
    return scores


def set_limits(
    networks: Sequence[Network], learned: Sequence[Lesson], y: torch.Tensor, scores: NDArray[np.float32]
) -> float:
    """Sets the heads' biases so that a case is taken from 0 upwards, by the `scores` held out; the clear alarm."""
    clear_alarm = 0.0
    is_plain = np.array([lesson.hand == "" for lesson in learned])
    for head, false_alarms in FALSE_ALARMS.items():
        column = HEADS.index(head)
        known = ~torch.isnan(y[:, column]).numpy()
        own = np.array([lesson.collection == head for lesson in learned])
        is_case = y[:, column].numpy() == 1
        hard = known & own & ~is_plain
        bound = limit(scores[hard, column], is_case[hard], false_alarms)
        for network, heads in zip(networks, NETWORKS, strict=True):
            if head in heads:
                network.head_bias[heads.index(head)] -= bound
        of_articles = known & np.array([lesson.collection == KNOWN for lesson in learned])
        groups = {"plain wording": known & own & is_plain, "the other hands": hard, "known questions": of_articles}
        for what, chosen in groups.items():
            taken = scores[:, column] > bound
            for outcome, of in (("found", chosen & is_case), ("false alarms", chosen & ~is_case)):
                if of.any():
                    logger.info("%s, held out, %s: %.3f of %d %s", head, what, taken[of].mean(), of.sum(), outcome)
        if head == "emergency":
            clear_alarm = limit(scores[hard, column], is_case[hard], CLEAR_ALARMS) - bound
    return clear_alarm


def train(eval_dir: Path, read: Read, model_name: str, signals: Signals) -> str:
    """The text of the weights file."""
    learned = [*lessons(eval_dir), *known_lessons(eval_dir.parent / "questions")]
    tokens = [torch.from_numpy(found) for _, found in readings(read, [lesson.text for lesson in learned])]
    y = torch.tensor([[float(lesson.known.get(head, np.nan)) for head in HEADS] for lesson in learned])
    counts = torch.tensor([[_count(lesson, head) for head in HEADS] for lesson in learned])
    scores = held_out_scores(learned, tokens, y, counts, signals)
    logger.info("learning from all %d sentences", len(learned))
    networks = fit_networks(tokens, y, counts)
    clear_alarm = set_limits(networks, learned, y, scores)
    probe = read(PROBE_TEXT).vector
    return weights_text(networks, clear_alarm, probe, model_name)


def weights_text(networks: Sequence[Network], clear_alarm: float, probe: NDArray[np.float32], model_name: str) -> str:
    """The text of the weights file for the networks, their limits set."""
    lines = [
        "# What the triage has learned; `python -m bot.train_triage` wrote it from examples.yaml, the dev sets and known",
        "# questions alone.",
        f"# Model: {model_name}. retrieval/network.py says how they read tokens; the case of a head is taken from 0",
        "# upwards. The second document holds, in ten-thousandths, a line each: the vector of the probe, then for each",
        "# network the rows of keys, key bias, queries, values, value bias, whole, whole bias, heads, head bias.",
        f"heads: [{', '.join(HEADS)}]",
        f"clear_alarm: {clear_alarm:.4f}",
        f"probe: {PROBE_TEXT!r}",
        f"sizes: {{vector: {len(probe)}, width: {networks[0].width}, details: {N_DETAILS}, queries: {N_QUERIES}}}",
    ]
    arrays = [array for network in networks for array in network.arrays]
    return write_weights("\n".join(lines), [probe, *arrays])


def _count(lesson: Lesson, head: str) -> float:
    if head == "follow_up":
        return FOLLOW_UP_WEIGHT
    return 1.0 if head not in KINDS or lesson.collection in (head, "examples", KNOWN) else OTHER_WEIGHT


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the weights."""
    parser = argparse.ArgumentParser(prog="python -m bot.train_triage", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("var"), help="the data folder, for the model")
    parser.add_argument("--eval", type=Path, default=EVAL_DIR, help="the folder of the dev sets")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    embedder = load_embedder(None, options.data)
    options.output.write_text(train(options.eval, embedder.read_query, embedder.name, default_signals()), "utf-8")


if __name__ == "__main__":
    main()
