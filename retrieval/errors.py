"""Everything retrieval may raise.

RetrievalError
├── CorpusError            an article or a corpus file is not as it should be
│   └── ArticleFormatError   one article file cannot be read (carries path and line)
├── EmbedderError          the embedding model cannot be built, loaded or used
│   └── LearnedFileError     a file of learned numbers is damaged; another model would not help
└── IndexDirError          an index folder cannot serve
    ├── IndexMissingError    there is none yet
    ├── IndexStaleError      it was built with another model or format
    └── IndexDamagedError    its files do not match its manifest
"""

from __future__ import annotations

from pathlib import Path


class RetrievalError(Exception):
    """Base of all errors of this package; the message names the input and the remedy."""


class CorpusError(RetrievalError):
    """An article or a corpus data file is not as it should be."""


class ArticleFormatError(CorpusError):
    """One article cannot be read. `reason` is one short plain line without the path."""

    def __init__(self, reason: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{place}{reason}")
        self.reason = reason
        self.path = path
        self.line = line


class EmbedderError(RetrievalError):
    """The embedding model cannot be built, loaded or used."""


class LearnedFileError(EmbedderError):
    """A file of learned numbers is damaged."""


class IndexDirError(RetrievalError):
    """An index folder cannot serve."""

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class IndexMissingError(IndexDirError):
    """There is no index yet."""


class IndexStaleError(IndexDirError):
    """The index was built with another model, or in another format."""


class IndexDamagedError(IndexDirError):
    """The files of the index do not match its manifest."""
