"""How a `Network` learns, in torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from retrieval.network import Network
from retrieval.training import paced

logger = logging.getLogger(__name__)

# Chosen by learning the triage without some hands' sentences and judging those. Gained nothing that could be told: more
# queries, what the rules find as a further input, further layers of the model.
N_DETAILS = 160
N_QUERIES = 8
RATE = 2e-3
DECAY = 0.05
DROPPED = 0.3
BATCH = 64
_WARM_UP_STEPS = 100


class _Learner(nn.Module):
    """`retrieval.network.Network` as torch learns it, on standardised tokens."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.keys = nn.Linear(width, N_DETAILS)
        self.queries = nn.Parameter(torch.randn(N_QUERIES, N_DETAILS) / N_DETAILS**0.5)
        self.values = nn.Linear(width, N_DETAILS)
        self.whole = nn.Linear(width, N_DETAILS)
        self.heads = nn.Linear(N_DETAILS * (N_QUERIES + 1), n_heads)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, heads) for (batch, n, width) tokens and a (batch, n) mask."""
        tokens = functional.dropout(tokens, DROPPED, self.training)
        likeness = torch.tanh(self.keys(tokens)) @ self.queries.T
        shares = likeness.masked_fill(mask[..., None] == 0, -torch.inf).softmax(1)
        details = torch.einsum("bnq,bnh->bqh", shares, functional.relu(self.values(tokens))).flatten(1)
        mean = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        found = torch.cat([details, functional.relu(self.whole(mean))], 1)
        out: torch.Tensor = self.heads(functional.dropout(found, 2 * DROPPED, self.training))
        return out

    def network(self, mean: torch.Tensor, scale: torch.Tensor) -> Network:
        """The same for tokens as the model gives them, `mean` and `scale` being those they were standardised by."""
        arrays: list[torch.Tensor] = []
        for layer in (self.keys, self.values, self.whole):
            weight = layer.weight / scale
            arrays += [weight, layer.bias - weight @ mean]
        arrays[2:2] = [self.queries]
        arrays += [self.heads.weight, self.heads.bias]
        return Network(*(array.detach().numpy() for array in arrays))


def fit(tokens: Sequence[torch.Tensor], y: torch.Tensor, counts: torch.Tensor, *, n_rounds: int, lot: int) -> Network:
    """The network for texts given as their tokens, with progress in the log.

    Args:
        y: (n, heads), NaN where nothing is known.
        counts: (n, heads), how much each counts.
        n_rounds: how often each is seen.
        lot: another one draws other first weights and another order.
    """
    torch.manual_seed(lot)
    chance = np.random.default_rng(lot)
    every = torch.cat(list(tokens))
    mean, scale = every.mean(0), every.std(0)
    learner = _Learner(every.shape[1], y.shape[1])
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    n_steps = n_rounds * -(-len(tokens) // BATCH)
    pace = paced(optimiser, n_steps=n_steps, n_warm_up=_WARM_UP_STEPS, least=0.0)
    for n in range(n_rounds):
        logger.info("round %d of %d, %d texts", n + 1, n_rounds, len(tokens))
        for rows in _batches(tokens, chance):
            padded = nn.utils.rnn.pad_sequence([(tokens[row] - mean) / scale for row in rows], batch_first=True)
            mask = torch.arange(padded.shape[1]) < torch.tensor([len(tokens[row]) for row in rows])[:, None]
            known = ~torch.isnan(y[rows])
            scores = learner(padded, mask.float())[known]
            loss = functional.binary_cross_entropy_with_logits(scores, y[rows][known], weight=counts[rows][known])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            pace.step()
    return learner.network(mean, scale)


def _batches(tokens: Sequence[torch.Tensor], chance: np.random.Generator) -> list[NDArray[np.int64]]:
    """All rows once, those of like length together, in an order by lot."""
    order = chance.permutation(len(tokens))
    order = order[np.argsort([len(tokens[row]) // 8 for row in order], kind="stable")]
    batches = np.split(order, range(BATCH, len(order), BATCH))
    return [batches[i] for i in chance.permutation(len(batches))]
