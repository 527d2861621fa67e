"""The library: what ingesting a file does to it, and that nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.errors import ArticleFormatError, CorpusError
from retrieval.library import Library, article_paths, read_withdrawn, write_atomically

Make = Callable[..., bytes]
PROSE = (
    "警方昨天在边境一处院子里找到了三十名求职者，他们的护照都被收走了。"
    "获救的人说，招工的人许诺月薪两万元，到了以后却要他们在网上骗人。"
)


@pytest.fixture
def library(tmp_path: Path, own_article: Make) -> Library:
    """A library with one article of our own in its corpus."""
    folder = tmp_path / "corpus" / "articles" / "zh-Hans"
    folder.mkdir(parents=True)
    (folder / "zh-own.md").write_bytes(own_article("zh-own"))
    return Library(tmp_path / "corpus", tmp_path / "data")


def ids(library: Library) -> list[str]:
    return [article.article_id for article in library.articles()]


def test_added_then_duplicate(library: Library, crawled_article: Make) -> None:
    known = library.articles()
    data = crawled_article(body=PROSE)
    first = library.add("a.txt", data, known)
    assert (first.outcome, first.title, first.repost_of) == ("added", "一则新闻", None)
    assert first.article_id in ids(library)
    assert library.add("a.txt", data, known).outcome == "duplicate"
    assert library.add("a.txt", data, library.articles()).outcome == "duplicate"
    assert len(library.articles()) == 2


def test_the_same_article_under_a_link_written_in_another_way(library: Library, crawled_article: Make) -> None:
    known = library.articles()
    first = library.add("a.txt", crawled_article(body=PROSE), known)
    other = library.add("b.txt", crawled_article(body=PROSE, url="https://m.example.cn/1?from=app"), known)
    assert (other.outcome, other.article_id) == ("duplicate", first.article_id)
    assert len(library.articles()) == 2


def test_updated(library: Library, crawled_article: Make) -> None:
    known = library.articles()
    first = library.add("a.txt", crawled_article(body=PROSE), known)
    second = library.add("a.txt", crawled_article(body=PROSE + "\n\n其中五人当天已经坐上回家的汽车。"), known)
    assert (second.outcome, second.article_id) == ("updated", first.article_id)
    (article,) = [a for a in library.articles() if a.article_id == first.article_id]
    assert article.text.endswith("回家的汽车。")
    assert sorted(a.article_id for a in known) == ids(library)


def test_the_same_text_under_another_account_is_a_repost(library: Library, crawled_article: Make) -> None:
    known = library.articles()
    later = library.add("b.txt", crawled_article("转：快讯", source="乙报", date="2024-11-25", body=PROSE), known)
    first = library.add("a.txt", crawled_article(body=PROSE), known)
    assert (later.outcome, later.repost_of) == ("added", None)
    # The one added later is the earlier: the other has become its repost.
    assert (first.outcome, first.repost_of) == ("added", None)
    third = library.add("c.txt", crawled_article(source="丙报", date="2024-11-26", body=PROSE), known)
    assert (third.outcome, third.repost_of) == ("added", first.article_id)
    assert len(library.articles()) == 4


REJECTED = {
    "binary": (b"\x00", "binary"),
    "verification page": (
        "---\ntitle: a\nurl: https://a.cn\nsource: b\ndate: 2024-01-01\n---\n环境异常".encode(),
        "error page",
    ),
    "own, broken": (b"---\nid: x-y\ntitle: a\nlang: en\ndate: 2024-01-01\n---\na[^x]", "line 7: "),
    "50 MB": (b"a" * 50_000_000, "more than"),
}


@pytest.mark.parametrize(("data", "words"), REJECTED.values(), ids=REJECTED)
def test_a_rejected_source_changes_nothing(library: Library, tmp_path: Path, data: bytes, words: str) -> None:
    known = library.articles()
    outcome = library.add("a.txt", data, known)
    assert (outcome.outcome, outcome.article_id) == ("rejected", None)
    assert words in (outcome.reason or "")
    assert [a.article_id for a in known] == ["zh-own"]
    assert not (tmp_path / "data").exists()


def test_a_dry_run_writes_nothing(library: Library, tmp_path: Path, crawled_article: Make) -> None:
    known = library.articles()
    data = crawled_article(body=PROSE)
    assert library.add("a.txt", data, known, dry_run=True).outcome == "added"
    assert library.add("a.txt", data, known, dry_run=True).outcome == "duplicate"
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written(library: Library, tmp_path: Path, crawled_article: Make) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "articles").write_text("a file")
    known = library.articles()
    outcome = library.add("a.txt", crawled_article(), known)
    assert (outcome.outcome, len(known)) == ("rejected", 1)
    assert "cannot write" in (outcome.reason or "")


def test_an_article_of_the_corpus_can_be_replaced(library: Library, own_article: Make) -> None:
    outcome = library.add("x.md", own_article("zh-own", body="## 问\n新的答案。[^one]"), library.articles())
    assert outcome.outcome == "updated"
    (article,) = library.articles()
    assert article.text.endswith("新的答案。")


def test_one_bad_file_does_not_stop_the_rest(library: Library, tmp_path: Path, crawled_article: Make) -> None:
    folder = tmp_path / "corpus" / "articles"
    (folder / "bad.md").write_bytes(b"\xff\xfe")
    (folder / "good.txt").write_bytes(crawled_article(body=PROSE))
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.md").write_bytes(b"")
    problems: list[ArticleFormatError] = []
    articles = library.articles(problems.append)
    assert len(articles) == 2
    assert [p.path for p in problems] == [folder / "bad.md"]
    assert len(library.articles()) == 2  # also without anybody to tell


def test_two_articles_with_one_id_stop(library: Library, tmp_path: Path, own_article: Make) -> None:
    (tmp_path / "corpus" / "articles" / "copy.md").write_bytes(own_article("zh-own"))
    with pytest.raises(CorpusError, match="'zh-own'; rename one"):
        library.articles()


def test_withdrawn_articles_are_gone_until_restored(library: Library, crawled_article: Make) -> None:
    data = crawled_article(body=PROSE)
    article_id = library.add("a.txt", data, library.articles()).article_id
    assert article_id is not None
    library.withdraw(article_id)
    library.withdraw("zh-own")
    assert ids(library) == []
    assert library.withdrawn() == {"zh-own", article_id}
    refused = library.add("a.txt", data, library.articles())
    assert refused.outcome == "rejected"
    assert f"guitu withdraw --undo {article_id}" in (refused.reason or "")
    library.restore(article_id)
    library.restore("zh-own")
    assert ids(library) == sorted([article_id, "zh-own"])


@pytest.mark.parametrize("text", ["", "{}", "[", '"a"'])
def test_a_damaged_list_of_withdrawn_articles_stops(tmp_path: Path, text: str) -> None:
    path = tmp_path / "withdrawn.json"
    path.write_text(text)
    with pytest.raises(CorpusError, match="mend it or delete it"):
        read_withdrawn(path)


def test_no_list_is_nothing_withdrawn(tmp_path: Path) -> None:
    assert read_withdrawn(tmp_path / "withdrawn.json") == frozenset()


def test_the_fingerprint_follows_every_change(library: Library, tmp_path: Path, crawled_article: Make) -> None:
    seen = [library.fingerprint()]
    assert library.fingerprint() == seen[0]
    library.add("a.txt", crawled_article(body=PROSE), library.articles())
    seen.append(library.fingerprint())
    library.withdraw("zh-own")
    seen.append(library.fingerprint())
    path = tmp_path / "corpus" / "articles" / "zh-Hans" / "zh-own.md"
    os.utime(path, (1, 1))
    seen.append(library.fingerprint())
    path.unlink()
    seen.append(library.fingerprint())
    assert len(set(seen)) == 5


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "file.json"
    write_atomically(path, b"old")

    def fail(source: str, target: Path) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_paths_come_in_order(tmp_path: Path) -> None:
    for name in ("b.md", "a.TXT", "c.pdf", "sub/d.markdown"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in article_paths(tmp_path)] == ["a.TXT", "b.md", "d.markdown"]
    assert list(article_paths(tmp_path / "none")) == []


def test_files_are_kept_as_they_came(library: Library, tmp_path: Path, crawled_article: Make) -> None:
    data = b"\xef\xbb\xbf" + crawled_article(body=PROSE + "\n\n微信扫一扫").replace(b"\n", b"\r\n")
    outcome = library.add("a.txt", data, library.articles())
    assert (tmp_path / "data" / "articles" / f"{outcome.article_id}.md").read_bytes() == data
