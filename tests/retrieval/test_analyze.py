"""Terms: what the lexical index counts; and the folding before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.analyze import STOP_PAIRS, STOP_TERMS, terms
from retrieval.text import clean, fold, has_han, reading_units, without_marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("缅北园区", ["缅北", "北园", "园区"]),
        ("緬北園區", ["缅北", "北园", "园区"]),
        ("当", ["当"]),
        ("什么是园区", ["么是", "是园", "园区"]),
        ("KK园区", ["kk", "园区"]),
        ("抓获1079名，5.3万", ["抓获", "1079", "名", "5.3", "万"]),
        ("ＫＫ　Ｐａｒｋ", ["kk", "park"]),
        ("The police of the cities", ["police", "city"]),
        ("a bus and the address", ["bus", "address"]),
        ("người Việt", ["người", "nguoi", "việt", "viet"]),
        ("công nhân", ["công", "cong", "nhân", "nhan"]),
        ("ตำรวจ", ["ตำ", "ำร", "รว", "วจ"]),
        ("전화번호", ["전화", "화번", "번호"]),
        ("", []),
        (" 。，!? 😀", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    # Thai vowels are taken apart by NFKC, so the expectation is folded alike.
    if text == "ตำรวจ":
        assert "".join(pair[0] for pair in terms(text)) + terms(text)[-1][1] == fold(text)
        return
    assert terms(text) == expected


def test_repeats_are_kept() -> None:
    assert terms("police police") == ["police", "police"]


def test_stop_words_are_folded_words() -> None:
    assert len(STOP_TERMS) > 50
    assert {fold(word) for word in STOP_TERMS} == STOP_TERMS
    assert len(STOP_PAIRS) > 20
    assert all(len(pair) == 2 for pair in STOP_PAIRS)


@given(st.text())
def test_terms_of_any_text_are_searchable_words(text: str) -> None:
    found = terms(text)
    assert all(term.strip() and "\n" not in term and "\t" not in term for term in found)
    assert terms(text) == found


@given(st.text())
def test_folding_a_folded_text_changes_no_term(text: str) -> None:
    assert all(term == fold(term) for term in terms(fold(text)) if term.isascii())


def test_clean() -> None:
    assert clean("a\r\nb\rc\x00\u200bd\u202ee\ud800") == "a\nb\ncde"
    assert clean("e\u0301") == "é"


def test_without_marks() -> None:
    assert without_marks("đường dây nóng") == "duong day nong"
    assert without_marks("ação") == "acao"
    assert without_marks("ที่นี่") == "ที่นี่"  # marks of other scripts are letters of their own


def test_has_han() -> None:
    assert has_han("KK园区")
    assert not has_han("カタカナ ไทย abc")


def test_reading_units() -> None:
    assert reading_units("缅北园区") == 4
    assert reading_units("abcde") == pytest.approx(2)
    assert reading_units("") == 0
