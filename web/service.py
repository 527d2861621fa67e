"""What a running program holds: model, index, lexicon, contacts, and the answerer over them."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bot.answer import Answerer
from bot.contacts import ContactList
from bot.offer import OfferChecker
from bot.signs import SignList
from bot.triage import Triage
from bot.types import OfferReport
from bot.view import View
from retrieval import (
    Article,
    CorpusError,
    Embedder,
    Index,
    IndexDirError,
    Lexicon,
    Library,
    Reading,
    RetrievalError,
    Searcher,
    build_index,
    detect_language,
    load_embedder,
    load_index,
    read_manifest,
    save_index,
)
from retrieval.known_questions import questions_digest
from retrieval.library import write_atomically
from web.once import OnceEmbedder
from web.settings import Settings

logger = logging.getLogger(__name__)

# How often a running server looks whether another process has built a new index or withdrawn an article.
REFRESH_S = 0.25
# How long to wait after index or model could not be loaded: trying takes seconds that an emergency does not have.
RETRY_S = 30.0
WARM_UP_QUESTION = "How do I call for help?"
Progress = Callable[[str, int, int], None]


class Service:
    """Loads each part when it is first needed and keeps it. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.index_dir = settings.data / "index"
        self._lock = threading.RLock()
        self._searcher: Searcher | None = None
        self._current: str | None = None
        self._withdrawn: frozenset[str] = frozenset()
        self._checked_at: float | None = None
        self._failure: RetrievalError | None = None

    @cached_property
    def library(self) -> Library:
        """The articles at hand."""
        return Library(self.settings.corpus, self.settings.data)

    @cached_property
    def lexicon(self) -> Lexicon:
        """Names and slang that mean the same."""
        return Lexicon.load(self.settings.corpus / "lexicon.yaml")

    @cached_property
    def contacts(self) -> ContactList:
        """The checked contact list."""
        return ContactList.load(self.settings.corpus / "contacts.yaml")

    @cached_property
    def answerer(self) -> Answerer:
        """The bot."""
        return Answerer(self.view, self.contacts, Triage(self.lexicon, self._read_query), self.offers)

    @cached_property
    def offers(self) -> OfferChecker:
        """The check of job offers."""
        return OfferChecker(SignList.load(), self.lexicon, self.contacts, self.view, self._embed_query)

    def check_picture(self, data: bytes, *, language: str | None) -> OfferReport:
        """The check of the offer in a picture, which is held in memory only.

        Raises:
            PictureError: it is no picture that is taken, too large, or nothing can be read in it.
        """
        # Imported late: the reader of pictures is heavy, and most people paste text.
        from bot.picture import read_picture

        return self.offers.check(read_picture(data), language=language)

    def _read_query(self, text: str) -> Reading:
        return self.embedder().read_query(text)

    def _embed_query(self, text: str) -> NDArray[np.float32]:
        return self.embedder().embed_query(text)

    def embedder(self, progress: Callable[[str], None] | None = None) -> Embedder:
        """The embedding model, built first where it is missing.

        Raises:
            EmbedderError: with the remedy.
        """
        with self._lock:
            if self._embedder is None:
                loaded = load_embedder(self.settings.model, self.settings.data, progress=progress)
                self._embedder = cast(Embedder, OnceEmbedder(loaded))
            return self._embedder

    _embedder: Embedder | None = None

    def load_ahead(self) -> None:
        """Begins to load the model in a thread of its own, while the caller goes on with other work.

        Nothing is built: where there is no index yet, the model comes when it is first needed, with its progress.
        """

        def load() -> None:
            # Whoever needs the model tries again, and tells what is wrong.
            with contextlib.suppress(RetrievalError):
                self.embedder()
            # The detector of languages loads its tables with its first text.
            detect_language(WARM_UP_QUESTION)

        if (self.index_dir / "current").is_file():
            threading.Thread(target=load, name="load-model", daemon=True).start()

    def view(self) -> View:
        """What may be searched now: follows new builds and withdrawals of other processes within `REFRESH_S`.

        Raises:
            RetrievalError: index or model cannot serve.
        """
        with self._lock:
            now = time.monotonic()
            wait_s = REFRESH_S if self._failure is None else RETRY_S
            if self._checked_at is None or now - self._checked_at >= wait_s:
                self._refresh()
                self._checked_at = time.monotonic()
            if self._searcher is None:
                raise self._failure or IndexDirError("the index is not loaded yet")
            return View(self._searcher, self._withdrawn)

    def _refresh(self) -> None:
        try:
            self._withdrawn = self.library.withdrawn()
            current = _read_text(self.index_dir / "current")
            if self._searcher is None or current != self._current:
                self._searcher = Searcher(load_index(self.index_dir, self.embedder()), self.embedder(), self.lexicon)
                self._current = current
            self._failure = None
        except RetrievalError as error:
            if self._searcher is None or not isinstance(error, IndexDirError):
                self._searcher, self._failure = None, error
            else:
                # A build that went wrong elsewhere is no reason to stop serving what is loaded.
                logger.error("the new index cannot be loaded, the old one serves on: %s", error)
                self._current = _read_text(self.index_dir / "current")

    def articles(self) -> list[Article]:
        """Every readable article; unreadable files are logged."""

        def problem(error: CorpusError) -> None:
            logger.warning("skipped: %s", error)

        return self.library.articles(problem)

    def build(self, progress: Progress | None = None, say: Callable[[str], None] | None = None) -> Index:
        """Builds the index anew from corpus and data folder, taking over unchanged vectors, and saves it.

        Args:
            progress: called with what is embedded, how much is done and how much there is.
            say: called with a line before each step of building the model.
        """
        embedder = self.embedder(say)
        try:
            old = load_index(self.index_dir, embedder)
        except IndexDirError:
            old = None
        index = build_index(self.articles(), embedder, self.lexicon, reuse=old, progress=progress)
        save_index(index, self.index_dir)
        self._checked_at = None
        return index

    def is_index_current(self) -> bool:
        """Whether the index on disk can serve and was built from just the articles and the lexicon at hand.

        A start without changes reads no article: their files are compared by name, size and time.
        """
        try:
            view = self.view()
        except RetrievalError:
            return False
        manifest = view.searcher.index.manifest
        stamp = {
            "lexicon": self.lexicon.digest,
            "files": self.library.fingerprint(),
            "built": manifest["built"],
        }
        stamp_path = self.settings.data / "index" / "checked.json"
        if _read_text(stamp_path) == json.dumps(stamp):
            return True
        articles = self.articles()
        is_current = bool(
            manifest["articles"] == {article.article_id: article.digest for article in articles}
            and manifest["questions"] == questions_digest(articles)
            and manifest["lexicon"] == self.lexicon.digest
        )
        if is_current:
            write_atomically(stamp_path, json.dumps(stamp).encode())
        return is_current

    def warm_up(self) -> None:
        """Loads everything that a first question would otherwise wait for.

        Raises:
            RetrievalError: index or model cannot serve.
        """
        _ = self.contacts, self.answerer
        view = self.view()
        view.searcher.search(WARM_UP_QUESTION)

    def status(self) -> dict[str, Any]:
        """What `guitu index status` prints."""
        manifest = read_manifest(self.index_dir)
        built = dt.datetime.fromisoformat(manifest["built"])
        status: dict[str, Any] = {
            "folder": str(self.index_dir),
            "format": manifest["format"],
            "built": manifest["built"],
            "age_hours": round((dt.datetime.now(dt.UTC) - built).total_seconds() / 3600, 1),
            "model": manifest["model"],
            "counts": manifest["counts"],
            "lexicon": manifest["lexicon"],
            "withdrawn": sorted(self.library.withdrawn()),
        }
        embedder = self.embedder()
        status["backend"] = {"name": embedder.backend, "why": embedder.backend_reason}
        load_index(self.index_dir, embedder)
        status["is_current"] = self.is_index_current()
        return status


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except OSError:
        return None
