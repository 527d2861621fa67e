"""What is learned in torch is what the bot computes in numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import bot.train_reranker
from bot.train_reranker import Lesson, Scale, Sentences, _Learner, fit, lessons
from retrieval import Reading, number_lines
from retrieval.reranker import Reranker

WIDTH = 16


def test_the_written_arrays_give_the_scores_that_were_learned(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    learner = _Learner(WIDTH).eval()
    question, sentences = torch.randn(5, WIDTH) + 1, [torch.randn(n, WIDTH) * 2 for n in (3, 8, 1)]
    asked_scale, said_scale = Scale.of([question]), Scale.of(sentences)
    with torch.no_grad():
        # As made by lot, the layer over the details hardly says anything.
        for layer in (learner.weight, learner.details, learner.mix_context, learner.importance, learner.verdict):
            layer.weight *= 5
        asked, weight = learner.asked(*asked_scale.padded([question], 64))
        rows, mask = said_scale.padded(sentences, 64)
        said = learner.said(rows)
        expected = learner.judged(asked, weight, said[None], mask[None])[0].numpy()
    path = tmp_path / "reranker.txt"
    blocks = [np.ones(3), *learner.blocks(asked_scale, said_scale)]
    d, h = len(blocks[2]), len(blocks[10])
    path.write_text(f"3 {WIDTH} {d} {h}\n{number_lines(blocks)}", "utf-8")
    reranker = Reranker.load(path)
    keys = [reranker.keys(sentence.numpy()) for sentence in sentences]
    np.testing.assert_allclose(reranker.scores(question.numpy(), keys), expected, atol=0.15)
    assert np.ptp(expected) > 1.5


def test_a_fit_learns_which_sentence_answers_and_that_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sentence has a token of its own direction; the questions of a sentence share it, a near miss has another."""
    monkeypatch.setattr(bot.train_reranker, "N_STEPS", 400)
    monkeypatch.setattr(bot.train_reranker, "ARTICLES_AT_ONCE", 3)
    torch.manual_seed(1)
    said = [torch.cat([torch.eye(WIDTH)[n : n + 1] * 4, torch.randn(2, WIDTH) / 4]).half() for n in range(12)]
    sentences = Sentences(
        tokens=said,
        vectors=np.zeros((12, 3), dtype=np.float32),
        article_of=[f"article-{n // 4}" for n in range(12)],
        sources=[frozenset([f"source-{n}"]) for n in range(12)],
    )
    answered_by = [n % 12 for n in range(240)]
    asked = [torch.cat([torch.randn(3, WIDTH) / 4, torch.eye(WIDTH)[n : n + 1] * 4]).half() for n in answered_by]
    near_miss = torch.cat([torch.randn(3, WIDTH) / 4, torch.eye(WIDTH)[14:15] * 4]).half()
    paired = [
        *(Lesson(asked[n], tuple(range(12)), frozenset([answered_by[n]])) for n in range(12)),
        *(Lesson(near_miss, tuple(range(12)), frozenset()) for _ in range(12)),
    ]
    blocks = fit(sentences, asked, answered_by, paired)
    reranker = Reranker(np.ones(3), *blocks, digest="")
    keys = [reranker.keys(sentence.float().numpy()) for sentence in said]
    for question, row in zip(asked[:12], answered_by[:12], strict=True):
        assert int(reranker.scores(question.float().numpy(), keys).argmax()) == row
    covered = min(reranker.scores(question.float().numpy(), keys).max() for question in asked[:12])
    assert reranker.scores(near_miss.float().numpy(), keys).max() < covered


class _Axes:
    """Reads a question that is numbers, n in all, as the n-th direction."""

    def read_query(self, text: str) -> Reading:
        vector = np.eye(WIDTH, dtype=np.float32)[sum(map(int, text.split()))]
        return Reading(vector, vector[None], vector)


def test_a_paired_question_stands_beside_the_sentences_nearest_to_it(tmp_path: Path) -> None:
    """Sentences 4 and 12 rest on the fact asked for; sentence n lies the nearer to direction n the more it differs."""
    near = np.eye(WIDTH, dtype=np.float32) + np.linspace(0.4, 0, WIDTH, dtype=np.float32)[:, None]
    sources = [frozenset([f"source-{'right' if n in (4, 12) else n}"]) for n in range(WIDTH)]
    sentences = Sentences([torch.zeros(1, WIDTH)] * WIDTH, near, ["article"] * WIDTH, sources)
    judged = {"id": "x", "lang": "en", "style": "plain", "contains": [], "history": [], "near": ""}
    covered = [
        judged | {"question": "12", "facts": ["source-right"]},
        judged | {"question": "3", "facts": ["source-nowhere"]},
        judged | {"question": "5", "facts": ["source-right"], "history": ["3"]},
    ]
    missed = [judged | {"question": "7", "facts": [], "covered": False}]
    for name, records in (("dev-pairs", covered), ("dev-pairs-uncovered", missed)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records), "utf-8")
    (tmp_path / "equivalents.yaml").touch()
    answered, follow_up, unanswered = lessons(tmp_path, sentences, _Axes())  # type: ignore[arg-type]
    assert answered.answers == {12, 4}
    assert list(answered.candidates[:4]) == [12, 4, 0, 1]
    # Read with the question before it.
    assert list(follow_up.candidates[:4]) == [4, 12, 8, 0]
    assert unanswered.answers == frozenset()
    assert list(unanswered.candidates[:3]) == [7, 0, 1]
    assert len(answered.candidates) == len(unanswered.candidates) == bot.train_reranker.N_CANDIDATES
