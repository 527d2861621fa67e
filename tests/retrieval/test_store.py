"""The index folder: built once, reused, swapped whole, and refused when it is not what it says."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieval import (
    Article,
    HashEmbedder,
    Index,
    IndexDamagedError,
    IndexDirError,
    IndexMissingError,
    IndexStaleError,
    Lexicon,
    Library,
    Searcher,
    build_index,
    load_index,
    read_manifest,
    save_index,
)
from retrieval.article_file import read_article
from retrieval.encoders import Embeddings, Progress
from retrieval.lexicon import Entry
from retrieval.store import passage_context

REPOSITORY = Path(__file__).resolve().parents[2]
Make = Callable[..., bytes]


class CountingEmbedder(HashEmbedder):
    """Keeps the texts that it was given."""

    def __init__(self, dim: int = 64) -> None:
        super().__init__(dim)
        self.texts: list[str] = []

    def embed_passages(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        self.texts.extend(texts)
        return super().embed_passages(texts, progress=progress)


@pytest.fixture
def articles(corpus_dir: Path, tmp_path: Path) -> list[Article]:
    return Library(corpus_dir, tmp_path / "data").articles()


@pytest.fixture
def folder(articles: list[Article], tmp_path: Path) -> Path:
    """An index folder with one generation."""
    save_index(build_index(articles, HashEmbedder(), Lexicon()), tmp_path / "index")
    return tmp_path / "index"


def hits(index: Index) -> list[tuple[str, float]]:
    found = Searcher(index, HashEmbedder(), Lexicon()).search("护照被扣怎么办", 12)
    return [(hit.passage.passage_id, hit.score) for hit in found]


def test_every_passage_and_sentence_has_a_row(tiny_index: Index) -> None:
    assert len(tiny_index.passages) == tiny_index.passage_vectors.n_rows == 12
    assert len(tiny_index.sentences) == tiny_index.sentence_vectors.n_rows == 13
    vectors = tiny_index.sentence_vectors.vectors(np.arange(13))
    for row, vector in zip(tiny_index.sentences, vectors, strict=True):
        passage = tiny_index.passages[row.passage_row]
        article = tiny_index.articles[passage.article_id]
        text = article.text[row.sentence.start : row.sentence.end]
        assert text in passage.text
        np.testing.assert_allclose(vector, HashEmbedder().embed_query(text), atol=1e-6)


def test_title_and_heading_are_indexed_but_not_quoted(tiny_index: Index) -> None:
    passage = next(p for p in tiny_index.passages if p.article_id == "tiny-passport")
    context = passage_context(tiny_index.articles[passage.article_id], passage)
    assert context == "护照被扣怎么办\n护照被扣了\n护照被扣的人可以向使馆申请旅行证。"
    assert passage.text == "护照被扣的人可以向使馆申请旅行证。"
    row = tiny_index.passages.index(passage)
    vector = tiny_index.passage_vectors.vectors(np.array([row]))[0]
    np.testing.assert_allclose(vector, HashEmbedder().embed_query(context), atol=1e-6)


def test_the_order_of_the_articles_does_not_matter(articles: list[Article]) -> None:
    one = build_index(articles, HashEmbedder(), Lexicon())
    other = build_index(articles[::-1], HashEmbedder(), Lexicon())
    assert one.passages == other.passages
    assert hits(one) == hits(other)


def test_only_what_changed_is_embedded_again(articles: list[Article], own_article: Make) -> None:
    first = CountingEmbedder()
    index = build_index(articles, first, Lexicon())
    assert len(first.texts) == 12 + 13

    again = CountingEmbedder()
    build_index(articles, again, Lexicon(), reuse=index)
    assert again.texts == []

    added = CountingEmbedder()
    new = read_article(own_article("zz-new", title="新的", body="## 新的\n一句新话。[^one]"))
    grown = build_index([*articles, new], added, Lexicon(), reuse=index)
    assert added.texts == ["新的\n新的\n一句新话。", "一句新话。"]

    removed = CountingEmbedder()
    shrunk = build_index(articles[1:], removed, Lexicon(), reuse=grown)
    assert removed.texts == []
    fresh = build_index(articles[1:], HashEmbedder(64), Lexicon())
    rows = np.arange(len(fresh.passages))
    assert shrunk.passages == fresh.passages
    np.testing.assert_array_equal(shrunk.passage_vectors.vectors(rows), fresh.passage_vectors.vectors(rows))


def test_a_text_that_occurs_twice_is_embedded_once(own_article: Make) -> None:
    embedder = CountingEmbedder()
    twins = [read_article(own_article(f"twin-{n}", title="同", body="## 同\n同一句话。[^one]")) for n in "ab"]
    index = build_index(twins, embedder, Lexicon())
    assert len(embedder.texts) == 2
    assert index.passage_vectors.n_rows == 2


def test_vectors_of_another_model_are_not_reused(articles: list[Article]) -> None:
    index = build_index(articles, HashEmbedder(32), Lexicon())
    embedder = CountingEmbedder(64)
    build_index(articles, embedder, Lexicon(), reuse=index)
    assert len(embedder.texts) == 25


def test_progress_is_told(articles: list[Article]) -> None:
    told: list[tuple[str, int, int]] = []
    build_index(articles, HashEmbedder(), Lexicon(), progress=lambda *step: told.append(step))
    assert ("passages", 12, 12) in told
    assert ("sentences", 13, 13) in told


def test_saved_and_loaded(articles: list[Article], tmp_path: Path, crawled_article: Make) -> None:
    body = "警方昨天在边境一处院子里找到了三十名求职者，他们的护照都被收走了。"
    news = [
        read_article(crawled_article(source=source, date=f"2024-01-0{n}", body=body))
        for n, source in enumerate("甲乙", start=1)
    ]
    lexicon = Lexicon([Entry("kk", "places", "", {"en": ("KK",)}, (), {}, None, False)])
    index = build_index([*articles, *news], HashEmbedder(), lexicon)
    save_index(index, tmp_path / "index")
    loaded = load_index(tmp_path / "index", HashEmbedder())
    assert loaded.articles == index.articles
    assert loaded.passages == index.passages
    assert loaded.sentences == index.sentences
    assert loaded.reposts == index.reposts != {}
    assert dict(loaded.n_reprints) == dict(index.n_reprints)
    assert hits(loaded) == hits(index)
    manifest = read_manifest(tmp_path / "index")
    assert manifest["counts"] == {"articles": 14, "reposts": 1, "passages": 13, "sentences": 14, "questions": 0}
    assert manifest["model"] == {
        "name": "hash-256",
        "digest": HashEmbedder().digest,
        "dim": 256,
        "question_space": "",
        "reranker": "",
    }
    assert manifest["articles"] == {a.article_id: a.digest for a in index.articles.values()}
    assert manifest["lexicon"] == lexicon.digest
    assert loaded.generation == index.generation


def test_an_empty_index_is_one(tmp_path: Path) -> None:
    save_index(build_index([], HashEmbedder(), Lexicon()), tmp_path)
    assert load_index(tmp_path, HashEmbedder()).passages == ()


def test_the_generation_before_is_kept_and_older_ones_go(articles: list[Article], tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        index = build_index(articles, HashEmbedder(), Lexicon())
        save_index(index, tmp_path)
        names.append(index.generation)
    assert len(set(names)) == 3
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == names[1:]
    assert load_index(tmp_path).generation == names[2]


def test_none_yet(tmp_path: Path) -> None:
    for read in (load_index, read_manifest):
        with pytest.raises(IndexMissingError, match="run `guitu index build`") as caught:
            read(tmp_path / "none")
        assert caught.value.path == tmp_path / "none"


def test_another_model_or_format_is_stale(folder: Path) -> None:
    with pytest.raises(IndexStaleError, match=r"'hash-256' .* 'hash-64' .*guitu index build"):
        load_index(folder, HashEmbedder(64))
    manifest = folder / (folder / "current").read_text().strip() / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": ', '"format": 9'))
    with pytest.raises(IndexStaleError, match="guitu index build"):
        load_index(folder)


def test_any_damaged_file_is_noticed(folder: Path) -> None:
    generation = folder / (folder / "current").read_text().strip()
    files = sorted(path for path in generation.rglob("*") if path.is_file())
    assert len(files) > 6
    for path in files:
        data = path.read_bytes()
        # A changed byte in the manifest need not matter; a cut one does.
        flipped = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        for broken in (b"", data[: len(data) // 2], b"\xff" * 50) + (
            () if path.name == "manifest.json" else (flipped,)
        ):
            path.write_bytes(broken)
            with pytest.raises(IndexDamagedError, match="run `guitu index build`"):
                load_index(folder, HashEmbedder())
        path.unlink()
        with pytest.raises(IndexDamagedError, match="run `guitu index build`"):
            load_index(folder, HashEmbedder())
        path.write_bytes(data)
    assert len(hits(load_index(folder, HashEmbedder()))) == 12


@pytest.mark.parametrize(
    "manifest",
    ["[]", "{}", '{"format": 1}', '{"format": 1, "files": {}}', '{"format": 1, "files": {"../../x": "y"}}'],
)
def test_a_foreign_manifest(folder: Path, manifest: str) -> None:
    generation = folder / (folder / "current").read_text().strip()
    (generation / "manifest.json").write_text(manifest)
    with pytest.raises(IndexDirError, match="run `guitu index build`"):
        load_index(folder, HashEmbedder())


@pytest.mark.parametrize("name", ["", "../other", "/etc", "a b", "."])
def test_a_foreign_pointer(folder: Path, name: str) -> None:
    (folder / "current").write_text(name)
    with pytest.raises(IndexMissingError):
        load_index(folder)


def test_a_pointer_to_nothing(folder: Path) -> None:
    (folder / "current").write_text("20200101T000000000000")
    with pytest.raises(IndexDamagedError, match="run `guitu index build`"):
        load_index(folder)


def test_files_that_do_not_fit_together(folder: Path, articles: list[Article], tmp_path: Path) -> None:
    """Every file is whole, but one is that of another index."""
    other = tmp_path / "other"
    save_index(build_index(articles[:3], HashEmbedder(), Lexicon()), other)
    generation = folder / (folder / "current").read_text().strip()
    foreign = other / (other / "current").read_text().strip()
    name = "sentences.faiss"
    (generation / name).write_bytes((foreign / name).read_bytes())
    manifest = json.loads((generation / "manifest.json").read_text())
    manifest["files"][name] = json.loads((foreign / "manifest.json").read_text())["files"][name]
    (generation / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IndexDamagedError, match="do not fit together"):
        load_index(folder, HashEmbedder())


BUILD = """
import sys
from pathlib import Path
from retrieval import HashEmbedder, Lexicon, Library, build_index, save_index
corpus, data, folder = map(Path, sys.argv[1:])
articles = Library(corpus, data).articles()
print("ready", flush=True)
while True:
    save_index(build_index(articles, HashEmbedder(), Lexicon()), folder)
    print("saved", flush=True)
"""


def test_a_build_that_is_killed_leaves_the_index_serving(corpus_dir: Path, folder: Path, tmp_path: Path) -> None:
    chance = random.Random(3)
    expected = hits(load_index(folder, HashEmbedder()))
    generations = set()
    for _ in range(6):
        command = [sys.executable, "-c", BUILD, str(corpus_dir), str(tmp_path / "data"), str(folder)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as build:
            assert build.stdout is not None
            assert build.stdout.readline() == "ready\n"
            for _ in range(chance.randrange(3)):
                assert build.stdout.readline() == "saved\n"
            # About as long as one more build takes; they go on until the kill, which so falls anywhere.
            time.sleep(chance.uniform(0.0, 0.15))
            os.kill(build.pid, signal.SIGKILL)
        index = load_index(folder, HashEmbedder())
        assert hits(index) == expected
        generations.add(index.generation)
    assert len(generations) > 1, "no build was finished: the kills came too early to prove anything"
    # What the killed ones have left behind goes with the next build.
    save_index(build_index(list(index.articles.values()), HashEmbedder(), Lexicon()), folder)
    assert list(folder.glob(".building-*")) == []
    assert len([p for p in folder.iterdir() if p.is_dir()]) <= 2


@pytest.mark.parametrize("step", range(1, 9))
def test_a_build_that_fails_at_any_step_leaves_the_index_serving(
    folder: Path, articles: list[Article], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The same without chance: the n-th write to disk fails."""
    expected = load_index(folder, HashEmbedder()).generation
    n_writes = 0

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def write(*args: object, **kwargs: object) -> object:
            nonlocal n_writes
            n_writes += 1
            if n_writes == step:
                raise OSError("disk full")
            return real(*args, **kwargs)

        return write

    index = build_index(articles, HashEmbedder(), Lexicon())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", failing(Path.write_text))
        patch.setattr(os, "replace", failing(os.replace))
        patch.setattr("retrieval.dense.faiss.write_index", failing(sys.modules["faiss"].write_index))
        try:
            save_index(index, folder)
        except OSError:
            assert load_index(folder, HashEmbedder()).generation == expected
        else:
            assert n_writes < step
            assert load_index(folder, HashEmbedder()).generation == index.generation
    save_index(index := build_index(articles, HashEmbedder(), Lexicon()), folder)
    assert load_index(folder, HashEmbedder()).generation == index.generation
