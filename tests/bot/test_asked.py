"""What kind of thing is asked for, and whether a sentence holds one."""

from __future__ import annotations

import pytest

from bot.asked import Kind, asked_kinds, holds_kind


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("12308热线怎么打", {"phone"}),
        ("大使馆電話是多少", {"phone"}),
        ("打哪个号码", {"phone"}),
        ("What number to call in Laos?", {"phone"}),
        ("gọi số nào", {"phone"}),
        ("เบอร์โทรสถานทูต", {"phone"}),
        ("nomor kedutaan", {"phone"}),
        ("대사관 전화", {"phone"}),
        ("抓了多少人", {"count"}),
        ("关了几年", {"count"}),
        ("How many people were freed?", {"count"}),
        ("bao nhiêu người", {"count"}),
        ("berapa orang", {"count"}),
        ("什么时候移交的", {"date"}),
        ("when was it", {"date"}),
        ("khi nào", {"date"}),
        ("いつですか", {"date"}),
        ("什么时候移交了多少人", {"count", "date"}),
        ("园区是什么", set()),
        ("Is it legal?", set()),
        ("", set()),
    ],
)
def test_kinds(question: str, kinds: set[Kind]) -> None:
    assert asked_kinds(question) == kinds


@pytest.mark.parametrize(
    ("sentence", "kind", "holds"),
    [
        ("拨打 +86-10-12308。", "phone", True),
        ("拨打12308。", "phone", True),
        ("Call 1155 at any hour.", "phone", True),
        ("报警打110。", "phone", True),
        ("警方抓获1079人。", "phone", True),  # four digits that begin like a short number: the order decides
        ("警方抓获763人。", "phone", False),
        ("找大使馆。", "phone", False),
        ("抓获1079人。", "count", True),
        ("三十名嫌疑人", "count", True),
        ("dozens of people", "count", True),
        ("许多嫌疑人", "count", False),
        ("11月19日移交。", "date", True),
        ("In March they left.", "date", True),
        ("2024年", "date", True),
        ("ปี 2567", "date", True),
        ("后来移交。", "date", False),
    ],
)
def test_what_a_sentence_holds(sentence: str, kind: Kind, holds: bool) -> None:
    assert holds_kind(sentence, kind) is holds
