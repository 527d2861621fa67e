"""Builds, saves and loads the index folder.

<data>/index/
    current               name of the generation that serves, replaced atomically
    <generation>/         written once, never changed
        manifest.json     format, model, counts, article digests, SHA-256 of every other file
        articles.jsonl    the articles, in id order
        passages.faiss    one row a passage
        sentences.faiss   one row a sentence
        lexical/          BM25 over passages
        passage-terms.npz, sentence-terms.npz  which rows hold which terms
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.analyze import terms
from retrieval.chunk import passages_of
from retrieval.dense import DenseIndex
from retrieval.embed import Embedder
from retrieval.errors import IndexDamagedError, IndexMissingError, IndexStaleError
from retrieval.lexical import LexicalIndex, TermTable
from retrieval.lexicon import Lexicon
from retrieval.library import write_atomically
from retrieval.reposts import repost_heads
from retrieval.types import Article, Heading, Passage, Sentence, Source

# Raise it whenever what is stored, or how text is cut or folded, changes meaning.
FORMAT = 1
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class SentenceRow:
    """Where the vector of a sentence belongs: row of its passage and its span in the article."""

    passage_row: int
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Index:
    """An index in memory. Passage rows number passages from 0, sentence rows sentences, both in article order."""

    articles: Mapping[str, Article]
    passages: tuple[Passage, ...]
    sentences: tuple[SentenceRow, ...]
    passage_vectors: DenseIndex
    sentence_vectors: DenseIndex
    lexical: LexicalIndex
    passage_terms: TermTable
    sentence_terms: TermTable
    n_reprints: Mapping[str, int]
    reposts: Mapping[str, str]
    manifest: Mapping[str, Any]

    @property
    def generation(self) -> str:
        """Name of the generation, new with every build."""
        return str(self.manifest["generation"])


def passage_context(article: Article, passage: Passage) -> str:
    """What is indexed for a passage: its title and heading are context, and no part of what is quoted."""
    return "\n".join(part for part in (article.title, passage.heading, passage.text) if part)


def build_index(
    articles: Sequence[Article],
    embedder: Embedder,
    lexicon: Lexicon,
    *,
    reuse: Index | None = None,
    progress: Progress | None = None,
) -> Index:
    """The index of `articles`; vectors of unchanged passages and sentences are taken from `reuse`.

    Reposts are counted, not indexed: their words already stand in the earliest article of the family.
    """
    by_id = {article.article_id: article for article in sorted(articles, key=lambda a: a.article_id)}
    reposts = repost_heads(list(by_id.values()))
    passages = [p for a in by_id.values() if a.article_id not in reposts for p in passages_of(a)]
    return index_passages(by_id, passages, embedder, lexicon, reposts=reposts, reuse=reuse, progress=progress)


def index_passages(
    articles: Mapping[str, Article],
    passages: Sequence[Passage],
    embedder: Embedder,
    lexicon: Lexicon,
    *,
    reposts: Mapping[str, str] | None = None,
    reuse: Index | None = None,
    progress: Progress | None = None,
) -> Index:
    """The index of `passages` as they are cut; see `build_index`."""
    sentences = sentence_rows(articles, passages)
    contexts = [passage_context(articles[p.article_id], p) for p in passages]
    sentence_texts = [_sentence_text(articles, passages, row) for row in sentences]
    old = _vectors_by_key(reuse) if reuse is not None and _same_model(reuse.manifest, embedder) else {}
    passage_vectors = _embed("passages", contexts, embedder, old, progress)
    sentence_vectors = _embed("sentences", sentence_texts, embedder, old, progress)
    context_terms = [[*terms(context), *lexicon.entity_terms(context)] for context in contexts]
    now = dt.datetime.now(dt.UTC)
    reposts = reposts or {}
    manifest = {
        "format": FORMAT,
        "generation": f"{now:%Y%m%dT%H%M%S%f}",
        "built": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "model": {"name": embedder.name, "digest": embedder.digest, "dim": embedder.dim},
        "lexicon": lexicon.digest,
        "counts": {
            "articles": len(articles),
            "reposts": len(reposts),
            "passages": len(passages),
            "sentences": len(sentences),
        },
        "articles": {key: article.digest for key, article in articles.items()},
    }
    return Index(
        articles=articles,
        passages=tuple(passages),
        sentences=sentences,
        passage_vectors=DenseIndex.build(passage_vectors),
        sentence_vectors=DenseIndex.build(sentence_vectors),
        lexical=LexicalIndex.build(context_terms),
        passage_terms=TermTable.build(
            [
                [*found, *lexicon.country_terms(articles[passage.article_id].countries)]
                for found, passage in zip(context_terms, passages, strict=True)
            ]
        ),
        sentence_terms=TermTable.build([[*terms(text), *lexicon.entity_terms(text)] for text in sentence_texts]),
        n_reprints=Counter(reposts.values()),
        reposts=reposts,
        manifest=manifest,
    )


def save_index(index: Index, folder: Path) -> None:
    """Writes `index` as a new generation below `folder` and makes it the current one.

    A crash at any point leaves the generation that served before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        # What a build that was killed left behind.
        for leftover in folder.glob(".building-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        target = folder / index.generation
        work = folder / f".building-{index.generation}"
        work.mkdir()
        _write(index, work)
        os.replace(work, target)
        previous = _current_name(folder)
        write_atomically(folder / "current", f"{index.generation}\n".encode())
        # The one before stays for a server that is just loading it.
        for entry in folder.iterdir():
            if entry.is_dir() and entry.name not in (index.generation, previous):
                shutil.rmtree(entry, ignore_errors=True)


def load_index(folder: Path, embedder: Embedder | None = None) -> Index:
    """The current index below `folder`.

    Args:
        embedder: when given, the index must have been built with this model.
    Raises:
        IndexMissingError, IndexStaleError, IndexDamagedError: with the remedy in the message.
    """
    name = _current_name(folder)
    if name is None:
        raise IndexMissingError(f"there is no index in '{folder}'; run `guitu index build`", path=folder)
    generation = folder / name
    manifest = read_manifest(folder)
    if manifest.get("format") != FORMAT:
        raise IndexStaleError(
            f"the index in '{folder}' has format {manifest.get('format')}, this version reads {FORMAT};"
            " run `guitu index build`",
            path=folder,
        )
    if embedder is not None and not _same_model(manifest, embedder):
        built = manifest.get("model", {})
        raise IndexStaleError(
            f"the index in '{folder}' was built with model '{built.get('name')}' ({built.get('dim')} wide, digest"
            f" {str(built.get('digest'))[:12]}) but the settings name '{embedder.name}' ({embedder.dim} wide, digest"
            f" {embedder.digest[:12]}); run `guitu index build`",
            path=folder,
        )
    _check_files(generation, manifest)
    try:
        return _read(generation, manifest)
    except IndexDamagedError:
        raise
    except Exception as error:
        # Whatever a foreign or half-written file makes a reader raise, the remedy is the same.
        raise _damaged(folder, "its files cannot be read") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the current index below `folder`.

    Raises:
        IndexMissingError, IndexDamagedError: with the remedy in the message.
    """
    name = _current_name(folder)
    if name is None:
        raise IndexMissingError(f"there is no index in '{folder}'; run `guitu index build`", path=folder)
    try:
        manifest = json.loads((folder / name / "manifest.json").read_text("utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise _damaged(folder, "its manifest cannot be read") from error
    return manifest


def _rows(
    articles: Mapping[str, Article], reposts: Mapping[str, str]
) -> tuple[tuple[Passage, ...], tuple[SentenceRow, ...]]:
    passages = tuple(p for a in articles.values() if a.article_id not in reposts for p in passages_of(a))
    return passages, sentence_rows(articles, passages)


def sentence_rows(articles: Mapping[str, Article], passages: Sequence[Passage]) -> tuple[SentenceRow, ...]:
    """The sentences of `passages`, in their order."""
    return tuple(
        SentenceRow(row, sentence)
        for row, passage in enumerate(passages)
        for sentence in articles[passage.article_id].sentences
        if passage.start <= sentence.start and sentence.end <= passage.end
    )


def _write(index: Index, work: Path) -> None:
    records = (json.dumps(dataclasses.asdict(article), ensure_ascii=False) for article in index.articles.values())
    (work / "articles.jsonl").write_text("".join(record + "\n" for record in records), "utf-8")
    index.passage_vectors.save(work / "passages.faiss")
    index.sentence_vectors.save(work / "sentences.faiss")
    index.lexical.save(work / "lexical")
    index.passage_terms.save(work / "passage-terms.npz")
    index.sentence_terms.save(work / "sentence-terms.npz")
    (work / "reposts.json").write_text(json.dumps(dict(index.reposts)), "utf-8")
    files = sorted(path for path in work.rglob("*") if path.is_file())
    digests = {path.relative_to(work).as_posix(): _file_digest(path) for path in files}
    manifest = {**index.manifest, "files": digests}
    (work / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1), "utf-8")
    for path in (*files, work / "manifest.json", work):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(generation: Path, manifest: Mapping[str, Any]) -> Index:
    articles = {}
    with (generation / "articles.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            article = _article_from(json.loads(line))
            articles[article.article_id] = article
    reposts = json.loads((generation / "reposts.json").read_text("utf-8"))
    passages, sentences = _rows(articles, reposts)
    index = Index(
        articles=articles,
        passages=passages,
        sentences=sentences,
        passage_vectors=DenseIndex.load(generation / "passages.faiss"),
        sentence_vectors=DenseIndex.load(generation / "sentences.faiss"),
        lexical=LexicalIndex.load(generation / "lexical"),
        passage_terms=TermTable.load(generation / "passage-terms.npz"),
        sentence_terms=TermTable.load(generation / "sentence-terms.npz"),
        n_reprints=Counter(reposts.values()),
        reposts=reposts,
        manifest=manifest,
    )
    n_rows = (
        index.passage_vectors.n_rows,
        index.sentence_vectors.n_rows,
        index.lexical.n_passages,
        index.passage_terms.n_rows,
        index.sentence_terms.n_rows,
    )
    n = len(passages)
    if n_rows != (n, len(sentences), n, n, len(sentences)):
        raise _damaged(generation.parent, "its parts do not fit together")
    return index


def _article_from(record: dict[str, Any]) -> Article:
    record["sentences"] = tuple(Sentence(s["start"], s["end"], tuple(s["source_keys"])) for s in record["sentences"])
    record["headings"] = tuple(Heading(**heading) for heading in record["headings"])
    record["sources"] = {key: Source(**source) for key, source in record["sources"].items()}
    record["topics"], record["countries"] = tuple(record["topics"]), tuple(record["countries"])
    return Article(**record)


def _check_files(generation: Path, manifest: Mapping[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise _damaged(generation.parent, "its manifest names no files")
    for name, digest in files.items():
        path = generation / name
        if not path.is_file():
            raise _damaged(generation.parent, f"'{name}' is missing")
        if _file_digest(path) != digest:
            raise _damaged(generation.parent, f"'{name}' has changed since it was written")


def _damaged(folder: Path, what: str) -> IndexDamagedError:
    return IndexDamagedError(f"the index in '{folder}' is damaged: {what}; run `guitu index build`", path=folder)


def _current_name(folder: Path) -> str | None:
    try:
        name = (folder / "current").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if name.isalnum() else None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_model(manifest: Mapping[str, Any], embedder: Embedder) -> bool:
    model = manifest.get("model")
    return isinstance(model, dict) and (model.get("digest"), model.get("dim")) == (
        embedder.digest,
        embedder.dim,
    )


def _row_key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _sentence_text(articles: Mapping[str, Article], passages: Sequence[Passage], row: SentenceRow) -> str:
    return articles[passages[row.passage_row].article_id].text[row.sentence.start : row.sentence.end]


def _vectors_by_key(index: Index) -> dict[str, NDArray[np.float32]]:
    contexts = [passage_context(index.articles[p.article_id], p) for p in index.passages]
    texts = [_sentence_text(index.articles, index.passages, row) for row in index.sentences]
    known: dict[str, NDArray[np.float32]] = {}
    for vectors, rows in ((index.passage_vectors, contexts), (index.sentence_vectors, texts)):
        matrix = vectors.vectors(np.arange(len(rows), dtype=np.int64))
        known.update({_row_key(text): matrix[i] for i, text in enumerate(rows)})
    return known


def _embed(
    what: str,
    texts: Sequence[str],
    embedder: Embedder,
    known: Mapping[str, NDArray[np.float32]],
    progress: Progress | None,
) -> NDArray[np.float32]:
    vectors = np.zeros((len(texts), embedder.dim), dtype=np.float32)
    missing: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        vector = known.get(_row_key(text))
        if vector is None:
            missing.setdefault(text, []).append(row)
        else:
            vectors[row] = vector
    report = None if progress is None else lambda done, total: progress(what, done, total)
    if missing:
        fresh = embedder.embed_passages(list(missing), progress=report)
        for vector, rows in zip(fresh, missing.values(), strict=True):
            vectors[rows] = vector
    return vectors


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock falls with its process."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
