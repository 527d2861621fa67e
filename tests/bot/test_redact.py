"""What tells who wrote a text is taken out; hotlines stay; no text makes it fail."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.contacts import ContactList
from bot.redact import MAX_CHARS, hotline_digits, is_chinese_identity, passes_luhn, redact

CONTACTS = ContactList.load(Path(__file__).resolve().parents[2] / "corpus" / "contacts.yaml")
HOTLINES = hotline_digits(CONTACTS)


@pytest.mark.parametrize(
    ("text", "secret", "label"),
    [
        ("电话13800138000", "13800138000", "[phone]"),
        ("call +95 9 123 456 789 now", "123 456", "[phone]"),
        ("โทร ๐๘๑ ๒๓๔ ๕๖๗๘", "๐๘๑", "[phone]"),
        ("一三八零零一三八零零零", "一三八", "[phone]"),
        ("身份证11010519491231002X", "11010519491231002X", "[id]"),
        ("卡号 6222 0200 0000 0000 000", "6222", "[card]"),
        ("card 4111 1111 1111 1111", "4111", "[card]"),
        ("护照E12345678丢了", "E12345678", "[passport]"),
        ("住在北京市朝阳区建国路88号", "建国路88号", "[address]"),
        ("I live at 12 Baker Street", "12 Baker", "[address]"),
        ("我叫张伟，被骗了", "张伟", "[name]"),
        ("弟弟王强被关在KK园区", "王强", "[name]"),
        ("My name is John Smith and I am here", "John Smith", "[name]"),
        ("tên em là Nguyễn Văn An, ở Bavet", "Nguyễn", "[name]"),
        ("ผมชื่อ สมชาย ใจดี", "สมชาย", "[name]"),
        ("加微信 abc_12345", "abc_12345", "[handle]"),
        ("telegram: @scam_boss", "scam_boss", "[handle]"),
        ("mail test.user+1@mail.example.org", "test.user", "[email]"),
        ("位置 16.6891, 98.5089", "16.6891", "[coordinates]"),
    ],
)
def test_personal_data_is_replaced(text: str, secret: str, label: str) -> None:
    redacted = redact(text, HOTLINES)
    assert secret not in redacted
    assert label in redacted


def test_every_number_of_the_contact_list_stays() -> None:
    numbers = [n for c in CONTACTS.contacts for n in (c.number, c.local) if n]
    assert len(numbers) > 100
    changed = [number for number in numbers if redact(f"请打 {number} 。", HOTLINES) != f"请打 {number} 。"]
    assert changed == []


@pytest.mark.parametrize(
    "text",
    [
        "打12308 110 都行",
        "2025-10-22 763人被移交",
        "我是中国人，我是被骗来的",
        "I am Kenyan and I am in Laos",
        "欠了30万",
    ],
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert redact(text, HOTLINES) == text


def test_check_digits() -> None:
    # The example of GB 11643-1999, and the card number that payment companies publish for tests.
    assert is_chinese_identity("11010519491231002X")
    assert not is_chinese_identity("110105194912310021")
    assert passes_luhn("4111111111111111")
    assert not passes_luhn("4111111111111112")


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    redact(text, HOTLINES)


@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), st.sampled_from(["", "电话", "我的号码是", "call "]))
@settings(max_examples=100, deadline=None)
def test_no_mobile_number_gets_through(number: str, before: str) -> None:
    if number not in HOTLINES:
        assert number not in redact(f"{before}{number}", HOTLINES)


@pytest.mark.parametrize("unit", ["1 ", "区路", "a.", "我叫", "name: ", "12 Ab ", "地址 ", "1.1111,", "(", "//", "+1"])
def test_long_text_takes_no_time(unit: str) -> None:
    began = time.monotonic()
    redact(unit * MAX_CHARS, HOTLINES)
    assert time.monotonic() - began < 5
