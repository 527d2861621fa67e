"""Sentences: where they end, and that nothing falls between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.sentences import MAX_SENTENCE_CHARS, sentence_spans


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentence_spans(text)]


CASES = {
    "chinese": ["累计抓获5.3万余名嫌疑人。", "比上年增加3.5%！", "还会继续吗？", "会。"],
    "quote closed after the stop": ["他说：“不要去。”", "然后他走了。"],
    "brackets": ["（见附件。）", "第二句。"],
    "english": ["Dr. A. Mensah saw 30 people.", "It cost 3.5% of the budget.", "Nobody paid!"],
    "initials and abbreviations": [
        "The U.S. and the U.N. asked approx. 20 people, e.g. drivers.",
        "None came.",
    ],
    "quoted english": ['"Nobody had seen a contract."', "She left."],
    "decimal at the start": [".5 is a number.", "So is 1.5."],
    "address": ["See https://a.cn/b?c=d and www.a.cn now.", "Then call."],
    "ellipsis within": ["他……没有说完。", "后来……"],
    "thai": ["ตำรวจรับสาย 1155 ตลอดวันตลอดคืน"],
    "burmese": ["ရဲကို ဖုန်းဆက်ပါ။", "သံရုံးကို ဆက်သွယ်ပါ။"],
    "khmer": ["ទូរស័ព្ទទៅប៉ូលីស។", "ទាក់ទងស្ថានទូត។"],
    "khmer and so on": ["ទូរស័ព្ទ សំបុត្រ ។ល។ ទៅស្ថានទូត។"],
    "hindi": ["पुलिस को फ़ोन करें।", "दूतावास से संपर्क करें।"],
    "amharic": ["ፖሊስ ይደውሉ።", "ኤምባሲ ያነጋግሩ።"],
    "urdu": ["پولیس کو فون کریں۔", "سفارت خانے سے رابطہ کریں۔"],
    "arabic question": ["کیا یہ سچ ہے؟", "نہیں۔"],
    "japanese": ["警察に電話してください。", "大使館にも連絡を。"],
    "semicolons do not end": ["第一，报警；第二，联系使馆。"],
    "several stops": ["真的吗？！", "真的。"],
}


@pytest.mark.parametrize("expected", CASES.values(), ids=CASES)
def test_ends(expected: list[str]) -> None:
    # Scripts that put a space between sentences, and those that do not.
    separator = "" if any("\u3001" <= c <= "\u9fff" for c in "".join(expected)) else " "
    assert sentences(separator.join(expected)) == expected


def test_a_line_break_ends_a_sentence() -> None:
    assert sentences("一 二\n三\n\n 四 。\n") == ["一 二", "三", "四 。"]


def test_blank_text_has_none() -> None:
    assert sentences(" \n\u3000\n\t") == []


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    text = "很长的一段话，" * 200
    parts = sentences(text)
    assert len(parts) > 1
    assert all(len(part) <= MAX_SENTENCE_CHARS and part.endswith("，") for part in parts)


def test_a_long_sentence_without_clauses_is_cut_anywhere() -> None:
    assert [len(part) for part in sentences("无" * 1500)] == [600, 600, 300]


TEXTS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                *list("。！？；，“”（）.!?…\"' \n\u3000\u2028\t%"),
                "5.3万",
                "3.5%",
                "人",
                "Dr.",
                "a.m.",
                "ก",
                "မ။",
                "ተ።",
                "😀",
                "\r",
                "x",
            ]
        ),
        max_size=80,
    ).map("".join),
    st.integers(500, 2000).map(lambda n: "字，" * n),
)


@given(TEXTS)
def test_every_character_that_is_not_space_is_in_exactly_one_sentence(text: str) -> None:
    spans = sentence_spans(text)
    seen = [i for span in spans for i in range(span.start, span.end)]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert {i for i, c in enumerate(text) if not c.isspace()} <= set(seen)
    for span in spans:
        sentence = text[span.start : span.end]
        assert sentence == sentence.strip()
        assert sentence
        assert "\n" not in sentence
        assert len(sentence) <= MAX_SENTENCE_CHARS
