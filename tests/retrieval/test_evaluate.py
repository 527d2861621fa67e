"""Measures on a small BEIR folder, checked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from retrieval import CorpusError, HashEmbedder, Lexicon
from retrieval.evaluate import DEPTH, MEASURES, RUN_TAG, evaluate_beir

RECORDS = {
    "d1": ("热线", "从境外拨打领事保护热线要加国家代码"),
    "d2": ("护照", "护照被扣的人可以向使馆申请旅行证"),
    "d3": ("赎金", "家属接到赎金要求应当先报警"),
    "d4": ("", "持旅游签证的人不能在当地工作"),
    "d5": ("KK", "KK Park is a compound near Myawaddy"),
}
# The first query finds its record first, the second (judged on what it cannot find) nowhere near.
QUERIES = {"q1": "护照被扣的人可以向使馆申请旅行证", "q2": "持旅游签证的人不能在当地工作", "q3": "unjudged"}


def folder_of(tmp_path: Path, qrels: str) -> Path:
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    records = [{"_id": key, "title": title, "text": text} for key, (title, text) in RECORDS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in records) + "\n", "utf-8")
    queries = [{"_id": key, "text": text} for key, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n\n".join(json.dumps(q) for q in queries), "utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels, "utf-8")
    return folder


def run_of(path: Path) -> dict[str, list[str]]:
    ranking: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        query_id, q0, record_id, rank, score, tag = line.split(" ")
        assert (q0, tag) == ("Q0", RUN_TAG)
        ranking.setdefault(query_id, []).append(record_id)
        assert int(rank) == len(ranking[query_id])
        assert float(score) == DEPTH + 1 - int(rank)
    return ranking


@pytest.fixture
def ranking(tmp_path: Path) -> dict[str, list[str]]:
    """How the records are ranked for each query, so that the measures can be worked out by hand."""
    folder = folder_of(tmp_path / "first", "query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td4\t1\n")
    evaluate_beir(folder, HashEmbedder(), Lexicon(), run_path=tmp_path / "run.txt")
    return run_of(tmp_path / "run.txt")


def test_the_run_ranks_every_record_once(ranking: dict[str, list[str]]) -> None:
    assert set(ranking) == {"q1", "q2"}  # the third is not judged
    assert (ranking["q1"][0], ranking["q2"][0]) == ("d2", "d4")
    assert all(sorted(found) == sorted(RECORDS) for found in ranking.values())


def test_measures_by_hand(tmp_path: Path, ranking: dict[str, list[str]]) -> None:
    # q1 is judged on what came first, q2 on what came third (grade 2) and fifth (grade 1).
    third, fifth = ranking["q2"][2], ranking["q2"][4]
    qrels = f"query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\t{third}\t2\nq2\t{fifth}\t1\nq2\td4\t0\n"
    measured = evaluate_beir(folder_of(tmp_path, qrels), HashEmbedder(), Lexicon())

    gained = 2 / math.log2(3 + 1) + 1 / math.log2(5 + 1)
    ideal = 2 / math.log2(1 + 1) + 1 / math.log2(2 + 1)
    expected = {
        "nDCG@10": (1 + gained / ideal) / 2,
        "MRR@10": (1 + 1 / 3) / 2,
        "Recall@1": (1 + 0) / 2,
        "Recall@5": 1.0,
        "Recall@10": 1.0,
        "Recall@100": 1.0,
        "Success@1": 0.5,
        "Success@3": 1.0,
    }
    assert set(expected) == set(MEASURES)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=6e-5), name
    assert (measured["passages"], measured["queries"]) == (5, 2)
    assert (measured["set"], measured["split"]) == ("tiny", "test")
    assert measured["passages_per_s"] > 0
    assert 0 < measured["query_ms_p50"] <= measured["query_ms_p95"]


def test_the_first_line_may_be_a_judgement(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "q1\td2\t1\n")
    assert evaluate_beir(folder, HashEmbedder(), Lexicon())["Success@1"] == 1.0


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    folder = folder_of(tmp_path, "q1\td2\t1\n")
    evaluate_beir(folder, HashEmbedder(), Lexicon(), progress=lambda *step: told.append(step))
    assert told[-1] == ("queries", 1, 1)


QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t1\n"
BROKEN = {
    "corpus not JSON": (
        "corpus.jsonl",
        '{"_id": "d1", "text": "a"}\nnot json\n',
        "corpus.jsonl:2: not a JSON record",
    ),
    "corpus without id": ("corpus.jsonl", '{"text": "a"}\n', "corpus.jsonl:1: not a JSON record with '_id'"),
    "corpus a list": ("corpus.jsonl", "[1]\n", "corpus.jsonl:1:"),
    "corpus empty": ("corpus.jsonl", "\n", "is empty"),
    "corpus missing": ("corpus.jsonl", None, "a BEIR folder has"),
    "queries not JSON": (
        "queries.jsonl",
        '{"_id": "q1", "text": "a"}\n\n{\n',
        "queries.jsonl:3: not a JSON record",
    ),
    "queries missing": ("queries.jsonl", None, "a BEIR folder has"),
    "too few columns": ("qrels/test.tsv", QRELS + "q1 d2 1\n", "test.tsv:3: not 'query-id<TAB>"),
    "grade no number": ("qrels/test.tsv", QRELS + "q1\td2\tyes\n", "test.tsv:3: not 'query-id<TAB>"),
    "unknown query": (
        "qrels/test.tsv",
        QRELS + "q9\td2\t1\n",
        "test.tsv:3: query 'q9' is not in queries.jsonl",
    ),
    "no judgement": ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "judges no query"),
    "no split": ("qrels/test.tsv", None, "splits at hand: none"),
}


@pytest.mark.parametrize(("name", "text", "words"), BROKEN.values(), ids=BROKEN)
def test_malformed(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    folder = folder_of(tmp_path, QRELS)
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text, "utf-8")
    with pytest.raises(CorpusError) as caught:
        evaluate_beir(folder, HashEmbedder(), Lexicon())
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_another_split(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QRELS)
    (folder / "qrels" / "dev.tsv").write_text(QRELS)
    assert evaluate_beir(folder, HashEmbedder(), Lexicon(), split="dev")["split"] == "dev"
    with pytest.raises(CorpusError, match="splits at hand: dev, test"):
        evaluate_beir(folder, HashEmbedder(), Lexicon(), split="train")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QRELS)
    (folder / "corpus.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match="cannot be read"):
        evaluate_beir(folder, HashEmbedder(), Lexicon())
