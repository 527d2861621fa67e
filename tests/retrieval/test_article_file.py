"""Article files: what becomes of them, and of files that are none."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retrieval.article_file import (
    MAX_ARTICLE_CHARS,
    MAX_FILE_BYTES,
    canonical_url,
    read_article,
    read_article_file,
)
from retrieval.errors import ArticleFormatError

PROSE = "警方昨天在边境一处院子里找到了三十名求职者，他们的护照都被收走了。"


def test_an_article_of_our_own(own_article: Callable[..., bytes]) -> None:
    body = "## 问？\n第一句。[^one] 第二句有5.3万人。[^two][^one]\n第三句。\n\n### 再问\n第四句。[^two]"
    article = read_article(own_article("zh-own", body=body))

    assert article.text == "问？\n第一句。 第二句有5.3万人。\n第三句。\n再问\n第四句。"
    sentences = [(article.text[s.start : s.end], s.source_keys) for s in article.sentences]
    assert sentences == [
        ("第一句。", ("one",)),
        ("第二句有5.3万人。", ("two", "one")),
        ("第三句。", ()),
        ("第四句。", ("two",)),
    ]
    assert [article.text[h.start : h.end] for h in article.headings] == ["问？", "再问"]
    assert article.is_own
    assert article.sources["two"].publisher == "乙署"
    assert (article.article_id, article.language, article.published) == ("zh-own", "zh-Hans", "2026-05-01")


def test_a_crawled_article(crawled_article: Callable[..., bytes]) -> None:
    article = read_article(crawled_article(body=f"{PROSE}\n\n（来源：某某网）\n\n微信扫一扫"))
    assert article.text == PROSE
    assert (article.origin, article.publisher, article.language) == ("某某网", "某报", "zh-Hans")
    assert article.article_id.startswith("a-")
    assert [(s.start, s.end) for s in article.sentences] == [(0, len(PROSE))]


def test_the_id_of_a_crawled_article_follows_link_and_account(crawled_article: Callable[..., bytes]) -> None:
    first = read_article(crawled_article())
    assert (
        read_article(crawled_article(url="https://news.example.cn/a/1?utm_source=x#top")).article_id == first.article_id
    )
    assert read_article(crawled_article(title="另一个题目")).article_id == first.article_id
    assert read_article(crawled_article(url="https://news.example.cn/a/2")).article_id != first.article_id
    assert read_article(crawled_article(source="另一家报")).article_id != first.article_id


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://A.cn/b/?b=2&a=1&utm_source=x&spm=1#c", "https://a.cn/b?a=1&b=2"),
        ("https://a.cn", "https://a.cn/"),
        (
            "https://mp.weixin.qq.com/s?__biz=M&mid=1&idx=2&sn=f&chksm=8&scene=58&subscene=0#rd",
            "https://mp.weixin.qq.com/s?__biz=M&idx=2&mid=1&sn=f",
        ),
    ],
)
def test_canonical_links(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


def test_the_digest_follows_what_a_reader_sees(own_article: Callable[..., bytes]) -> None:
    first = read_article(own_article())
    assert read_article(own_article()).digest == first.digest
    assert read_article(own_article().replace(b"\n", b"\r\n")).digest == first.digest
    for old, new in (
        ("答案。", "答案！"),
        ("[^one]", "[^two]"),
        ("甲报", "丙报"),
        ("2026-05-01", "2026-05-02"),
    ):
        data = own_article().decode().replace(old, new).encode()
        assert read_article(data).digest != first.digest


def test_a_byte_order_mark_and_decomposed_letters(own_article: Callable[..., bytes]) -> None:
    body = unicodedata.normalize("NFD", "## Hỏi?\nNgười Việt gọi đường dây nóng.[^one]")
    article = read_article(b"\xef\xbb\xbf" + own_article(lang="vi", body=body))
    assert article.text == unicodedata.normalize("NFC", "Hỏi?\nNgười Việt gọi đường dây nóng.")


HEAD = "---\ntitle: 题目\nurl: https://a.cn/1\nsource: 某报\ndate: 2024-11-23\n---\n"
OWN_HEAD = "---\nid: zh-own\ntitle: 题\nlang: zh-Hans\ndate: 2024-11-23\nsources: {}\n---\n"
REJECTED: dict[str, tuple[bytes, int | None, str]] = {
    "empty": (b"", 1, "no front matter"),
    "gb18030": ((HEAD + PROSE).encode("gb18030"), 2, "not UTF-8"),
    "big5": ((HEAD.replace("题目", "題目").replace("报", "報") + "警方").encode("big5"), 2, "not UTF-8"),
    "utf-16": ((HEAD + PROSE).encode("utf-16"), None, "UTF-16"),
    "latin-1": ("---\ntitle: café\n---\n".encode("latin-1"), 2, "not UTF-8"),
    "broken utf-8": (HEAD.encode() + b"one\ntwo\xff", 8, "not UTF-8"),
    "NUL": (HEAD.encode() + b"one\0two", None, "binary"),
    "image": (b"\x89PNG\r\n\x1a\n\x00\x00", None, "binary"),
    "50 MB": (b"a" * 50_000_000, None, "more than the"),
    "no front matter": (PROSE.encode(), 1, "no front matter"),
    "broken front matter": (b"---\ntitle: @x\n---\nbody", 2, "cannot be read"),
    "no title": (HEAD.replace("title: 题目\n", "").encode() + PROSE.encode(), None, "'title' is missing"),
    "no url": (HEAD.replace("url: https://a.cn/1\n", "").encode() + PROSE.encode(), None, "'url' is missing"),
    "no source": (HEAD.replace("source: 某报\n", "").encode() + PROSE.encode(), None, "'source' is missing"),
    "no date": (HEAD.replace("date: 2024-11-23\n", "").encode() + PROSE.encode(), None, "'date' is missing"),
    "bad date": (HEAD.replace("2024-11-23", "2024-02-31").encode() + PROSE.encode(), None, "no date"),
    "bad url": (
        HEAD.replace("https://a.cn/1", "file:///etc/passwd").encode() + PROSE.encode(),
        None,
        "no http",
    ),
    "empty body": (HEAD.encode(), None, "no article text"),
    "images alone": ((HEAD + "![](https://a.cn/1.png)\n\n![]()").encode(), None, "no article text"),
    "verification page": (
        (HEAD + "# 环境异常\n\n完成验证后即可继续访问").encode(),
        None,
        "verification or error page",
    ),
    "wrong parameters": ((HEAD + "参数错误").encode(), None, "verification or error page"),
    "deleted": ((HEAD + "该内容已被发布者删除").encode(), None, "verification or error page"),
    "too long": ((HEAD + PROSE * 13_000).encode(), None, "longer than"),
    "own, empty body": (OWN_HEAD.encode(), 8, "has no text"),
    "own, headings alone": ((OWN_HEAD + "## 问？\n").encode(), 8, "has no text"),
    "own, marker without record": ((OWN_HEAD + "## 问？\n答。[^x]\n").encode(), 9, "[^x] has no record"),
    "own, bad id": (OWN_HEAD.replace("zh-own", "ZH own").encode() + b"a", None, "must be lower-case"),
    "own, bad kind": (OWN_HEAD.replace("lang:", "kind: poem\nlang:").encode() + b"a", None, "is none of"),
    "own, no language": (OWN_HEAD.replace("lang: zh-Hans\n", "").encode() + b"a", None, "'lang' is missing"),
}


@pytest.mark.parametrize(("data", "line", "words"), REJECTED.values(), ids=REJECTED)
def test_rejected(data: bytes, line: int | None, words: str) -> None:
    with pytest.raises(ArticleFormatError) as caught:
        read_article(data, path="some/file.md")
    error = caught.value
    assert words in error.reason
    assert "\n" not in str(error)
    assert str(error).startswith("some/file.md:" if line is None else f"some/file.md:{line}: ")
    assert error.line == line
    assert error.path == "some/file.md"


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.md"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the file was read"))
    with pytest.raises(ArticleFormatError, match="more than the"):
        read_article_file(path)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ArticleFormatError, match="cannot be opened") as caught:
        read_article_file(tmp_path / "none.md")
    assert caught.value.path == tmp_path / "none.md"


def test_limits_fit_together() -> None:
    assert MAX_ARTICLE_CHARS * 4 < MAX_FILE_BYTES


@given(st.binary(max_size=300))
@example(b"---\n\xed\xa0\x80\n---\n")
@example(b"---\r---\r")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ArticleFormatError):
        assert read_article(data).text


BLOCKS = st.sampled_from(
    [
        "# ",
        "## 题",
        "- ",
        "1. ",
        "> ",
        "```",
        "***",
        "**粗**",
        "![](a)",
        "[a](b)",
        "[^one]",
        "[^x]",
        "|a|b|",
        "<div>",
        "&amp;",
        "\\",
        "\t",
        "    ",
        "\n",
        "\n\n",
        "。",
        "微信扫一扫",
        "来源：某",
        "\u2028",
        "😀",
        PROSE,
    ]
)


@given(st.lists(st.one_of(BLOCKS, st.text(max_size=20)), max_size=30), st.booleans())
def test_any_body_is_read_or_refused(blocks: list[str], is_own: bool) -> None:
    head = OWN_HEAD if is_own else HEAD
    try:
        article = read_article((head + "".join(blocks)).encode("utf-8", "ignore"))
    except ArticleFormatError:
        return
    spans = [(s.start, s.end) for s in article.sentences]
    assert spans == sorted(spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    covered = {i for s in [*article.sentences, *article.headings] for i in range(s.start, s.end)}
    lost = [c for i, c in enumerate(article.text) if i not in covered and not c.isspace()]
    assert lost == []
    assert article.text == unicodedata.normalize("NFC", article.text)
