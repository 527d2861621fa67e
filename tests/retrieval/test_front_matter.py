"""Front matter: what is read, and what is refused with a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import ArticleFormatError
from retrieval.front_matter import (
    MAX_FRONT_MATTER_CHARS,
    date_field,
    iso_date,
    list_field,
    source_records,
    split_front_matter,
    text_field,
    web_address,
)
from retrieval.yaml_text import MAX_NESTING

REPOSITORY = Path(__file__).resolve().parents[2]


def test_fields_body_and_the_line_of_the_body() -> None:
    fields, body, line = split_front_matter("---\ntitle: 题目\ndate: 2024-11-23\n---\n\n正文。\n")
    assert (text_field(fields, "title"), date_field(fields, "date")) == ("题目", "2024-11-23")
    assert body == "\n正文。\n"
    assert line == 5


def test_a_title_with_a_colon_is_read_as_crawlers_write_it() -> None:
    fields, _, _ = split_front_matter("---\ntitle: 提醒: 别去 #妙瓦底\nurl: https://a.cn/?a=1&b=2\n---\n")
    assert fields == {"title": "提醒: 别去 #妙瓦底", "url": "https://a.cn/?a=1&b=2"}


def test_a_line_of_dashes_in_the_body_is_no_end() -> None:
    _, body, _ = split_front_matter("---\ntitle: a\n---\none\n---\ntwo")
    assert body == "one\n---\ntwo"


BROKEN = {
    "none": ("正文。", 1, "no front matter"),
    "empty text": ("", 1, "no front matter"),
    "not closed": ("---\ntitle: a\n正文。\n", 1, "not closed"),
    "no mapping": ("---\n- a\n- b\n---\n", 2, "not a list of"),
    "a word": ("---\nword\n---\n", 2, "not a list of"),
    "broken list": ("---\ntitle: a\ntopics: [a\ndate: 2024-01-01\n---\n", None, "cannot be read"),
    "tab": ("---\ntitle: a\nsources:\n\tx: {}\n---\n", 4, "cannot be read"),
    "python object": ("---\ntitle: !!python/object/apply:os.system [id]\n---\n", 2, "cannot be read"),
    "anchors": ("---\na: &x [1, 2]\nb: [*x, *x]\n---\n", 1, "anchors"),
    "too long": ("---\ntitle: " + "a" * MAX_FRONT_MATTER_CHARS + "\n---\n", 1, "longer than"),
    "never ending": ("---\n" + "a: b\n" * 4000, 1, "not closed"),
    "deep": ("---\na: " + "[" * 5000 + "\n---\n", None, "cannot be read"),
}


@pytest.mark.parametrize(("text", "line", "words"), BROKEN.values(), ids=BROKEN)
def test_broken(text: str, line: int | None, words: str) -> None:
    with pytest.raises(ArticleFormatError, match=words) as caught:
        split_front_matter(text)
    assert "\n" not in caught.value.reason
    assert line is None or caught.value.line == line


# The widest nesting that fits; in a process of its own, as a reader without a bound dies of it.
@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_does_not_end_the_process(opener: str) -> None:
    code = (
        "import sys; from retrieval.errors import ArticleFormatError\n"
        "from retrieval.front_matter import split_front_matter\n"
        "try: split_front_matter(f'---\\na:\\n {sys.argv[1] * (59_000 // len(sys.argv[1]))}\\n---\\n')\n"
        "except ArticleFormatError as error: print(error.reason)"
    )
    done = subprocess.run([sys.executable, "-c", code, opener], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout == "the front matter cannot be read (nested too deeply)\n", done.returncode


def test_ordinary_nesting_is_read() -> None:
    depth = MAX_NESTING - 2
    fields, _, _ = split_front_matter(f"---\na: {'[' * depth}{']' * depth}\n---\n")
    assert list(fields) == ["a"]


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])))
def test_any_block_is_read_or_refused(block: str) -> None:
    try:
        fields, _, line = split_front_matter(f"---\n{block}\n---\nbody")
    except ArticleFormatError:
        return
    assert isinstance(fields, dict)
    assert line >= 3


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2024-11-23", "2024-11-23"),
        ("2024/1/3", "2024-01-03"),
        ("2024年11月23日 08:00", "2024-11-23"),
        ("2024.11.23", "2024-11-23"),
        ("2024-11-23T08:00:00+08:00", "2024-11-23"),
    ],
)
def test_dates(value: str, iso: str) -> None:
    assert iso_date(value, "date") == iso


@pytest.mark.parametrize("value", ["", "soon", "2024-13-01", "2024-02-30", "1890-01-01", "2024-1-234", "23.11.2024"])
def test_no_dates(value: str) -> None:
    with pytest.raises(ArticleFormatError, match="date is no date such as 2024-11-23"):
        iso_date(value, "date")


@pytest.mark.parametrize("value", [None, "", "  ", [], ["a"], {"a": 1}])
def test_text_fields_must_be_a_line(value: object) -> None:
    with pytest.raises(ArticleFormatError, match="'title'"):
        text_field({"title": value}, "title")


def test_lists() -> None:
    assert list_field({"countries": ["CN", False]}, "countries") == ("CN", "NO")  # YAML reads NO as false
    assert list_field({}, "countries") == ()
    with pytest.raises(ArticleFormatError, match="must be a list"):
        list_field({"countries": "CN"}, "countries")


def test_sources() -> None:
    record = {"publisher": " 甲报 ", "title": "消息", "url": None, "date": "2024-11-23"}
    (source,) = source_records({"sources": {"one": record}}).values()
    assert (source.publisher, source.title, source.url, source.date) == ("甲报", "消息", None, "2024-11-23")


@pytest.mark.parametrize("missing", ["publisher", "title", "date"])
def test_a_source_lacks_something(missing: str) -> None:
    record = {"publisher": "甲报", "title": "消息", "url": None, "date": "2024-11-23", missing: ""}
    with pytest.raises(ArticleFormatError, match=f"source 'one' lacks '{missing}'"):
        source_records({"sources": {"one": record}})


@pytest.mark.parametrize("records", [["one"], {"one": "甲报"}])
def test_sources_of_another_form(records: object) -> None:
    with pytest.raises(ArticleFormatError, match="must"):
        source_records({"sources": records})


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "ftp://a.cn/b", "//a.cn", "https://a.cn/<b>", "https://a b.cn", 'https://a"b'],
)
def test_addresses_that_no_page_may_link_to(address: str) -> None:
    with pytest.raises(ArticleFormatError, match="no http"):
        web_address(address, "url")


def test_web_addresses() -> None:
    assert web_address(" HTTPS://a.cn/b?c=d ", "url") == "HTTPS://a.cn/b?c=d"
