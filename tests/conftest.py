"""What all tests share: no network outside this machine, a small corpus, and its index."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval import HashEmbedder, Index, Lexicon, Library, build_index

OWN_ARTICLE = """---
id: {article_id}
title: {title}
lang: {lang}
date: 2026-05-01
kind: guide
topics: [test]
countries: []
translation_of: null
sources:
  one: {{publisher: 甲报, title: 一则消息, url: "https://example.org/1", date: 2026-01-02}}
  two: {{publisher: 乙署, title: 一份通知, url: null, date: 2025-03-04}}
---
{body}
"""

# Twelve passages, one an article, so that a test can name the one that it expects.
TINY_BODIES = {
    "tiny-hotline": (
        "zh-Hans",
        "领事保护热线怎么打",
        "## 从国外怎么拨\n从境外拨打12308热线，要先加上中国的国家代码。[^one]\n热线全天有人接听。[^two]",
    ),
    "tiny-passport": (
        "zh-Hans",
        "护照被扣怎么办",
        "## 护照被扣了\n护照被扣的人可以向使馆申请旅行证。[^one]",
    ),
    "tiny-handover": (
        "zh-Hans",
        "首批嫌疑人移交",
        "## 移交了多少人\n警方在某地抓获1079名嫌疑人，其中763名是中国籍。[^one]",
    ),
    "tiny-visa": (
        "zh-Hans",
        "旅游签证能打工吗",
        "## 签证\n持旅游签证的人不能在当地工作。[^two]",
    ),
    "tiny-ransom": (
        "zh-Hans",
        "要赎金怎么办",
        "## 赎金\n家属接到赎金要求时应当先报警，不要自己汇款。[^one]",
    ),
    "tiny-debt": ("zh-Hans", "欠园区的债", "## 债\n园区说的赔付没有法律依据。[^one]"),
    "tiny-en-call": (
        "en",
        "Whom to call",
        "## Whom do I call?\nPolice in Cambodia answer on 117 in several languages.[^one]",
    ),
    "tiny-en-passport": (
        "en",
        "My passport was taken",
        "## Passport\nAn embassy can issue a travel document when a passport was taken.[^two]",
    ),
    "tiny-en-offer": (
        "en",
        "Signs of a false offer",
        "## Signs\nA job that pays the flight and asks for no papers is a sign of fraud.[^one]",
    ),
    "tiny-vi": (
        "vi",
        "Gọi cho ai",
        "## Gọi cho ai?\nNgười Việt ở nước ngoài gọi đường dây nóng bảo hộ công dân.[^one]",
    ),
    "tiny-th": ("th", "โทรหาใคร", "## โทรหาใคร\nตำรวจท่องเที่ยวรับสาย 1155 ตลอดวันตลอดคืน[^one]"),
    "tiny-id": (
        "id",
        "Siapa yang dihubungi",
        "## Siapa?\nWarga negara Indonesia di luar negeri dapat menghubungi kedutaan.[^two]",
    ),
}


def own_article(
    article_id: str = "test-article",
    *,
    title: str = "题目",
    lang: str = "zh-Hans",
    body: str = "## 问\n答案。[^one]",
) -> bytes:
    """An article file of our own, with the sources `one` and `two`."""
    return OWN_ARTICLE.format(article_id=article_id, title=title, lang=lang, body=body).encode()


def crawled_article(
    title: str = "一则新闻",
    *,
    url: str = "https://news.example.cn/a/1",
    source: str = "某报",
    date: str = "2024-11-23",
    body: str = "警方昨天在某地抓获了三十名嫌疑人，案件还在进一步侦办之中。",
) -> bytes:
    """A crawled article file."""
    return f"---\ntitle: {title}\nurl: {url}\nsource: {source}\ndate: {date}\n---\n\n{body}\n".encode()


@pytest.fixture(scope="session", name="own_article")
def _own_article() -> Callable[..., bytes]:
    """`own_article`, as a fixture so that tests need not import this file."""
    return own_article


@pytest.fixture(scope="session", name="crawled_article")
def _crawled_article() -> Callable[..., bytes]:
    """`crawled_article`, as a fixture."""
    return crawled_article


@pytest.fixture(autouse=True)
def _no_outside_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine in no test: loopback and local sockets alone are open."""

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                raise RuntimeError(f"a test tried to connect to {address!r}; only this machine may be reached")
            return real(self, address)

        return connect

    real_lookup = socket.getaddrinfo

    def lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None and not _is_loopback(host):
            raise RuntimeError(f"a test tried to look up {host!r}; only this machine may be reached")
        return real_lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def _is_loopback(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("localhost", "")
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder of twelve short articles; do not write into it."""
    corpus = tmp_path_factory.mktemp("corpus")
    for article_id, (lang, title, body) in TINY_BODIES.items():
        path = corpus / "articles" / lang / f"{article_id}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(own_article(article_id, title=title, lang=lang, body=body))
    return corpus


@pytest.fixture(scope="session")
def tiny_index(corpus_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of `corpus_dir` with `HashEmbedder`."""
    library = Library(corpus_dir, tmp_path_factory.mktemp("data"))
    return build_index(library.articles(), HashEmbedder(), Lexicon())
