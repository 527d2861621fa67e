"""Finds articles that carry the text of an earlier one, so that a reprint never counts as corroboration."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from retrieval.text import fold
from retrieval.types import Article

# Share of an article's letters in sentences that also stand in an earlier article, from which on it is its repost.
REPOST_SHARE = 0.8
_MIN_SENTENCE_CHARS = 12


def repost_heads(articles: Sequence[Article]) -> dict[str, str]:
    """For each article that is a repost, the id of the earliest article of its family.

    The earliest is the one with the oldest date, then the smallest id. Articles of our own are never reposts.
    """
    by_age = sorted((a for a in articles if not a.is_own), key=lambda a: (a.published, a.article_id))
    first_seen: dict[str, str] = {}
    heads: dict[str, str] = {}
    for article in by_age:
        shared: Counter[str] = Counter()
        total = 0
        keys = _sentence_keys(article)
        for key in keys:
            total += len(key)
            if key in first_seen:
                shared[first_seen[key]] += len(key)
        head, n_shared = max(shared.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        if total and n_shared >= REPOST_SHARE * total:
            heads[article.article_id] = head
            continue
        for key in keys:
            first_seen.setdefault(key, article.article_id)
    return heads


def _sentence_keys(article: Article) -> list[str]:
    keys = (re.sub(r"[\W_]+", "", fold(article.text[s.start : s.end])) for s in article.sentences)
    return [key for key in keys if len(key) >= _MIN_SENTENCE_CHARS] or [re.sub(r"[\W_]+", "", fold(article.text))]
