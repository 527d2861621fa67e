"""Retrieval measures on folders in BEIR form, with the same retriever as the bot."""

from __future__ import annotations

import csv
import json
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import RR, R, Success, nDCG

from retrieval.embed import Embedder
from retrieval.errors import CorpusError
from retrieval.language import guess_language
from retrieval.lexicon import Lexicon
from retrieval.search import Searcher
from retrieval.sentences import sentence_spans
from retrieval.store import Index, Progress, index_passages
from retrieval.text import clean
from retrieval.types import Article, Passage, Sentence

MEASURES = {
    "nDCG@10": nDCG @ 10,
    "MRR@10": RR @ 10,
    "Recall@1": R @ 1,
    "Recall@5": R @ 5,
    "Recall@10": R @ 10,
    "Recall@100": R @ 100,
    "Success@1": Success @ 1,
    "Success@3": Success @ 3,
}
DEPTH = 100
RUN_TAG = "guitu"


def evaluate_beir(
    folder: Path,
    embedder: Embedder,
    lexicon: Lexicon,
    *,
    split: str = "test",
    run_path: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures of the bot's retriever on `folder`, every corpus record as one passage.

    Args:
        folder: with `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`.
        run_path: where to write the rankings as a TREC run.
    Returns:
        The means over the judged queries, counts, `passages_per_s` indexed and the query latencies in milliseconds.
    Raises:
        CorpusError: a file is missing or malformed; the message names file and line.
    """
    records = _records(folder / "corpus.jsonl")
    texts = {str(r["_id"]): (clean(str(r.get("title") or "")), clean(str(r.get("text") or ""))) for r in records}
    queries = {str(r["_id"]): str(r.get("text") or "") for r in _records(folder / "queries.jsonl")}
    qrels = _qrels(folder / "qrels" / f"{split}.tsv", queries, texts)
    started = time.perf_counter()
    searcher = Searcher(_index(texts, embedder, lexicon, progress), embedder, lexicon)
    indexed_s = time.perf_counter() - started
    run: dict[str, dict[str, float]] = {}
    latencies_ms = []
    for n, query_id in enumerate(qrels, start=1):
        begun = time.perf_counter()
        hits = searcher.search(searcher.query(queries[query_id]), DEPTH)
        latencies_ms.append((time.perf_counter() - begun) * 1000)
        # The rank is the order; measures sort by score and would break ties in another way.
        run[query_id] = {hit.passage.article_id: float(DEPTH - i) for i, hit in enumerate(hits)}
        if progress and (n % 100 == 0 or n == len(qrels)):
            progress("queries", n, len(qrels))
    if run_path is not None:
        _write_run(run_path, run)
    means = ir_measures.calc_aggregate(list(MEASURES.values()), dict(qrels), run)
    latencies_ms.sort()
    return {
        "set": folder.name,
        "split": split,
        "passages": len(texts),
        "queries": len(qrels),
        **{name: round(float(means[measure]), 4) for name, measure in MEASURES.items()},
        "passages_per_s": round(len(texts) / indexed_s, 1),
        "query_ms_p50": round(statistics.median(latencies_ms), 2),
        "query_ms_p95": round(latencies_ms[math.ceil(0.95 * len(latencies_ms)) - 1], 2),
    }


def _index(
    texts: Mapping[str, tuple[str, str]], embedder: Embedder, lexicon: Lexicon, progress: Progress | None
) -> Index:
    articles: dict[str, Article] = {}
    passages = []
    for record_id, (title, text) in texts.items():
        article = Article(
            article_id=record_id,
            title=title,
            url=None,
            publisher="",
            published="",
            language=guess_language(text),
            text=text,
            sentences=tuple(Sentence(span.start, span.end) for span in sentence_spans(text)),
        )
        articles[record_id] = article
        passages.append(Passage(f"{record_id}#0", record_id, 0, 0, len(text), text))
    return index_passages(articles, passages, embedder, lexicon, progress=progress)


def _records(path: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                    if not isinstance(record, dict) or "_id" not in record:
                        raise ValueError
                except ValueError:
                    raise CorpusError(f"{path}:{number}: not a JSON record with '_id'") from None
                records.append(record)
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(
            f"'{path}' cannot be read; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/"
        ) from error
    if not records:
        raise CorpusError(f"'{path}' is empty")
    return records


def _qrels(path: Path, queries: Mapping[str, str], texts: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, int]]:
    try:
        rows = list(csv.reader(path.read_text("utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        splits = ", ".join(sorted(p.stem for p in path.parent.glob("*.tsv"))) or "none"
        raise CorpusError(f"'{path}' cannot be read; splits at hand: {splits}") from error
    qrels: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows, start=1):
        if number == 1 and row[-1:] == ["score"]:
            continue
        try:
            query_id, record_id, grade = row[0], row[1], int(row[2])
        except (IndexError, ValueError):
            raise CorpusError(f"{path}:{number}: not 'query-id<TAB>corpus-id<TAB>score'") from None
        if query_id not in queries:
            raise CorpusError(f"{path}:{number}: query '{query_id}' is not in queries.jsonl")
        qrels.setdefault(query_id, {})[record_id] = grade
    if not qrels:
        raise CorpusError(f"'{path}' judges no query")
    return qrels


def _write_run(path: Path, run: Mapping[str, Mapping[str, float]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for query_id, ranking in run.items():
            for rank, (record_id, score) in enumerate(ranking.items(), start=1):
                file.write(f"{query_id} Q0 {record_id} {rank} {score:g} {RUN_TAG}\n")
