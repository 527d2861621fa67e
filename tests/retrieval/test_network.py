"""The network that reads tokens: computed by hand, and learned in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retrieval.network import Network
from retrieval.network_training import _Learner, fit


def test_the_network_by_hand() -> None:
    """One detail, one query: the token with the larger key counts e^2 times as much as the one with the smaller."""
    one = np.ones((1, 1), dtype=np.float32)
    zero = np.zeros(1, dtype=np.float32)
    heads = np.array([[1.0, 10.0]] * 2, dtype=np.float32)
    network = Network(100 * one, zero, one, one, zero, one, zero, heads, np.array([0.5, 0.0], dtype=np.float32))
    tokens = np.array([[1.0], [-3.0]], dtype=np.float32)
    # Keys are tanh(100) = 1 and -1; values 1 and 0, being cut below; the mean -1 is cut to 0.
    share = np.exp(2) / (np.exp(2) + 1)
    assert network.scores(tokens) == pytest.approx([share + 0.5, share], rel=1e-5)


def test_the_network_is_what_was_learned() -> None:
    torch.manual_seed(0)
    learner = _Learner(12, 3).eval()
    tokens, mean, scale = torch.randn(5, 12), torch.randn(12), torch.rand(12) + 0.5
    with torch.no_grad():
        theirs = learner(((tokens - mean) / scale)[None], torch.ones(1, 5))[0].numpy()
    assert learner.network(mean, scale).scores(tokens.numpy()) == pytest.approx(theirs, abs=1e-4)


def test_what_is_told_apart_is_learned() -> None:
    chance = np.random.default_rng(0)
    is_case = np.arange(2048) % 2 == 0
    tokens = [torch.from_numpy(chance.normal(size=(4, 8)).astype(np.float32)) for _ in is_case]
    for sentence, case in zip(tokens, is_case, strict=True):
        # One token of four carries a mark, wherever it stands.
        sentence[int(chance.integers(4)), 0] = 6.0 if case else -6.0
    y = torch.from_numpy(np.tile(is_case[:, None], (1, 2)).astype(np.float32))
    y[:, 1] = torch.nan
    network = fit(tokens, y, torch.ones_like(y), n_rounds=8, lot=0)
    scores = np.array([network.scores(sentence.numpy())[0] for sentence in tokens])
    assert np.mean(scores[is_case][:, None] > scores[~is_case]) > 0.95
