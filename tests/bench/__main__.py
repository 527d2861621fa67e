"""`make bench`: our server beside plain sentence-transformers + FAISS, in one run, as ratios. Prints one table."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

N_QUESTIONS = 200
N_CLIENTS = 16
N_PASSAGES = 240
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    data = ROOT / "var"
    subprocess.run([sys.executable, "-m", "web", "index", "build"], cwd=ROOT, check=True)
    passages, vectors, folder = _corpus(data)
    questions = _questions()
    rows: dict[str, tuple[float, float, str]] = {}
    with tempfile.TemporaryDirectory() as work:
        stored = Path(work) / "passages.json"
        stored.write_text(json.dumps(passages), "utf-8")
        np.save(stored.with_suffix(".npy"), vectors)
        ours, plain = _free_port(), _free_port()
        commands = {
            "ours": [sys.executable, "-m", "web", "serve", "--port", str(ours)],
            "plain": [sys.executable, "-m", "tests.bench.baseline", str(folder), str(stored), str(plain)],
        }
        figures = {}
        for name, port in (("ours", ours), ("plain", plain)):
            print(f"measuring {name}", file=sys.stderr, flush=True)
            with _server(commands[name]) as (process, start_s):
                figures[name] = {
                    "start": start_s,
                    **_load(port, questions),
                    "memory": _memory_mb(process.pid),
                }
        speeds = {name: _indexing(name, folder, data, passages) for name in ("ours", "plain")}
    for key, label, unit, more_is_better in (
        ("p50", "question p50", "ms", False),
        ("p95", "question p95", "ms", False),
        ("qps", f"questions/s, {N_CLIENTS} clients", "/s", True),
        ("start", "start until ready", "s", False),
        ("memory", "memory after load", "MB", False),
    ):
        a, b = figures["ours"][key], figures["plain"][key]
        rows[f"{label} ({unit})"] = (a, b, f"{(a / b if more_is_better else b / a):.2f}")
    a, b = speeds["ours"], speeds["plain"]
    rows["passages indexed (/s)"] = (a, b, f"{a / b:.2f}")
    print(f"{'':34}{'guitu':>10}{'plain':>10}{'better by':>11}")
    for label, (a, b, ratio) in rows.items():
        print(f"{label:34}{a:>10.1f}{b:>10.1f}{ratio:>10}x")
    print(
        "guitu answers with quoted sentences (hybrid search, triage, citations); plain returns ten passages (dense search)."
    )


def _corpus(data: Path) -> tuple[list[str], np.ndarray, Path]:
    from retrieval import load_embedder, load_index
    from retrieval.store import passage_context

    embedder = load_embedder(None, data)
    index = load_index(data / "index", embedder)
    texts = [passage_context(index.articles[p.article_id], p) for p in index.passages]
    return texts, index.passage_vectors.vectors(np.arange(len(texts))), data / "models" / embedder.name


def _questions() -> list[str]:
    lines = (ROOT / "corpus/eval/dev.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines][:N_QUESTIONS]


@contextmanager
def _server(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], float]]:
    started = time.perf_counter()
    environment = {**os.environ, "GUITU_REQUESTS_PER_MINUTE": "100000", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "ready" in line:
                break
        yield process, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(20)


def _load(port: int, questions: list[str]) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/v1/ask"
    with httpx.Client(timeout=60) as client:

        def ask(question: str) -> float:
            begun = time.perf_counter()
            client.post(url, json={"question": question}).raise_for_status()
            return (time.perf_counter() - begun) * 1000

        for question in questions[:10]:
            ask(question)
        latencies = sorted(ask(question) for question in questions)
    seconds = _parallel(url, questions)
    return {
        "p50": statistics.median(latencies),
        "p95": latencies[int(0.95 * (len(latencies) - 1))],
        "qps": len(questions) / seconds,
    }


def _parallel(url: str, questions: list[str]) -> float:
    waiting = list(questions)
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(timeout=120) as http:
            while True:
                with lock:
                    if not waiting:
                        return
                    question = waiting.pop()
                http.post(url, json={"question": question}).raise_for_status()

    threads = [threading.Thread(target=client) for _ in range(N_CLIENTS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _indexing(name: str, folder: Path, data: Path, passages: list[str]) -> float:
    texts = passages[:: max(1, len(passages) // N_PASSAGES)][:N_PASSAGES]
    encode: Callable[[list[str]], object]
    if name == "ours":
        from retrieval import load_embedder

        encode = load_embedder(None, data).embed_passages
    else:
        from sentence_transformers import SentenceTransformer

        encode = SentenceTransformer(str(folder), device="cpu").encode_document
    encode(texts[:8])
    begun = time.perf_counter()
    encode(texts)
    return len(texts) / (time.perf_counter() - begun)


def _memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
