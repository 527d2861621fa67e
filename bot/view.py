"""What may be searched at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.evidence import N_CANDIDATES, Evidence, choose

if TYPE_CHECKING:
    from retrieval import Query, Searcher


@dataclass(frozen=True, slots=True)
class View:
    """A searcher and the ids of withdrawn articles."""

    searcher: Searcher
    withdrawn: frozenset[str] = frozenset()

    def evidence(self, query: Query) -> Evidence:
        """The sentences that answer `query` best, and how sure it is that they do."""
        hits, sentences = self.searcher.find(query, N_CANDIDATES, without=self.withdrawn)
        return choose(query, hits, sentences, self.searcher)
