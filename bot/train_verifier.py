"""`python -m bot.train_verifier DATA_FOLDER` learns retrieval/verifier.txt, after the reranker.

From the known questions and the paired development questions: whether a sentence that the reranker puts first answers.
Takes about fifty minutes on two cores.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bot.train_reranker import Lesson, Scale, Sentences, lessons, read_sentences
from retrieval import load_embedder, number_lines
from retrieval.encoders import OpenVinoEmbedder
from retrieval.learned_file import PROBE_TEXT
from retrieval.reranker import LOG_ODDS_RANGE, MAX_QUESTION_TOKENS, Keys, Reranker
from retrieval.training import CORPUS, OwnSentences, paced, readings
from retrieval.verifier import MAPS, N_LAYERS, NORM_EPSILON, NORMS, VERIFIER_FILE, UpperLayers

logger = logging.getLogger(__name__)

# Chosen on the dev questions, by how well those without an answer are told.
RANK = 8
N_INNER = 96
N_STEPS = 4800
RATE = 1e-3
DECAY = 0.01
DROPPED = 0.1
KNOWN_AT_ONCE = 14
PAIRED_AT_ONCE = 36
# Known questions of a sentence that are learned from; and sentences that do not answer, of which two are taken at a time.
KNOWN_OF_SENTENCE = 6
N_OTHERS = 5
# Sentences that are nearest to a known question, before the reranker chooses among them.
N_NEAREST = 20
AT_ONCE = 72
_WARM_UP_STEPS = 50


@dataclass(frozen=True, slots=True)
class Example:
    """A question, the sentences that answer it (one or none) and the best of those that do not, with the log odds that
    the reranker gives each of `rows`, answers first."""

    tokens: NDArray[np.float32]
    rows: Sequence[int]
    n_answers: int
    scores: Sequence[float]


class _Map(nn.Module):
    """A linear map of the model with a learned change of low rank."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        super().__init__()
        outer, within = weight.shape
        self.weight = nn.Buffer(torch.from_numpy(weight))
        self.bias = nn.Buffer(torch.from_numpy(bias))
        self.down = nn.Parameter(torch.randn(RANK, within) / within**0.5)
        self.up = nn.Parameter(torch.zeros(outer, RANK))
        self.shift = nn.Parameter(torch.zeros(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = functional.linear(functional.linear(x, self.down), self.up)
        return functional.linear(x, self.weight, self.bias + self.shift) + change


class _Layer(nn.Module):
    """A layer of the model; `n_heads` share its width."""

    def __init__(self, layers: UpperLayers, n: int) -> None:
        super().__init__()
        arrays = layers.arrays
        self.n_heads = layers.n_heads
        self.maps = nn.ModuleDict(
            {name: _Map(arrays[f"{n}.{name}.weight"], arrays[f"{n}.{name}.bias"]) for name in MAPS}
        )
        width = len(arrays[f"{n}.query.bias"])
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width, eps=NORM_EPSILON) for name in NORMS})
        for name, norm in self.norms.items():
            norm.load_state_dict({kind: torch.from_numpy(arrays[f"{n}.{name}.{kind}"]) for kind in ("weight", "bias")})

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        query, key, value = (
            self.maps[name](x).view(n, length, self.n_heads, -1).transpose(1, 2) for name in ("query", "key", "value")
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        seen = self.maps["joined"](seen.transpose(1, 2).reshape(n, length, width))
        x = self.norms["attended"](x + functional.dropout(seen, DROPPED, self.training))
        passed = self.maps["narrowed"](functional.gelu(self.maps["widened"](x), approximate="tanh"))
        found: torch.Tensor = self.norms["passed"](x + functional.dropout(passed, DROPPED, self.training))
        return found


class _Learner(nn.Module):
    """`retrieval.verifier.Verifier` as torch learns it; `spread` is that of tokens."""

    def __init__(self, layers: UpperLayers, n_findings: int, spread: float) -> None:
        super().__init__()
        width = len(layers.arrays["0.query.bias"])
        self.spread = spread
        self.take = nn.Linear(n_findings, N_INNER)
        self.give = nn.Linear(N_INNER, width)
        with torch.no_grad():
            # Keys are unit vectors: their numbers are small.
            self.take.weight *= 4
            self.give.weight *= 0.3
            self.give.bias.zero_()
        self.layers = nn.ModuleList([_Layer(layers, n) for n in range(N_LAYERS)])
        self.verdict = nn.Linear(2 * width, 1, bias=False)
        self.ends = nn.Parameter(torch.tensor([1 / 6, -1.0]))

    def forward(
        self, tokens: torch.Tensor, findings: torch.Tensor, mask: torch.Tensor, scores: torch.Tensor
    ) -> torch.Tensor:
        """(b,) log odds for (b, n, width) tokens, (b, n, f) findings, a (b, n) mask and (b,) scores of the reranker."""
        x = tokens + self.spread * self.give(functional.gelu(self.take(findings), approximate="tanh"))
        for layer in self.layers:
            x = layer(x, mask)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        verdict = self.verdict(torch.cat([x[:, 0], mean], 1).float()).squeeze(-1)
        odds: torch.Tensor = verdict + self.ends[0] * scores + self.ends[1]
        return odds

    def blocks(self) -> list[NDArray[np.float32]]:
        """The arrays of `retrieval.verifier.Changes` after the probe."""
        arrays: list[torch.Tensor] = [self.take.weight, self.take.bias]
        arrays += [self.spread * self.give.weight, self.spread * self.give.bias]
        for layer in self.layers.children():
            assert isinstance(layer, _Layer)
            arrays += [getattr(layer.maps[name], part) for name in MAPS for part in ("down", "up", "shift")]
            arrays += [getattr(layer.norms[name], part) for name in NORMS for part in ("weight", "bias")]
        arrays += [self.verdict.weight[0], self.ends]
        return [array.detach().numpy() for array in arrays]


def fit(
    layers: UpperLayers, reranker: Reranker, keys: Sequence[Keys], known: Sequence[Example], paired: Sequence[Example]
) -> list[NDArray[np.float32]]:
    """The arrays of `retrieval.verifier.Changes` after the probe.

    Args:
        keys: of all sentences.
        known, paired: the examples, of which each step takes some of both; there may be no paired ones.
    """
    torch.manual_seed(0)
    chance = np.random.default_rng(0)
    scale = Scale.of([torch.from_numpy(example.tokens) for example in known[::20]])
    learner = _Learner(layers, 3 * keys[0].shape[1] + 1, float(scale.spread.mean()))
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    pace = paced(optimiser, n_steps=N_STEPS, n_warm_up=_WARM_UP_STEPS, least=0.02)
    chosen_known, chosen_paired = _in_turn(len(known), chance), _in_turn(len(paired), chance)
    total = 0.0
    for step in range(N_STEPS):
        examples = [known[next(chosen_known)] for _ in range(KNOWN_AT_ONCE)]
        examples += [paired[next(chosen_paired)] for _ in range(PAIRED_AT_ONCE if paired else 0)]
        cases = [case for example in examples for case in _cases(example, chance)]
        # Those of like length together.
        cases.sort(key=lambda case: len(case[0].tokens))
        for start in range(0, len(cases), AT_ONCE):
            few = cases[start : start + AT_ONCE]
            batch = _batch([(example, example.rows[k], example.scores[k]) for example, k in few], reranker, keys)
            with torch.autocast("cpu", torch.bfloat16):
                odds = learner(*batch)
            is_answer = torch.tensor([float(k < example.n_answers) for example, k in few])
            loss = functional.binary_cross_entropy_with_logits(odds, is_answer, reduction="sum") / len(cases)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        pace.step()
        if step % 100 == 99:
            logger.info("step %d of %d, loss %.4f", step + 1, N_STEPS, total / 100)
            total = 0.0
    return learner.blocks()


def _in_turn(n: int, chance: np.random.Generator) -> Iterator[int]:
    """Numbers below n without end, each once in every round."""
    while True:
        yield from chance.permutation(n).tolist()


def _cases(example: Example, chance: np.random.Generator) -> Iterator[tuple[Example, int]]:
    """The first sentence, which is the answer where there is one, and two of the others."""
    yield example, 0
    for k in chance.choice(range(1, len(example.rows)), 2, replace=False).tolist():
        yield example, k


def _batch(
    cases: Sequence[tuple[Example, int, float]], reranker: Reranker, keys: Sequence[Keys]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the learner takes, padded."""
    tokens = [torch.from_numpy(example.tokens) for example, _, _ in cases]
    findings = [torch.from_numpy(reranker.findings(example.tokens, keys[row])) for example, row, _ in cases]
    pad = nn.utils.rnn.pad_sequence
    mask = torch.arange(max(map(len, tokens))) < torch.tensor([len(found) for found in tokens])[:, None]
    scores = torch.tensor([score for _, _, score in cases], dtype=torch.float32)
    return pad(tokens, batch_first=True), pad(findings, batch_first=True), mask, scores


def example(lesson: Lesson, reranker: Reranker, keys: Sequence[Keys]) -> Example | None:
    """The lesson with its sentences as the reranker orders them; None where too few are left that do not answer."""
    tokens = lesson.tokens.float().numpy()
    scores = np.clip(reranker.scores(tokens, [keys[row] for row in lesson.candidates]), -LOG_ODDS_RANGE, LOG_ODDS_RANGE)
    order = np.argsort(-scores, kind="stable").tolist()
    answers = [k for k in order if lesson.candidates[k] in lesson.answers][:1]
    others = [k for k in order if lesson.candidates[k] not in lesson.answers][:N_OTHERS]
    chosen = [*answers, *others]
    if len(others) < 3:
        return None
    return Example(tokens, [lesson.candidates[k] for k in chosen], len(answers), [float(scores[k]) for k in chosen])


def known_lessons(own: OwnSentences, sentences: Sentences, embedder: OpenVinoEmbedder) -> list[Lesson]:
    """Some known questions of each sentence, each beside the sentences that are nearest to it."""
    of_sentence: dict[int, list[str]] = {}
    for question in own.questions:
        of_sentence.setdefault(question.sentence_row, []).append(question.text)
    chance = np.random.default_rng(1)
    drawn = [
        (row, texts[i])
        for row, texts in of_sentence.items()
        for i in chance.permutation(len(texts))[:KNOWN_OF_SENTENCE].tolist()
    ]
    found = []
    read = readings(embedder.read_query, [text for _, text in drawn])
    for (answer, _), (vector, tokens) in zip(drawn, read, strict=True):
        nearest = np.argsort(-(sentences.vectors @ vector), kind="stable")[:N_NEAREST].tolist()
        # What rests on one source may say the same: it is neither an answer nor another.
        others = [row for row in nearest if not sentences.sources[row] & sentences.sources[answer] and row != answer]
        kept = torch.from_numpy(tokens[-MAX_QUESTION_TOKENS:])
        found.append(Lesson(kept, [answer, *others], frozenset([answer])))
    return found


def main(data: Path) -> None:
    """Writes verifier.txt."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    embedder = load_embedder(None, data)
    layers = UpperLayers.load(embedder.folder) if isinstance(embedder, OpenVinoEmbedder) else None
    if not isinstance(embedder, OpenVinoEmbedder) or embedder.reranker is None or layers is None:
        raise SystemExit(f"the model gives no tokens or no layers ({embedder.backend_reason})")
    reranker = embedder.reranker
    own = OwnSentences.read(data)
    sentences = read_sentences(own, embedder)
    keys = [reranker.keys(tokens.float().numpy()) for tokens in sentences.tokens]
    learned = []
    for found in (known_lessons(own, sentences, embedder), lessons(CORPUS / "eval", sentences, embedder)):
        learned.append([made for made in (example(lesson, reranker, keys) for lesson in found) if made is not None])
    logger.info("%d known questions, %d paired ones", *map(len, learned))
    blocks = fit(layers, reranker, keys, *learned)
    probe = embedder.embed_query(PROBE_TEXT)
    width, wide = len(layers.arrays["0.query.bias"]), len(layers.arrays["0.widened.bias"])
    sizes = f"{len(probe)} {width} {wide} {3 * keys[0].shape[1] + 1} {N_INNER} {RANK}"
    VERIFIER_FILE.write_text(f"{sizes}\n{number_lines([probe, *blocks])}", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
