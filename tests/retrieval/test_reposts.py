"""Reposts: the same text counts once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retrieval.article_file import read_article
from retrieval.reposts import REPOST_SHARE, repost_heads
from retrieval.types import Article

SENTENCES = [
    f"第{n}天，民警在{place}找到了被骗去做客服的求职者。"
    for n, place in enumerate("桥东桥西河南河北山前山后城里城外江边海边", start=1)
]


@pytest.fixture
def news(crawled_article: Callable[..., bytes]) -> Callable[..., Article]:
    def make(source: str, date: str, sentences: list[str], title: str = "题") -> Article:
        return read_article(
            crawled_article(
                title,
                source=source,
                date=date,
                url=f"https://{date}.cn/{source}",
                body="\n\n".join(sentences),
            )
        )

    return make


Make = Callable[..., Article]


def test_the_earliest_is_the_head(news: Make) -> None:
    first, second, third = (
        news("甲", "2024-01-01", SENTENCES),
        news("乙", "2024-01-02", SENTENCES, "又一题"),
        news("丙", "2024-01-03", SENTENCES),
    )
    expected = {second.article_id: first.article_id, third.article_id: first.article_id}
    assert repost_heads([third, first, second]) == expected
    assert repost_heads([first, second, third]) == expected


def test_on_one_day_the_smaller_id_is_the_head(news: Make) -> None:
    one, other = news("甲", "2024-01-01", SENTENCES), news("乙", "2024-01-01", SENTENCES)
    head, repost = sorted([one.article_id, other.article_id])
    assert repost_heads([one, other]) == repost_heads([other, one]) == {repost: head}


def test_the_script_and_the_punctuation_do_not_matter(news: Make) -> None:
    first = news("甲", "2024-01-01", ["警方在边境找到被骗去做客服的三十名求职者。"])
    second = news("乙", "2024-01-02", ["警方在邊境找到、被騙去做客服的三十名求職者！"])
    assert repost_heads([first, second]) == {second.article_id: first.article_id}


def test_the_share_decides(news: Make) -> None:
    own = [f"本报记者第{n}次从现场发回报道，说村里的人都很意外。" for n in range(10)]
    first = news("甲", "2024-01-01", SENTENCES[:10])
    enough = round(REPOST_SHARE * 10) + 1
    repost = news("乙", "2024-01-02", SENTENCES[:enough] + own[enough:])
    other = news("丙", "2024-01-03", SENTENCES[: enough - 3] + own[enough - 3 :])
    assert repost_heads([first, repost, other]) == {repost.article_id: first.article_id}


def test_parts_of_several_articles_are_no_repost_of_one(news: Make) -> None:
    first, second = news("甲", "2024-01-01", SENTENCES[:6]), news("乙", "2024-01-02", SENTENCES[6:12])
    digest = news("丙", "2024-01-03", SENTENCES[:12])
    assert repost_heads([first, second, digest]) == {}


def test_articles_of_our_own_are_never_reposts(news: Make, own_article: Callable[..., bytes]) -> None:
    first = news("甲", "2026-01-01", SENTENCES)
    ours = read_article(own_article(body="\n".join(SENTENCES)))
    assert repost_heads([first, ours]) == {}


def test_short_sentences_alone_prove_nothing(news: Make) -> None:
    first = news("甲", "2024-01-01", ["报道完。", SENTENCES[0]])
    second = news("乙", "2024-01-02", ["报道完。", SENTENCES[1]])
    assert repost_heads([first, second]) == {}
