"""The articles at hand: the corpus folder plus what an operator has added to the data folder."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retrieval.article_file import read_article, read_article_file
from retrieval.errors import ArticleFormatError, CorpusError
from retrieval.known_questions import question_paths, read_questions_file, with_questions
from retrieval.reposts import repost_heads
from retrieval.types import Article

SUFFIXES = (".md", ".markdown", ".txt")


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What became of one source: `outcome` is added, updated, duplicate or rejected (then `reason` says why)."""

    source: str
    outcome: str
    article_id: str | None = None
    title: str | None = None
    reason: str | None = None
    repost_of: str | None = None


class Library:
    """Reads `<corpus>/articles/` and `<data>/articles/`; writes only into the latter.

    Files in the data folder are kept as they came, named by article id, so that better reading rules can be applied
    to them later.
    """

    def __init__(self, corpus_dir: Path, data_dir: Path) -> None:
        self._corpus_articles = corpus_dir / "articles"
        self._added_dir = data_dir / "articles"
        self._question_dirs = (corpus_dir / "questions", data_dir / "questions")
        self._withdrawn_path = data_dir / "withdrawn.json"

    def articles(self, on_problem: Callable[[CorpusError], None] | None = None) -> list[Article]:
        """Every article with its known questions, by id; withdrawn ones are left out.

        A file that cannot be read is passed to `on_problem` and skipped, so that one bad file never stops the rest.

        Raises:
            CorpusError: two files of the corpus claim the same id.
        """
        found: dict[str, tuple[Article, Path]] = {}
        for folder in (self._corpus_articles, self._added_dir):
            for path in article_paths(folder):
                try:
                    article = read_article_file(path)
                except ArticleFormatError as error:
                    if on_problem:
                        on_problem(error)
                    continue
                earlier = found.get(article.article_id)
                if earlier and folder == self._corpus_articles:
                    raise CorpusError(
                        f"'{path}' and '{earlier[1]}' have the same id '{article.article_id}'; rename one"
                    )
                # An operator's newer version of a corpus article takes its place.
                found[article.article_id] = (article, path)
        for folder in self._question_dirs:
            for path in question_paths(folder):
                if path.stem not in found:
                    continue
                try:
                    questions = read_questions_file(path)
                except CorpusError as error:
                    if on_problem:
                        on_problem(error)
                    continue
                article, article_path = found[path.stem]
                found[path.stem] = (with_questions(article, questions, path.parent.name), article_path)
        withdrawn = self.withdrawn()
        return [article for key, (article, _) in sorted(found.items()) if key not in withdrawn]

    def fingerprint(self) -> str:
        """Changes whenever an article or question file is added, removed or written, or an article withdrawn."""
        digest = hashlib.sha256()
        articles = (article_paths(folder) for folder in (self._corpus_articles, self._added_dir))
        questions = (question_paths(folder) for folder in self._question_dirs)
        for path in itertools.chain(*articles, *questions):
            stat = path.stat()
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        digest.update("\n".join(sorted(self.withdrawn())).encode())
        return digest.hexdigest()

    def add(self, source: str, data: bytes, known: list[Article], *, dry_run: bool = False) -> IngestOutcome:
        """Adds one article file; `known` is what the library holds, and grows by the article.

        A rejected source changes nothing.
        """
        try:
            article = read_article(data)
        except ArticleFormatError as error:
            line = "" if error.line is None else f"line {error.line}: "
            return IngestOutcome(source, "rejected", reason=f"{line}{error.reason}")
        if article.article_id in self.withdrawn():
            reason = f"'{article.article_id}' was withdrawn; run `guitu withdraw --undo {article.article_id}` first"
            return IngestOutcome(source, "rejected", article.article_id, article.title, reason)
        earlier = next((a for a in known if a.article_id == article.article_id), None)
        if earlier is None:
            # The same article under a link written in another way is no repost but the same article.
            earlier = next((a for a in known if _is_same(a, article)), None)
        if earlier is not None and (earlier.digest == article.digest or earlier.article_id != article.article_id):
            return IngestOutcome(source, "duplicate", earlier.article_id, earlier.title)
        if earlier is not None:
            known.remove(earlier)
        known.append(article)
        if not dry_run:
            try:
                write_atomically(self._added_dir / f"{article.article_id}.md", data)
            except OSError as error:
                known.remove(article)
                return IngestOutcome(
                    source, "rejected", reason=f"cannot write to '{self._added_dir}' ({error.strerror})"
                )
        return IngestOutcome(
            source,
            "updated" if earlier is not None else "added",
            article.article_id,
            article.title,
            repost_of=repost_heads(known).get(article.article_id),
        )

    def withdrawn(self) -> frozenset[str]:
        """Ids of the articles that the operator has withdrawn."""
        return read_withdrawn(self._withdrawn_path)

    def withdraw(self, article_id: str) -> None:
        """Takes an article out of every answer and page; running servers see it within a second."""
        self._write_withdrawn(self.withdrawn() | {article_id})

    def restore(self, article_id: str) -> None:
        """Undoes `withdraw`."""
        self._write_withdrawn(self.withdrawn() - {article_id})

    def _write_withdrawn(self, ids: frozenset[str]) -> None:
        write_atomically(self._withdrawn_path, json.dumps(sorted(ids), indent=0).encode())


def article_paths(folder: Path) -> Iterator[Path]:
    """Article files below `folder`, by name; hidden files and folders are passed over."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path


def read_withdrawn(path: Path) -> frozenset[str]:
    """Ids in a withdrawal file.

    Raises:
        CorpusError: the file is damaged; nothing may be shown until it is mended.
    """
    try:
        ids = json.loads(path.read_text("utf-8"))
        if not isinstance(ids, list):
            raise ValueError
    except FileNotFoundError:
        return frozenset()
    except (ValueError, OSError) as error:
        raise CorpusError(f"'{path}' is no list of article ids; mend it or delete it") from error
    return frozenset(str(item) for item in ids)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` to `path` so that a reader, or a crash, sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _is_same(one: Article, other: Article) -> bool:
    return (one.text, one.title, one.publisher, one.published) == (
        other.text,
        other.title,
        other.publisher,
        other.published,
    )
