"""`python -m bot.train_coverage DATA_FOLDER` learns retrieval/coverage*.txt from the paired development questions.

Those much like a question of another set are left out: on the development questions `bot.train_evidence` learns how much to
make of what is learned here, and on the test questions all is judged. Takes 20 minutes on two cores.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch

from bot.question_set import JudgedQuestion, fact_keys, read_questions
from bot.train_evidence import COVERED, UNCOVERED
from bot.train_reranker import as_read, paired_questions
from retrieval import load_embedder, number_lines
from retrieval.coverage import COVERAGE_FILE, SENTENCES_FILE, sentence_lines
from retrieval.learned_file import PROBE_TEXT
from retrieval.network_training import N_DETAILS, N_QUERIES, fit
from retrieval.training import CORPUS, OwnSentences, readings

logger = logging.getLogger(__name__)

# Networks that differ in what they drew by lot while they learned; the mean of their scores counts.
N_NETWORKS = 2
N_ROUNDS = 14
HELD_OUT = ("test", "test-uncovered", "test-more", "test-more-uncovered", "test-languages", "facts-test", "main-60")
# Texts with this much of their pairs of letters in common (Dice) are much alike.
MUCH_ALIKE = 0.7


def lessons(folder: Path) -> list[JudgedQuestion]:
    """The paired questions in `folder`, without those much like one that `bot.train_evidence` learns from or one held out."""
    paired = paired_questions(folder)
    apart = [judged.question for name in (*COVERED, *UNCOVERED, *HELD_OUT) for judged in read_questions(folder, name)]
    is_like = much_alike([judged.question for judged in paired], apart)
    return [judged for judged, like in zip(paired, is_like, strict=True) if not like]


def asked_for(learned: Sequence[JudgedQuestion], own: OwnSentences) -> list[str]:
    """The sentences that rest on what some question of `learned` asks for; of the others it was not learned that they answer."""
    asked = {fact for judged in learned for fact in judged.facts}
    return [text for text, sources in zip(own.texts, own.sources, strict=True) if fact_keys(sources) & asked]


def much_alike(texts: Sequence[str], others: Sequence[str]) -> list[bool]:
    """Which of `texts` are much like one of `others`."""
    pairs_of = [_letter_pairs(text) for text in others]
    holding: dict[str, list[int]] = defaultdict(list)
    for n, pairs in enumerate(pairs_of):
        for pair in pairs:
            holding[pair].append(n)
    found = []
    for text in texts:
        pairs = _letter_pairs(text)
        shared = Counter(n for pair in pairs for n in holding[pair])
        found.append(any(2 * count >= MUCH_ALIKE * (len(pairs) + len(pairs_of[n])) for n, count in shared.items()))
    return found


def _letter_pairs(text: str) -> set[str]:
    letters = "".join(letter for letter in text.casefold() if letter.isalnum())
    return {letters[n : n + 2] for n in range(max(1, len(letters) - 1))}


def main(data: Path) -> None:
    """Writes coverage.txt and coverage_sentences.txt."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    embedder = load_embedder(None, data)
    learned = lessons(CORPUS / "eval")
    tokens = [torch.from_numpy(found) for _, found in readings(embedder.read_query, [as_read(one) for one in learned])]
    is_covered = torch.tensor([[float(bool(one.facts))] for one in learned])
    logger.info("%d questions, %d that an article answers", len(learned), int(is_covered.sum()))
    counts = torch.ones_like(is_covered)
    networks = [fit(tokens, is_covered, counts, n_rounds=N_ROUNDS, lot=lot) for lot in range(N_NETWORKS)]
    probe = embedder.embed_query(PROBE_TEXT)
    sizes = f"{len(probe)} {tokens[0].shape[1]} {N_DETAILS} {N_QUERIES} {N_NETWORKS}"
    arrays = [array for network in networks for array in network.arrays]
    SENTENCES_FILE.write_text(sentence_lines(asked_for(learned, OwnSentences.read(data))), "ascii")
    COVERAGE_FILE.write_text(f"{sizes}\n{number_lines([probe, *arrays])}", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
