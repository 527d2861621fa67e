"""`python -m bot.train_reranker DATA_FOLDER` learns retrieval/reranker.txt.

From the known questions: which sentence answers, among sentences of the same and of like articles. From the paired
development questions: that a question much like another one may have no answer among the sentences that are near to it.
Takes about half an hour on two cores.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bot.conversation import standalone
from bot.question_set import JudgedQuestion, fact_keys, read_questions
from bot.types import Conversation, Question, Turn
from retrieval import load_embedder, number_lines
from retrieval.encoders import OpenVinoEmbedder
from retrieval.learned_file import PROBE_TEXT
from retrieval.reranker import MAX_QUESTION_TOKENS, RERANKER_FILE
from retrieval.training import APART, CORPUS, OwnSentences, on_one_source, paced, readings

logger = logging.getLogger(__name__)

# Chosen on the dev questions, by how often the first sentence is right and by how well near misses are told.
KEY_SIZE = 64
N_DETAILS = 96
N_STEPS = 2500
RATE = 2e-3
DECAY = 0.01
DROPPED = 0.2
ARTICLES_AT_ONCE = 10
SENTENCES_OF_ARTICLE = 8
PAIRED_AT_ONCE = 48
# Sentences that a paired question is held against: the nearest that answer, then the nearest others.
N_CANDIDATES = 10
N_ANSWERS = 2
# Sentences that are looked at closely for each question: those nearest to it.
N_CLOSE_LEARNED = 16
# What those that do not answer weigh in all against the one that does.
OTHERS_WEIGHT = 4
# In training, longer sentences are cut here.
MAX_TRAINED_TOKENS = 96
_WARM_UP_STEPS = 50
_ABSENT = -2.0
PAIRED = ("dev-pairs", "dev-pairs-uncovered")


@dataclass(frozen=True, slots=True)
class Sentences:
    """All sentences: their tokens (n, width), vectors (sentences, dim), articles, and the keys of what they rest on."""

    tokens: Sequence[torch.Tensor]
    vectors: NDArray[np.float32]
    article_of: Sequence[str]
    sources: Sequence[frozenset[str]]


@dataclass(frozen=True, slots=True)
class Lesson:
    """The tokens of a question, the sentences that are nearest to it, and which of those answer: one, many or none."""

    tokens: torch.Tensor
    candidates: Sequence[int]
    answers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and spread of tokens (width,)."""

    mean: torch.Tensor
    spread: torch.Tensor

    @classmethod
    def of(cls, tokens: Sequence[torch.Tensor]) -> Scale:
        """That of `tokens`."""
        every = torch.cat([found.float() for found in tokens])
        return cls(every.mean(0), every.std(0))

    def padded(self, tokens: Sequence[torch.Tensor], longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, n, width) standardised tokens and their (b, n) mask."""
        cut = [(found[:longest].float() - self.mean) / self.spread for found in tokens]
        rows = nn.utils.rnn.pad_sequence(cut, batch_first=True)
        mask = torch.arange(rows.shape[1]) < torch.tensor([len(found) for found in cut])[:, None]
        return rows, mask


class _Learner(nn.Module):
    """`retrieval.reranker.Reranker` as torch learns it, on standardised tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ask = nn.Linear(width, KEY_SIZE)
        self.say = nn.Linear(width, KEY_SIZE)
        self.weight = nn.Linear(width, 1, bias=False)
        self.details = nn.Linear(3 * KEY_SIZE + 1, N_DETAILS)
        self.mix = nn.Linear(N_DETAILS, N_DETAILS)
        self.mix_context = nn.Linear(N_DETAILS, N_DETAILS, bias=False)
        self.importance = nn.Linear(N_DETAILS, 1, bias=False)
        self.verdict = nn.Linear(N_DETAILS, 1, bias=False)
        # Logarithms of the scale of nearness and of how sharply a token looks, and what is added.
        self.scales = nn.Parameter(torch.tensor([3.0, 2.5, -8.0]))

    def asked(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, n, d) keys of questions, and the (b, n) weights of their tokens before the softmax."""
        tokens = functional.dropout(tokens, DROPPED, self.training)
        weight = self.weight(tokens).squeeze(-1).masked_fill(~mask, APART)
        return functional.normalize(self.ask(tokens), dim=-1), weight

    def said(self, tokens: torch.Tensor) -> torch.Tensor:
        """(b, m, d) keys of sentences."""
        return functional.normalize(self.say(functional.dropout(tokens, DROPPED, self.training)), dim=-1)

    def common(self, asked: torch.Tensor, weight: torch.Tensor, said: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(b, c): what each question has in common with each sentence."""
        likeness = torch.einsum("bnd,cmd->bcnm", asked, said).masked_fill(~mask[None, :, None, :], _ABSENT)
        return self._weighed(likeness.amax(-1), weight)

    def _weighed(self, nearest: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """(b, c) for how near the nearest token of each sentence is to each of the question's, (b, c, n)."""
        return self.scales[0].exp() * (nearest * weight.softmax(1)[:, None, :]).sum(-1)

    def judged(
        self,
        asked: torch.Tensor,
        weight: torch.Tensor,
        said: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """(b, k): the log odds for k sentences of each question, (b, k, m, d), looked at closely."""
        likeness = torch.einsum("bnd,bkmd->bknm", asked, said).masked_fill(~mask[:, :, None, :], _ABSENT)
        found = torch.einsum("bknm,bkmd->bknd", (self.scales[1].exp() * likeness).softmax(-1), said)
        own = asked[:, None].expand_as(found)
        nearest = likeness.amax(-1)
        details = functional.relu(self.details(torch.cat([own, found, own * found, nearest[..., None]], -1)))
        details = functional.dropout(details, DROPPED / 2, self.training)
        of_all = torch.einsum("bn,bknd->bkd", weight.softmax(1), details)
        details = details + functional.relu(self.mix(details) + self.mix_context(of_all)[:, :, None])
        shares = (weight[:, None, :] + self.importance(details).squeeze(-1)).softmax(-1)
        details = functional.dropout(details, DROPPED / 2, self.training)
        verdict = self.verdict((details * shares[..., None]).sum(2)).squeeze(-1)
        odds: torch.Tensor = self._weighed(nearest, weight) + verdict + self.scales[2]
        return odds

    def blocks(self, asked: Scale, said: Scale) -> list[NDArray[np.float32]]:
        """The arrays of a `Reranker` after the probe, for tokens as the model gives them."""
        arrays: list[torch.Tensor] = []
        for layer, scale in ((self.ask, asked), (self.say, said)):
            weight = layer.weight / scale.spread
            arrays += [weight, layer.bias - weight @ scale.mean]
        arrays += [self.weight.weight[0] / asked.spread, *torch.split(self.details.weight, [KEY_SIZE] * 3 + [1], 1)]
        arrays[-1] = arrays[-1][:, 0]
        arrays += [self.details.bias, self.mix.weight, self.mix.bias, self.mix_context.weight]
        arrays += [self.importance.weight[0], self.verdict.weight[0]]
        arrays.append(torch.cat([self.scales[:2].exp(), self.scales[2:]]))
        return [array.detach().numpy() for array in arrays]


def fit(
    sentences: Sentences,
    questions: Sequence[torch.Tensor],
    answered_by: Sequence[int],
    paired: Sequence[Lesson],
) -> list[NDArray[np.float32]]:
    """The arrays of a `Reranker` after the probe.

    Args:
        questions, answered_by: the tokens of known questions, and the sentence that answers each.
        paired: questions with an answer and much the same without one.
    """
    torch.manual_seed(0)
    chance = np.random.default_rng(0)
    asked_scale, said_scale = Scale.of(questions[::20]), Scale.of(sentences.tokens[::4])
    learner = _Learner(questions[0].shape[1])
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    pace = paced(optimiser, n_steps=N_STEPS, n_warm_up=_WARM_UP_STEPS, least=0.02)
    batches = _batches(sentences, questions, answered_by, chance)
    for step in range(N_STEPS):
        rows, chosen = next(batches)
        asked, weight = learner.asked(*asked_scale.padded([questions[i] for i in chosen], MAX_QUESTION_TOKENS))
        tokens, mask = said_scale.padded([sentences.tokens[row] for row in rows], MAX_TRAINED_TOKENS)
        said = learner.said(tokens)
        own = torch.arange(len(rows))
        # They are neither answers nor others.
        shared = on_one_source(rows, sentences.sources)
        common = learner.common(asked, weight, said, mask).masked_fill(shared, APART)
        loss = functional.cross_entropy(common, own) + 0.5 * functional.cross_entropy(common.T, own)
        # The answer first, then the nearest others.
        ordered = common.detach().clone()
        ordered[own, own] = -2 * APART
        close = ordered.topk(min(N_CLOSE_LEARNED, len(rows)), 1).indices
        known = ~shared.gather(1, close)
        odds = learner.judged(asked, weight, said[close], mask[close])
        loss = loss + functional.cross_entropy(odds.masked_fill(~known, APART), torch.zeros_like(own))
        answers = torch.zeros_like(odds)
        answers[:, 0] = 1
        loss = loss + _verdict_loss(odds, answers, known)
        if paired:
            few = [paired[i] for i in chance.choice(len(paired), min(PAIRED_AT_ONCE, len(paired)), replace=False)]
            loss = loss + _paired_loss(learner, few, sentences, asked_scale, said_scale)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        pace.step()
        if step % 100 == 0:
            right = float((odds.masked_fill(~known, APART).argmax(1) == 0).float().mean())
            logger.info("step %d of %d, loss %.3f, %.2f right", step, N_STEPS, float(loss.detach()), right)
    return learner.blocks(asked_scale, said_scale)


def _batches(
    sentences: Sentences, questions: Sequence[torch.Tensor], answered_by: Sequence[int], chance: np.random.Generator
) -> Iterator[tuple[list[int], list[int]]]:
    """Rows of sentences and a known question of each: of articles by lot and of articles that are alike, by turns."""
    of_sentence: dict[int, list[int]] = defaultdict(list)
    for question, row in enumerate(answered_by):
        of_sentence[row].append(question)
    of_article: dict[str, list[int]] = defaultdict(list)
    for row in of_sentence:
        of_article[sentences.article_of[row]].append(row)
    articles = list(of_article.values())
    means = torch.stack([torch.cat([sentences.tokens[row].float() for row in rows]).mean(0) for rows in articles])
    means = functional.normalize(means - means.mean(0), dim=1)
    alike = (means @ means.T).argsort(1, descending=True)[:, :ARTICLES_AT_ONCE].numpy()
    n = min(ARTICLES_AT_ONCE, len(articles))
    while True:
        for among in (chance.choice(len(articles), n, replace=False), alike[chance.integers(len(articles))]):
            rows: list[int] = []
            for i in among:
                count = min(SENTENCES_OF_ARTICLE, len(articles[i]))
                rows += chance.choice(articles[i], count, replace=False).tolist()
            yield rows, [int(chance.choice(of_sentence[row])) for row in rows]


def _verdict_loss(odds: torch.Tensor, answers: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Log loss of the answers, and `OTHERS_WEIGHT` times that of the others; what is not known counts for nothing."""
    loss = functional.binary_cross_entropy_with_logits(odds, answers, reduction="none") * known
    return loss[answers == 1].mean() + OTHERS_WEIGHT * loss[answers == 0].mean()


def _paired_loss(
    learner: _Learner, lessons: Sequence[Lesson], sentences: Sentences, asked_scale: Scale, said_scale: Scale
) -> torch.Tensor:
    """The log loss of whether the best candidates of each question answer."""
    asked, weight = learner.asked(*asked_scale.padded([lesson.tokens for lesson in lessons], MAX_QUESTION_TOKENS))
    rows = [row for lesson in lessons for row in lesson.candidates]
    tokens, mask = said_scale.padded([sentences.tokens[row] for row in rows], MAX_TRAINED_TOKENS)
    said = learner.said(tokens)
    shape = (len(lessons), -1, *said.shape[1:])
    odds = learner.judged(asked, weight, said.reshape(shape), mask.reshape(shape[:3]))
    is_answer = torch.tensor([[row in lesson.answers for row in lesson.candidates] for lesson in lessons])
    best = odds.masked_fill(~is_answer, APART).amax(1)[is_answer.any(1)]
    best_other = odds.masked_fill(is_answer, APART).amax(1)
    total: torch.Tensor = (functional.softplus(-best).sum() + functional.softplus(best_other).sum()) / len(lessons)
    return total


def read_sentences(own: OwnSentences, embedder: OpenVinoEmbedder) -> Sentences:
    """Our own sentences as the model reads them."""
    logger.info("reading %d sentences", len(own.texts))
    vectors = np.empty((len(own.texts), embedder.dim), np.float32)
    tokens: dict[int, torch.Tensor] = {}
    for n, vector, found in embedder.passage_tokens(own.texts):
        vectors[n], tokens[n] = vector, _half(found)
    return Sentences([tokens[n] for n in range(len(own.texts))], vectors, own.article_of, own.sources)


def lessons(folder: Path, sentences: Sentences, embedder: OpenVinoEmbedder) -> list[Lesson]:
    """The paired questions, each beside the sentences that are nearest to it."""
    facts = [fact_keys(sources) for sources in sentences.sources]
    found = []
    paired = paired_questions(folder)
    read = readings(embedder.read_query, [as_read(judged) for judged in paired])
    for judged, (vector, tokens) in zip(paired, read, strict=True):
        nearest = np.argsort(-(sentences.vectors @ vector), kind="stable").tolist()
        answers = [row for row in nearest if facts[row] & judged.facts][:N_ANSWERS]
        others = [row for row in nearest[: 2 * N_CANDIDATES] if not facts[row] & judged.facts]
        candidates = [*answers, *others][:N_CANDIDATES]
        if bool(answers) == bool(judged.facts) and len(candidates) == N_CANDIDATES:
            found.append(Lesson(_half(tokens[-MAX_QUESTION_TOKENS:]), candidates, frozenset(answers)))
    return found


def paired_questions(folder: Path) -> list[JudgedQuestion]:
    """The covered questions in `folder` and the near misses beside them."""
    return [judged for name in PAIRED for judged in read_questions(folder, name)]


def as_read(judged: JudgedQuestion) -> str:
    """The text that the bot searches with: a follow-up is joined to the question before it."""
    before = Conversation("", tuple(Turn(text, (), "general") for text in judged.history))
    return standalone(Question(judged.question, judged.language), before, is_follow_up=True)


def _half(tokens: NDArray[np.float32]) -> torch.Tensor:
    """Tokens in half the precision: there are a million of them."""
    return torch.from_numpy(tokens.astype(np.float16))


def main(data: Path) -> None:
    """Writes reranker.txt."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    embedder = load_embedder(None, data)
    if not isinstance(embedder, OpenVinoEmbedder):
        raise SystemExit(f"the model gives no tokens ({embedder.backend_reason})")
    own = OwnSentences.read(data)
    sentences = read_sentences(own, embedder)
    known = own.questions
    read = readings(embedder.read_query, [question.text for question in known])
    questions = [_half(asked[-MAX_QUESTION_TOKENS:]) for _, asked in read]
    paired = lessons(CORPUS / "eval", sentences, embedder)
    logger.info("%d paired questions, %d without an answer", len(paired), sum(not lesson.answers for lesson in paired))
    blocks = fit(sentences, questions, [question.sentence_row for question in known], paired)
    probe = embedder.embed_query(PROBE_TEXT)
    sizes = f"{len(probe)} {len(questions[0][0])} {KEY_SIZE} {N_DETAILS}"
    RERANKER_FILE.write_text(f"{sizes}\n{number_lines([probe, *blocks])}", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
