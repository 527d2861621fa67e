"""What may be searched at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval import Searcher


@dataclass(frozen=True, slots=True)
class View:
    """A searcher and the ids of withdrawn articles."""

    searcher: Searcher
    withdrawn: frozenset[str] = frozenset()
