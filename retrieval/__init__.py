"""Retrieval: article files in, ranked passages out. Other packages import from here, not from the modules.

What needs faiss or the embedding model is loaded when it is first asked for, so that `import bot` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from retrieval.errors import (
    ArticleFormatError,
    CorpusError,
    EmbedderError,
    IndexDamagedError,
    IndexDirError,
    IndexMissingError,
    IndexStaleError,
    RetrievalError,
)
from retrieval.language import LANGUAGES, detect_language
from retrieval.learned_file import is_of_model, number_lines, read_blocks
from retrieval.lexicon import Entry, Lexicon
from retrieval.network import Network
from retrieval.reranker import LOG_ODDS_RANGE
from retrieval.text import clean, fold
from retrieval.types import (
    Article,
    Heading,
    Hit,
    KnownQuestion,
    Passage,
    Query,
    Reading,
    ScoredSentence,
    Sentence,
    Source,
    Span,
)
from retrieval.yaml_text import load_yaml

if TYPE_CHECKING:
    from retrieval.embed import Embedder, HashEmbedder, load_embedder
    from retrieval.library import IngestOutcome, Library
    from retrieval.search import Searcher
    from retrieval.store import Index, build_index, load_index, read_manifest, save_index

_LAZY = {
    "Embedder": "embed",
    "HashEmbedder": "embed",
    "Index": "store",
    "IngestOutcome": "library",
    "Library": "library",
    "Searcher": "search",
    "build_index": "store",
    "load_embedder": "embed",
    "load_index": "store",
    "read_manifest": "store",
    "save_index": "store",
}

__all__ = [
    "LANGUAGES",
    "LOG_ODDS_RANGE",
    "Article",
    "ArticleFormatError",
    "CorpusError",
    "Embedder",
    "EmbedderError",
    "Entry",
    "HashEmbedder",
    "Heading",
    "Hit",
    "Index",
    "IndexDamagedError",
    "IndexDirError",
    "IndexMissingError",
    "IndexStaleError",
    "IngestOutcome",
    "KnownQuestion",
    "Lexicon",
    "Library",
    "Network",
    "Passage",
    "Query",
    "Reading",
    "RetrievalError",
    "ScoredSentence",
    "Searcher",
    "Sentence",
    "Source",
    "Span",
    "build_index",
    "clean",
    "detect_language",
    "fold",
    "is_of_model",
    "load_embedder",
    "load_index",
    "load_yaml",
    "number_lines",
    "read_blocks",
    "read_manifest",
    "save_index",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"retrieval.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'retrieval' has no attribute '{name}'")
