"""What is learned in torch is what the bot computes with OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

import bot.train_verifier
from bot.train_reranker import Lesson
from bot.train_verifier import Example, _batch, _Learner, example, fit
from retrieval import number_lines
from retrieval.reranker import Reranker
from retrieval.verifier import MAPS, N_LAYERS, NORMS, Changes, UpperLayers, Verifier

WIDTH, WIDE, HEADS, D, H = 16, 24, 4, 4, 5


@pytest.fixture
def layers() -> UpperLayers:
    chance = np.random.default_rng(3)
    arrays = {}
    sizes = {"widened": (WIDE, WIDTH), "narrowed": (WIDTH, WIDE)}
    for n in range(N_LAYERS):
        for name in MAPS:
            shape = sizes.get(name, (WIDTH, WIDTH))
            arrays[f"{n}.{name}.weight"] = chance.normal(size=shape, scale=0.4).astype(np.float32)
            arrays[f"{n}.{name}.bias"] = chance.normal(size=shape[0], scale=0.4).astype(np.float32)
        for name in NORMS:
            arrays[f"{n}.{name}.weight"] = chance.normal(size=WIDTH, loc=1, scale=0.2).astype(np.float32)
            arrays[f"{n}.{name}.bias"] = chance.normal(size=WIDTH, scale=0.2).astype(np.float32)
    return UpperLayers(HEADS, arrays)


@pytest.fixture
def reranker() -> Reranker:
    chance = np.random.default_rng(5)
    blocks = [chance.normal(size=shape).astype(np.float32) for shape in Reranker.shapes(3, WIDTH, D, H)]
    return Reranker(*blocks, digest="")


def verifier(layers: UpperLayers, blocks: list[np.ndarray], path: Path) -> Verifier:
    sizes = f"3 {WIDTH} {WIDE} {3 * D + 1} {bot.train_verifier.N_INNER} {bot.train_verifier.RANK}"
    path.write_text(f"{sizes}\n{number_lines([np.ones(3), *blocks])}", "utf-8")
    return Verifier(layers, Changes.load(path), openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"})


def test_the_compiled_layers_give_what_was_learned(layers: UpperLayers, reranker: Reranker, tmp_path: Path) -> None:
    torch.manual_seed(2)
    learner = _Learner(layers, 3 * D + 1, spread=1.5).eval()
    with torch.no_grad():
        # As made by lot, nothing is changed yet.
        for name, parameter in learner.named_parameters():
            if name.endswith(("up", "shift")):
                parameter.copy_(torch.randn_like(parameter) / 4)
        learner.verdict.weight *= 5
    sentences = [reranker.keys(np.random.default_rng(n).normal(size=(n, WIDTH)).astype(np.float32)) for n in (3, 9, 1)]
    compiled = verifier(layers, learner.blocks(), tmp_path / "verifier.txt")
    found = []
    for length, row in ((1, 0), (5, 1), (24, 2), (40, 0), (90, 1)):
        tokens = np.random.default_rng(length).normal(size=(length, WIDTH)).astype(np.float32)
        asked = Example(tokens[-64:], [row], 1, [2.5])
        with torch.no_grad():
            expected = float(learner(*_batch([(asked, row, 2.5)], reranker, sentences)))
        findings = reranker.findings(tokens, sentences[row])
        assert compiled.log_odds(tokens, findings, 2.5) == pytest.approx(expected, abs=0.02)
        found.append(expected)
    assert np.ptp(found) > 0.5


def test_a_fit_learns_that_a_word_is_left_open(
    layers: UpperLayers, reranker: Reranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question has two words; a sentence that has just one of them does not answer."""
    monkeypatch.setattr(bot.train_verifier, "N_STEPS", 300)
    chance = np.random.default_rng(11)
    words = chance.normal(size=(12, WIDTH)).astype(np.float32) * 3
    keys = [reranker.keys(words[[n, (n + 1) % 12]]) for n in range(12)]
    asked = [Example(words[[n, (n + 1) % 12]], [(n + k) % 12 for k in (0, 1, 11)], 1, [0.0] * 3) for n in range(12)]
    blocks = fit(layers, reranker, keys, asked, [])
    compiled = verifier(layers, blocks, tmp_path / "verifier.txt")

    def odds(n: int, row: int) -> float:
        return compiled.log_odds(asked[n].tokens, reranker.findings(asked[n].tokens, keys[row]), 0.0)

    right = [odds(n, n) for n in range(12)]
    half = [odds(n, (n + 1) % 12) for n in range(12)]
    assert np.mean(np.array(right) > np.array(half)) > 0.9


def test_an_example_has_the_answer_first_and_the_best_others(reranker: Reranker) -> None:
    chance = np.random.default_rng(4)
    tokens = chance.normal(size=(6, WIDTH)).astype(np.float32)
    keys = [reranker.keys(chance.normal(size=(4, WIDTH)).astype(np.float32)) for _ in range(9)]
    scores = reranker.scores(torch.from_numpy(tokens).half().float().numpy(), keys)
    worst = int(scores.argmin())
    made = example(Lesson(torch.from_numpy(tokens).half(), range(9), frozenset([worst])), reranker, keys)
    assert made is not None
    assert (made.rows[0], made.n_answers, len(made.rows)) == (worst, 1, 1 + bot.train_verifier.N_OTHERS)
    assert list(made.scores[1:]) == sorted(made.scores[1:], reverse=True)
    assert made.scores[1] == pytest.approx(min(12.0, float(scores.max())), abs=1e-4)
    few = Lesson(torch.from_numpy(tokens).half(), range(3), frozenset([0]))
    assert example(few, reranker, keys) is None
