"""What the question alone says of coverage: learned numbers, whom they fit, and what they tell apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import Lexicon
from retrieval.coverage import Coverage, sentence_lines
from retrieval.embed import HashEmbedder, OpenVinoEmbedder
from retrieval.errors import LearnedFileError
from retrieval.learned_file import PROBE_TEXT, number_lines
from retrieval.network import Network
from retrieval.search import Searcher
from retrieval.store import Index
from retrieval.training import OwnSentences
from retrieval.types import Reading


def test_the_mean_of_the_networks_counts(tmp_path: Path) -> None:
    """As it is written and read: two networks whose heads have the biases 1 and -4, and nothing else."""
    blocks = [np.ones(3)]
    for bias in (1.0, -4.0):
        blocks += [np.zeros(shape) for shape in Network.shapes(2, 1, 1, 1)[:-1]] + [np.full(1, bias)]
    path, sentences = tmp_path / "coverage.txt", tmp_path / "sentences.txt"
    path.write_text(f"3 2 1 1 2\n{number_lines(blocks)}", "utf-8")
    sentences.write_text(sentence_lines(["甲。", "乙。", "甲。"]), "utf-8")
    assert len(sentences.read_text("ascii").splitlines()) == 2
    coverage = Coverage.load(path, sentences)
    assert coverage.log_odds(np.ones((4, 2), np.float32)) == -1.5
    assert [coverage.knows(text) for text in ("甲。", "乙。", "丙。", "", "\ud800")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    path.write_text(f"3 2 1 1 3\n{number_lines(blocks)}", "utf-8")
    with pytest.raises(LearnedFileError, match=r"coverage\.txt' is no coverage.*python -m bot\.train_coverage var"):
        Coverage.load(path, sentences)
    path.write_text(f"3 2 1 1 2\n{number_lines(blocks)}", "utf-8")
    for spoiled in (sentences.unlink, lambda: sentences.write_bytes(b"\xff\xfe")):
        spoiled()
        with pytest.raises(
            LearnedFileError,
            match=r"sentences\.txt' cannot be read.*delete it and 'coverage\.txt' and run `python -m bot\.train_coverage var",
        ):
            Coverage.load(path, sentences)


def test_it_belongs_to_one_model() -> None:
    coverage = Coverage.load()
    tokens = np.zeros((3, coverage.networks[0].keys.shape[1]), dtype=np.float32)
    assert coverage.fits(Reading(coverage.probe, tokens, coverage.probe))
    assert not coverage.fits(Reading(-coverage.probe, tokens, coverage.probe))
    assert not coverage.fits(Reading(coverage.probe, tokens[:, 1:], coverage.probe))
    assert not coverage.fits(HashEmbedder().read_query(PROBE_TEXT))


class Telling(HashEmbedder):
    """Gives tokens, as many as the text has letters, and has learned what one sentence covers."""

    def __init__(self, sentence: str) -> None:
        super().__init__()
        zeros = [np.zeros(shape, np.float32) for shape in Network.shapes(2, 1, 1, 1)[:-1]]
        network = Network(*zeros, np.full(1, 2.5, np.float32))
        known = frozenset(sentence_lines([sentence]).split())
        self.coverage = Coverage(np.ones(3, np.float32), [network], known)  # type: ignore[assignment]

    def read_query(self, text: str) -> Reading:
        return replace(super().read_query(text), tokens=np.zeros((len(text), 2), np.float32))


def test_it_tells_of_the_sentences_that_it_learned_of(tiny_index: Index) -> None:
    searcher = Searcher(tiny_index, HashEmbedder(), Lexicon())
    query = searcher.query("passport")
    _, (sentence, other, *_) = searcher.find(query, 5)
    assert sentence.text != other.text
    assert searcher.coverage(query, sentence) is None
    telling = Searcher(tiny_index, Telling(sentence.text), Lexicon())
    query = telling.query("passport")
    assert telling.coverage(query, sentence) == 2.5
    assert telling.coverage(query, other) is None
    assert telling.coverage(telling.query(""), sentence) is None
    assert telling.coverage(replace(query, tokens=None), sentence) is None


def test_it_knows_the_articles_of_the_corpus(tmp_path: Path) -> None:
    """As long as they are not changed: then `python -m bot.train_coverage` is to be run."""
    coverage = Coverage.load()
    texts = OwnSentences.read(tmp_path).texts
    assert np.mean([coverage.knows(text) for text in texts]) > 0.9


NEAR_MISSES = [
    ("12308怎么打", "12308的总机员工工资多少"),
    ("从泰国怎么打12308", "仰光到曼谷的机票多少钱"),
    ("How do I check whether a recruiter is licensed?", "How do I renew my driving licence?"),
    ("园区把我护照收走了怎么办", "护照照片要什么背景颜色"),
    ("ถูกหลอกไปทำงานที่เมียวดี ต้องทำอย่างไร", "ร้านอาหารอร่อยในเมียวดีมีที่ไหนบ้าง"),
]


@pytest.mark.model
def test_near_misses_are_told_by_the_real_one(openvino_embedder: OpenVinoEmbedder) -> None:
    assert openvino_embedder.coverage is not None
    tokens = [[openvino_embedder.read_query(text).tokens for text in texts] for texts in NEAR_MISSES]
    odds = [[openvino_embedder.coverage.log_odds(found) for found in pair if found is not None] for pair in tokens]
    assert all(covered > missed for covered, missed in odds)
