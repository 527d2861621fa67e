"""Builds, saves and loads the index folder.

<data>/index/
    current               name of the generation that serves, replaced atomically
    <generation>/         written once, never changed
        manifest.json     format, model, counts, article digests, SHA-256 of every other file
        articles.jsonl    the articles, in id order
        passages.faiss    one row a passage
        sentences.faiss   one row a sentence
        lexical/          BM25 over passages
        passage-terms.npz, sentence-terms.npz, heading-terms.npz  which rows hold which terms
        asked-terms.json      terms of known questions that no passage has
        reposts.json          the article that each repost repeats
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
from retrieval.known_questions import questions_digest
from retrieval.lexical import LexicalIndex, TermTable
from retrieval.lexicon import Lexicon
from retrieval.library import write_atomically
from retrieval.reposts import repost_heads
from retrieval.reranker import Keys, KeyTable
from retrieval.types import Article, Heading, KnownQuestion, Passage, Sentence, Source

# Raise it whenever what is stored, or how text is cut or folded, changes meaning.
FORMAT = 5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class SentenceRow:
    """Where the vector of a sentence belongs: row of its passage and its span in the article."""

    passage_row: int
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """Where the vector of a known question belongs: row of the sentence that answers it."""

    sentence_row: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Index:
    """An index in memory. Rows number passages, sentences and known questions from 0, each in article order.

    `heading_terms` has a row a passage, for its title and heading alone; `asked_terms` are the terms that known
    questions have and no passage. `sentence_keys` is None where the model tells no tokens.
    """

    articles: Mapping[str, Article]
    passages: tuple[Passage, ...]
    sentences: tuple[SentenceRow, ...]
    questions: tuple[QuestionRow, ...]
    passage_vectors: DenseIndex
    sentence_vectors: DenseIndex
    question_vectors: DenseIndex
    sentence_keys: KeyTable | None
    lexical: LexicalIndex
    passage_terms: TermTable
    sentence_terms: TermTable
    heading_terms: TermTable
    asked_terms: frozenset[str]
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
    """The index of `articles`; what was made of unchanged passages, sentences and questions is taken from `reuse`.

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
    sentence_texts = [sentence_text(articles, passages, row) for row in sentences]
    questions = question_rows(articles, passages, sentences)
    question_texts = [question.text for question in questions]
    old = _Vectors({}, {}, {}) if reuse is None else _Vectors.of(reuse, embedder)
    passage_vectors = _embed("passages", contexts, embedder.dim, embedder.embed_passages, old.said, progress)
    sentence_vectors, sentence_keys = _read_sentences(sentence_texts, embedder, old, progress)
    question_vectors = _embed("questions", question_texts, embedder.dim, embedder.place_questions, old.asked, progress)

    def all_terms(text: str) -> list[str]:
        return [*terms(text), *lexicon.entity_terms(text)]

    context_terms = [all_terms(context) for context in contexts]
    headings = [f"{articles[passage.article_id].title}\n{passage.heading}" for passage in passages]
    asked_terms = {term for text in question_texts for term in all_terms(text)}
    now = dt.datetime.now(dt.UTC)
    reposts = reposts or {}
    manifest = {
        "format": FORMAT,
        "generation": f"{now:%Y%m%dT%H%M%S%f}",
        "built": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "model": _model_of(embedder),
        "lexicon": lexicon.digest,
        "counts": {
            "articles": len(articles),
            "reposts": len(reposts),
            "passages": len(passages),
            "sentences": len(sentences),
            "questions": len(questions),
        },
        "articles": {key: article.digest for key, article in articles.items()},
        "questions": questions_digest(articles.values()),
    }
    return Index(
        articles=articles,
        passages=tuple(passages),
        sentences=sentences,
        questions=questions,
        passage_vectors=DenseIndex.build(passage_vectors),
        sentence_vectors=DenseIndex.build(sentence_vectors),
        question_vectors=DenseIndex.build(question_vectors),
        sentence_keys=None if sentence_keys is None else KeyTable.build(sentence_keys),
        lexical=LexicalIndex.build(context_terms),
        passage_terms=TermTable.build(
            [
                [*found, *lexicon.country_terms(articles[passage.article_id].countries)]
                for found, passage in zip(context_terms, passages, strict=True)
            ]
        ),
        sentence_terms=TermTable.build([all_terms(text) for text in sentence_texts]),
        heading_terms=TermTable.build([all_terms(text) for text in headings]),
        asked_terms=frozenset(asked_terms.difference(*context_terms)),
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
        raise IndexStaleError(
            f"the index in '{folder}' was built with model {_model_label(manifest.get('model', {}))} but the settings"
            f" name {_model_label(_model_of(embedder))}; run `guitu index build`",
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


def question_rows(
    articles: Mapping[str, Article], passages: Sequence[Passage], sentences: Sequence[SentenceRow]
) -> tuple[QuestionRow, ...]:
    """The known questions of `sentences`, in their order."""
    row_of = {(passages[row.passage_row].article_id, row.sentence): n for n, row in enumerate(sentences)}
    indexed = dict.fromkeys(passage.article_id for passage in passages)
    found = [
        QuestionRow(row_of[key], question.language, question.text)
        for article in (articles[article_id] for article_id in indexed)
        for question in article.questions
        if (key := (article.article_id, article.sentences[question.sentence])) in row_of
    ]
    return tuple(found)


def _write(index: Index, work: Path) -> None:
    records = (json.dumps(dataclasses.asdict(article), ensure_ascii=False) for article in index.articles.values())
    (work / "articles.jsonl").write_text("".join(record + "\n" for record in records), "utf-8")
    index.passage_vectors.save(work / "passages.faiss")
    index.sentence_vectors.save(work / "sentences.faiss")
    index.question_vectors.save(work / "questions.faiss")
    if index.sentence_keys is not None:
        index.sentence_keys.save(work / "keys")
    index.lexical.save(work / "lexical")
    index.passage_terms.save(work / "passage-terms.npz")
    index.sentence_terms.save(work / "sentence-terms.npz")
    index.heading_terms.save(work / "heading-terms.npz")
    (work / "asked-terms.json").write_text(json.dumps(sorted(index.asked_terms), ensure_ascii=False), "utf-8")
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
        questions=question_rows(articles, passages, sentences),
        passage_vectors=DenseIndex.load(generation / "passages.faiss"),
        sentence_vectors=DenseIndex.load(generation / "sentences.faiss"),
        question_vectors=DenseIndex.load(generation / "questions.faiss"),
        sentence_keys=KeyTable.load(generation / "keys") if manifest["model"]["reranker"] else None,
        lexical=LexicalIndex.load(generation / "lexical"),
        passage_terms=TermTable.load(generation / "passage-terms.npz"),
        sentence_terms=TermTable.load(generation / "sentence-terms.npz"),
        heading_terms=TermTable.load(generation / "heading-terms.npz"),
        asked_terms=frozenset(json.loads((generation / "asked-terms.json").read_text("utf-8"))),
        n_reprints=Counter(reposts.values()),
        reposts=reposts,
        manifest=manifest,
    )
    n_rows = (
        index.passage_vectors.n_rows,
        index.sentence_vectors.n_rows,
        len(sentences) if index.sentence_keys is None else index.sentence_keys.n_rows,
        index.question_vectors.n_rows,
        index.lexical.n_passages,
        index.passage_terms.n_rows,
        index.sentence_terms.n_rows,
        index.heading_terms.n_rows,
    )
    n = len(passages)
    if n_rows != (n, len(sentences), len(sentences), len(index.questions), n, n, len(sentences), n):
        raise _damaged(generation.parent, "its parts do not fit together")
    return index


def _article_from(record: dict[str, Any]) -> Article:
    record["sentences"] = tuple(Sentence(s["start"], s["end"], tuple(s["source_keys"])) for s in record["sentences"])
    record["headings"] = tuple(Heading(**heading) for heading in record["headings"])
    record["sources"] = {key: Source(**source) for key, source in record["sources"].items()}
    record["questions"] = tuple(KnownQuestion(**question) for question in record["questions"])
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


def _model_of(embedder: Embedder) -> dict[str, Any]:
    """What vectors, points and keys depend on."""
    return {
        "name": embedder.name,
        "digest": embedder.digest,
        "dim": embedder.dim,
        "question_space": embedder.question_space,
        "reranker": embedder.reranker.digest if embedder.reranker else "",
    }


def _same_model(manifest: Mapping[str, Any], embedder: Embedder) -> bool:
    """Whether all but the name agrees."""
    built = manifest.get("model")
    ours = {**_model_of(embedder), "name": None}
    return isinstance(built, dict) and {**built, "name": None} == ours


def _model_label(model: Mapping[str, Any]) -> str:
    parts = {"digest": "digest", "question space": "question_space", "reranker": "reranker"}
    told = ", ".join(f"{what} {str(model.get(key) or 'none')[:12]}" for what, key in parts.items())
    return f"'{model.get('name')}' ({model.get('dim')} wide, {told})"


def _row_key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def sentence_text(articles: Mapping[str, Article], passages: Sequence[Passage], row: SentenceRow) -> str:
    """The words of a sentence."""
    return articles[passages[row.passage_row].article_id].text[row.sentence.start : row.sentence.end]


@dataclass(frozen=True, slots=True)
class _Vectors:
    """What is known by the key of its text: of what articles say, and of questions (the model tells the two apart)."""

    said: Mapping[str, NDArray[np.float32]]
    asked: Mapping[str, NDArray[np.float32]]
    sentence_keys: Mapping[str, Keys]

    @classmethod
    def of(cls, index: Index, embedder: Embedder) -> _Vectors:
        """What `embedder` would make again of the texts of `index`."""
        built, ours = index.manifest["model"], _model_of(embedder)

        def is_same(*parts: str) -> bool:
            return all(built.get(part) == ours[part] for part in ("digest", "dim", *parts))

        contexts = [passage_context(index.articles[p.article_id], p) for p in index.passages]
        texts = [sentence_text(index.articles, index.passages, row) for row in index.sentences]
        questions = [question.text for question in index.questions]
        table = index.sentence_keys if is_same("reranker") else None
        return cls(
            _by_key(index.passage_vectors, contexts) | _by_key(index.sentence_vectors, texts) if is_same() else {},
            _by_key(index.question_vectors, questions) if is_same("question_space") else {},
            {} if table is None else {_row_key(text): table.of(row) for row, text in enumerate(texts)},
        )


def _by_key(vectors: DenseIndex, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    matrix = vectors.vectors(np.arange(len(texts), dtype=np.int64))
    return {_row_key(text): matrix[i] for i, text in enumerate(texts)}


def _embed(
    what: str,
    texts: Sequence[str],
    dim: int,
    embed: Callable[..., NDArray[np.float32]],
    known: Mapping[str, NDArray[np.float32]],
    progress: Progress | None,
) -> NDArray[np.float32]:
    missing = [text for text in dict.fromkeys(texts) if _row_key(text) not in known]
    report = None if progress is None else lambda done, total: progress(what, done, total)
    fresh = dict(zip(missing, embed(missing, progress=report), strict=True)) if missing else {}
    rows = [fresh[text] if text in fresh else known[_row_key(text)] for text in texts]
    return np.stack(rows) if rows else np.zeros((0, dim), dtype=np.float32)


def _read_sentences(
    texts: Sequence[str], embedder: Embedder, old: _Vectors, progress: Progress | None
) -> tuple[NDArray[np.float32], list[Keys] | None]:
    """(n, dim) vectors of `texts` and their keys for the reranker; None without one."""
    keys = dict(old.sentence_keys)

    def read(missing: Sequence[str], *, progress: Callable[[int, int], None] | None) -> NDArray[np.float32]:
        vectors, fresh = embedder.read_sentences(missing, progress=progress)
        if fresh is not None:
            keys.update(zip(map(_row_key, missing), fresh, strict=True))
        return vectors

    # A passage may be one sentence, and then has a vector without keys.
    known = old.said if embedder.reranker is None else {key: old.said[key] for key in old.sentence_keys}
    vectors = _embed("sentences", texts, embedder.dim, read, known, progress)
    return vectors, None if embedder.reranker is None else [keys[_row_key(text)] for text in texts]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock falls with its process."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
