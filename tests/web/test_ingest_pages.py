"""Ingesting web addresses and files: each source has its outcome, and a bad one never stops the rest."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import web.ingest
from retrieval import IngestOutcome, Library
from retrieval.article_file import MAX_FILE_BYTES
from web.ingest import ingest_sources

PARAGRAPHS = (
    "警方昨天在边境一处院子里找到了三十名求职者，他们的护照都被收走了，手机也被扣下。",
    "获救的人说，招工的人许诺月薪两万元，到了以后却要他们在网上骗人，不从就挨打。",
    "办案人员提醒，出国务工要走正规渠道，先查清楚用工单位和中介有没有资格，再签合同。",
)
PAGE = """<!doctype html><html lang="zh"><head><meta charset="utf-8"><title>边境解救三十人 - 边城晚报</title>
<meta property="og:title" content="边境解救三十人"><meta property="og:site_name" content="边城晚报">
{date}<script>document.title = "changed by a script"</script></head>
<body><nav><a href="/">首页</a> <a href="/login">登录</a></nav>
<article><h1>边境解救三十人</h1>{body}</article><footer>版权所有 扫码关注</footer></body></html>"""
DATE = '<meta property="article:published_time" content="2026-03-02T08:00:00+08:00">'
ARTICLE = PAGE.format(date=DATE, body="".join(f"<p>{p}</p>" for p in PARAGRAPHS)).encode()
HTML = "text/html; charset=utf-8"
Answer = tuple[int, str, Iterator[bytes]]


def huge() -> Iterator[bytes]:
    """A page without end."""
    while True:
        yield b"<p>more and more</p>" * 5000


class Handler(BaseHTTPRequestHandler):
    """A site with an article, and with everything that is none."""

    n_sent = 0
    own = b""

    def do_GET(self) -> None:
        status, kind, body = self.answer()
        self.send_response(status)
        if status in (301, 302, 308):
            self.send_header("Location", kind)
        else:
            self.send_header("Content-Type", kind)
        self.end_headers()
        try:
            for piece in body:
                self.wfile.write(piece)
                Handler.n_sent += len(piece)
        except OSError:
            pass  # who asked has heard enough

    def answer(self) -> Answer:
        pages: dict[str, Answer] = {
            "/article": (200, HTML, iter([ARTICLE])),
            "/own": (200, "text/markdown", iter([Handler.own])),
            "/moved": (302, "/article", iter([])),
            "/round": (302, "/round", iter([])),
            "/file-scheme": (302, "file:///etc/passwd", iter([])),
            "/pdf": (200, "application/pdf", iter([b"%PDF-1.7 \x00"])),
            "/picture": (200, "image/png", iter([b"\x89PNG"])),
            "/no-type": (200, "", iter([ARTICLE])),
            "/huge": (200, HTML, huge()),
            "/empty": (200, HTML, iter([b""])),
            "/undated": (200, HTML, iter([ARTICLE.replace(DATE.encode(), b"")])),
            "/blank": (200, HTML, iter([b"<html><body><p>hello</p></body></html>"])),
            "/broken-front-matter": (200, "text/plain", iter([b"---\ntitle: [\n---\n\nhello\n"])),
            "/busy": (503, HTML, iter([ARTICLE])),
        }
        return pages.get(self.path, (404, HTML, iter([ARTICLE])))

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def site(own_article: Callable[..., bytes]) -> Iterator[str]:
    """The address of the site, on this machine."""
    Handler.own = own_article("from-the-web")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "corpus", tmp_path / "data")


def ingested(library: Library, *sources: str, dry_run: bool = False) -> list[IngestOutcome]:
    return list(ingest_sources(library, sources, dry_run=dry_run))


def test_an_article_page_becomes_an_article(library: Library, site: str) -> None:
    (outcome,) = ingested(library, f"{site}/article")
    assert (outcome.outcome, outcome.title) == ("added", "边境解救三十人"), outcome.reason
    (article,) = library.articles()
    assert article.article_id == outcome.article_id
    assert (article.publisher, article.published, article.language) == ("边城晚报", "2026-03-02", "zh-Hans")
    assert article.url == f"{site}/article"
    assert all(paragraph in article.text for paragraph in PARAGRAPHS)
    for furniture in ("登录", "首页", "扫码", "script", "<"):
        assert furniture not in article.text
    assert ingested(library, f"{site}/article")[0].outcome == "duplicate"


def test_a_page_that_is_an_article_file_is_taken_as_it_stands(library: Library, site: str) -> None:
    (outcome,) = ingested(library, f"{site}/own")
    assert (outcome.outcome, outcome.article_id) == ("added", "from-the-web")


def test_a_moved_page_is_followed(library: Library, site: str) -> None:
    (outcome,) = ingested(library, f"{site}/moved")
    assert (outcome.outcome, outcome.title) == ("added", "边境解救三十人")


REJECTED = {
    "/none": "the address answered 404",
    "/busy": "the address answered 503",
    "/pdf": "the address holds application/pdf, not a page",
    "/picture": "the address holds image/png, not a page",
    "/no-type": "the address holds no text, not a page",
    "/huge": f"larger than {MAX_FILE_BYTES:,} bytes",
    "/round": "cannot be fetched (TooManyRedirects)",
    "/file-scheme": "cannot be fetched (UnsupportedProtocol)",
    "/empty": "no article was found",
    "/blank": "the page",
    "/undated": "does not say its date",
    "/broken-front-matter": "front matter",
}


@pytest.mark.parametrize(("path", "words"), REJECTED.items(), ids=REJECTED)
def test_what_is_no_article_is_rejected_with_the_reason(
    library: Library, tmp_path: Path, site: str, path: str, words: str
) -> None:
    (outcome,) = ingested(library, site + path)
    assert (outcome.outcome, outcome.source) == ("rejected", site + path)
    assert words in (outcome.reason or "")
    assert "\n" not in (outcome.reason or "")
    assert not (tmp_path / "data").exists()


def test_a_page_without_end_is_not_read_to_its_end(library: Library, site: str) -> None:
    Handler.n_sent = 0
    assert ingested(library, f"{site}/huge")[0].outcome == "rejected"
    assert Handler.n_sent < 4 * MAX_FILE_BYTES


def test_a_packed_page_is_bounded_by_what_it_unpacks_to(
    library: Library, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    packed = gzip.compress(b"<p>x</p>" * (MAX_FILE_BYTES // 4))
    assert len(packed) < 100_000

    def answer(self: Handler) -> Answer:
        return (200, HTML + "\r\nContent-Encoding: gzip", iter([packed]))

    monkeypatch.setattr(Handler, "answer", answer)
    assert "larger than" in (ingested(library, f"{site}/packed")[0].reason or "")
    monkeypatch.setattr(Handler, "answer", lambda self: (200, HTML + "\r\nContent-Encoding: gzip", iter([b"no gzip"])))
    assert "cannot be fetched (DecodingError)" in (ingested(library, f"{site}/packed")[0].reason or "")


def test_addresses_where_nobody_answers(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    for source in (closed, "http://", "http://127.0.0.1:99999/", "https://\x00/"):
        (outcome,) = ingested(library, source)
        assert outcome.outcome == "rejected"
        assert outcome.reason
    # One that never answers is waited for no longer than the limit.
    monkeypatch.setattr(web.ingest, "FETCH_TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (outcome,) = ingested(library, f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert "cannot be fetched (ReadTimeout)" in (outcome.reason or "")


def test_a_bad_source_never_stops_the_rest(
    library: Library, tmp_path: Path, site: str, crawled_article: Callable[..., bytes]
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "a.txt").write_bytes(crawled_article(body="".join(PARAGRAPHS[:2])))
    (folder / "b.md").write_bytes(b"\xff\xfe")
    (folder / "c.png").write_bytes(b"\x89PNG")
    (tmp_path / "empty").mkdir()
    (tmp_path / "large.md").write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    sources = [
        f"{site}/none",
        str(folder),
        str(tmp_path / "empty"),
        str(tmp_path / "nothing"),
        str(tmp_path / "large.md"),
        f"{site}/own",
    ]
    outcomes = ingested(library, *sources)
    assert [(Path(o.source).name, o.outcome) for o in outcomes] == [
        ("none", "rejected"),
        ("a.txt", "added"),
        ("b.md", "rejected"),
        ("empty", "rejected"),
        ("nothing", "rejected"),
        ("large.md", "rejected"),
        ("own", "added"),
    ]
    reasons = [o.reason or "" for o in outcomes]
    assert "UTF-16" in reasons[2]
    assert "no article file (.md, .markdown, .txt)" in reasons[3]
    assert "no such file or folder" in reasons[4]
    assert "split it" in reasons[5]
    assert len(library.articles()) == 2


def test_special_files_are_not_waited_for(library: Library, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.md")
    (outcome,) = ingested(library, str(tmp_path / "pipe.md"))
    assert (outcome.outcome, outcome.reason) == ("rejected", "it is no regular file")


def test_a_dry_run_changes_nothing(library: Library, tmp_path: Path, site: str) -> None:
    outcomes = ingested(library, f"{site}/article", f"{site}/article", f"{site}/own", dry_run=True)
    assert [o.outcome for o in outcomes] == ["added", "duplicate", "added"]
    assert not (tmp_path / "data").exists()
