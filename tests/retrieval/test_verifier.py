"""The layers that read a question and a sentence once more: where they come from, and when there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from retrieval import EmbedderError, HashEmbedder, Index, Lexicon, Reading, Searcher, build_index
from retrieval.embed import Progress
from retrieval.encoders import OpenVinoEmbedder
from retrieval.errors import LearnedFileError
from retrieval.reranker import LOG_ODDS_RANGE, Keys
from retrieval.verifier import MAPS, N_LAYERS, NORMS, UPPER_LAYERS_FILE, Changes, UpperLayers


def transformer(first: int) -> Any:
    state = {
        f"encoder.layer.{first + n}.{name}.{kind}": torch.randn(4, 4) if kind == "weight" else torch.randn(4)
        for n in range(N_LAYERS)
        for name in (*MAPS.values(), *NORMS.values())
        for kind in ("weight", "bias")
    }
    return SimpleNamespace(state_dict=lambda: state, config=SimpleNamespace(num_attention_heads=2))


def test_layers_are_kept_in_half_the_precision(tmp_path: Path) -> None:
    layers = UpperLayers.of_model(transformer(first=3), first=3)
    assert layers is not None
    layers.save(tmp_path)
    kept = UpperLayers.load(tmp_path)
    assert kept is not None
    assert kept.n_heads == 2
    assert kept.arrays.keys() == layers.arrays.keys()
    for name, array in layers.arrays.items():
        np.testing.assert_allclose(kept.arrays[name], array, atol=2e-3)


def test_another_kind_of_model_has_none(tmp_path: Path) -> None:
    assert UpperLayers.of_model(transformer(first=3), first=2) is None
    assert UpperLayers.load(tmp_path) is None


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / UPPER_LAYERS_FILE).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(EmbedderError, match=UPPER_LAYERS_FILE):
        UpperLayers.load(tmp_path)
    (tmp_path / "verifier.txt").write_text("3 4 5\n1 2 3\n", "utf-8")
    with pytest.raises(LearnedFileError, match="train_verifier"):
        Changes.load(tmp_path / "verifier.txt")


@pytest.mark.model
@pytest.mark.parametrize(
    ("sentence", "answered", "open_question"),
    [
        ("拨打12308只收当地通话费，热线本身不收费。", "12308要收费吗", "12308是哪一年开通的"),
        ("More than 7,000 people were freed in February 2025.", "How many were freed?", "Who paid for their flights?"),
    ],
)
def test_a_question_that_is_left_open_is_told(
    openvino_embedder: OpenVinoEmbedder, sentence: str, answered: str, open_question: str
) -> None:
    embedder = openvino_embedder
    reranker, verifier = embedder.reranker, embedder.verifier
    assert reranker is not None
    assert verifier is not None
    _, keys = embedder.read_sentences([sentence])
    assert keys is not None

    def log_odds(question: str) -> float:
        tokens = embedder.read_query(question).tokens
        assert tokens is not None
        return verifier.log_odds(tokens, reranker.findings(tokens, keys[0]), 0.0)

    assert log_odds(answered) > log_odds(open_question) + 1
    # As long as a question may be, and the same whenever it is asked.
    assert log_odds(answered * 40) == log_odds(answered * 40)


@pytest.mark.model
def test_a_model_without_its_layers_or_with_others_verifies_nothing(
    openvino_embedder: OpenVinoEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = openvino_embedder.folder
    for path in export.iterdir():
        if path.name != UPPER_LAYERS_FILE:
            (tmp_path / path.name).symlink_to(path)
    assert OpenVinoEmbedder(tmp_path).verifier is None
    monkeypatch.setattr(Changes, "fits", lambda self, reading: False)
    assert OpenVinoEmbedder(export).verifier is None


class _Verifier:
    """Adds up what it is given, but for the score that it is asked to look at."""

    def log_odds(self, tokens: np.ndarray, findings: np.ndarray, score: float) -> float:
        return float(findings.sum()) + score


class _Reading(HashEmbedder):
    """Tells tokens, and reads each sentence as keys of its length."""

    verifier: Any = _Verifier()
    reranker: Any = SimpleNamespace(
        digest="length",
        scores=lambda tokens, keys: np.array([20.0] * len(keys), np.float32),
        findings=lambda tokens, keys: keys.astype(np.float32),
    )

    def read_query(self, text: str) -> Reading:
        vector = self.embed_query(text)
        return Reading(vector, np.ones((2, 3), np.float32), vector)

    def read_sentences(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[Any, list[Keys] | None]:
        return self.embed_passages(texts), [np.full((1, 1), min(len(text), 120), np.int8) for text in texts]


def test_a_sentence_is_read_by_its_own_keys_and_bounded_score(tiny_index: Index) -> None:
    embedder = _Reading()
    index = build_index(list(tiny_index.articles.values()), embedder, Lexicon())
    searcher = Searcher(index, embedder, Lexicon())
    query = searcher.query("12308")
    _, sentences = searcher.find(query, 3)
    assert len(sentences) > 2
    for sentence in sentences:
        assert searcher.verified(query, sentence) == min(len(sentence.text), 120) + LOG_ODDS_RANGE
        assert searcher.verified(query, replace(sentence, reranked=None)) is None
        assert searcher.verified(replace(query, tokens=None), sentence) is None
        assert searcher.verified(replace(query, tokens=np.zeros((0, 3), np.float32)), sentence) is None
    plain = Searcher(replace(index, sentence_keys=None), embedder, Lexicon())
    assert plain.verified(query, sentences[0]) is None
    assert Searcher(index, HashEmbedder(), Lexicon()).verified(query, sentences[0]) is None
