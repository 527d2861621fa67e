"""The space of questions: learned numbers, whom they fit, and what they tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.embed import HashEmbedder, OpenVinoEmbedder
from retrieval.learned_file import PROBE_TEXT
from retrieval.question_space import SPACE_FILE, QuestionSpace, features_of
from retrieval.types import Reading


def test_points_by_hand() -> None:
    space = QuestionSpace(np.ones(1), np.array([1.0, 2.0]), np.array([[1.0, 0.0], [1.0, -1.0]]), "")
    features = features_of(np.array([[3.0]], dtype=np.float32), np.array([[7.0]], dtype=np.float32))
    assert space.points(features).tolist() == [[2.0, -3.0]]
    assert space.n_directions == 2


def test_the_space_belongs_to_one_model() -> None:
    space = QuestionSpace.load()
    width = len(space.mean) - len(space.probe)
    tokens = np.zeros((3, width), dtype=np.float32)
    assert space.fits(Reading(space.probe, tokens, space.probe))
    assert not space.fits(Reading(-space.probe, tokens, space.probe))
    assert not space.fits(Reading(space.probe, tokens[:, 1:], space.probe))
    assert not space.fits(Reading(space.probe, None, space.probe))
    assert not space.fits(HashEmbedder().read_query(PROBE_TEXT))


TRIPLES = [
    ("从国外怎么打12308", "在泰国想拨外交部那个热线要按什么号", "12308是哪一年开通的"),
    ("护照被老板收走了怎么补办", "没有护照了要去哪里弄回国的证件", "老板收护照犯法吗"),
    ("How do I check whether a recruiter is licensed?", "is there a list of agencies", "What does a recruiter charge?"),
    ("KK园区在哪里", "where exactly is KK Park", "KK园区里有多少人"),
    ("Who pays for the flight home?", "回国机票谁出钱", "How long does the flight home take?"),
]


@pytest.mark.model
class TestReal:
    def test_points_of_a_batch_are_those_of_single_questions(self, openvino_embedder: OpenVinoEmbedder) -> None:
        texts = [
            "护照被扣了怎么办？",
            "How do I call 12308 from Thailand",
            "ใครช่วยได้บ้าง",
            "短",
            "从国外怎么打电话" * 20,
        ]
        together = openvino_embedder.place_questions(texts)
        alone = np.stack([openvino_embedder.read_query(text).point for text in texts])
        assert np.abs(together - alone).max() <= 1e-2
        assert np.linalg.norm(alone, axis=1) == pytest.approx(1.0, abs=1e-5)

    def test_what_is_asked_counts_for_more_than_in_vectors(self, openvino_embedder: OpenVinoEmbedder) -> None:
        """A question, the same in other words, and another one on the same subject: by vectors the last is nearer."""
        n_right = {"point": 0, "vector": 0}
        for texts in TRIPLES:
            asked, same, other = (openvino_embedder.read_query(text) for text in texts)
            for what in n_right:
                a, b, c = (getattr(reading, what) for reading in (asked, same, other))
                n_right[what] += bool(a @ b > a @ c)
        assert n_right["point"] > n_right["vector"]

    def test_its_digest_is_in_the_embedder(self, openvino_embedder: OpenVinoEmbedder) -> None:
        assert openvino_embedder.question_space == QuestionSpace.load(SPACE_FILE).digest
