"""What a person typed becomes a question: cleaned, bounded, in a language of ours."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import EmptyQuestionError, QuestionError, QuestionTooLongError
from bot.question import DEFAULT_LANGUAGE, MAX_QUESTION_CHARS, known_language, read_question
from retrieval import LANGUAGES


@pytest.mark.parametrize(
    "text", ["", "   ", "\u3000\n\t", "？？！", "…", "\x00\x01", "\u200b\u200b", "\ud800", "🙏", "\u202e"]
)
def test_nothing_said_is_no_question(text: str) -> None:
    with pytest.raises(EmptyQuestionError, match="empty; type what you want to know"):
        read_question(text)


def test_the_bound_counts_what_is_left_after_cleaning() -> None:
    assert len(read_question("问" * MAX_QUESTION_CHARS).text) == MAX_QUESTION_CHARS
    assert read_question(" \u3000" * 5000 + "问" + "\u200b" * 5000).text == "问"
    with pytest.raises(QuestionTooLongError, match="longer than 2000 characters; shorten it") as raised:
        read_question("问" * (MAX_QUESTION_CHARS + 1))
    assert raised.value.limit_chars == MAX_QUESTION_CHARS
    with pytest.raises(QuestionTooLongError) as raised:
        read_question("12345678901", max_chars=10)
    assert raised.value.limit_chars == 10


def test_errors_do_not_repeat_what_was_typed() -> None:
    with pytest.raises(QuestionError) as raised:
        read_question("我的秘密" * 1000)
    assert "秘密" not in str(raised.value)


def test_the_text_is_cleaned_and_stays_what_was_typed() -> None:
    assert read_question("  12308\u3000怎么\xa0\xa0打？\r\n谢谢 \u202e\x00").text == "12308 怎么 打？\n谢谢"
    assert read_question("cafe\u0301 hotline").text == "café hotline"
    assert read_question("園區ＡＢＣ").text == "園區ＡＢＣ"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("护照被扣了怎么办", "zh-Hans"),
        ("護照被扣了怎麼辦", "zh-Hant"),
        ("How do I call the embassy?", "en"),
        ("Làm sao gọi cho đại sứ quán?", "vi"),
        ("โทรหาใคร", "th"),
        ("助けを呼ぶにはどうすればいいですか", "ja"),
        ("대사관에 어떻게 전화합니까", "ko"),
        ("ဘယ်သူ့ကို ဖုန်းဆက်ရမလဲ", "my"),
        ("តើខ្ញុំត្រូវទូរស័ព្ទទៅអ្នកណា", "km"),
    ],
)
def test_the_language_is_the_one_it_is_written_in(text: str, language: str) -> None:
    assert read_question(text).language == language
    # A hint is for texts that do not tell.
    assert read_question(text, hint="pt").language == language


def test_a_chosen_language_wins_over_the_text_and_a_hint_helps_where_it_does_not_tell() -> None:
    assert read_question("护照被扣了怎么办", language="vi").language == "vi"
    assert read_question("护照被扣了怎么办", language="xx").language == "zh-Hans"
    assert read_question("12308?", hint="th").language == "th"
    assert read_question("12308?", hint="xx").language == DEFAULT_LANGUAGE
    assert read_question("12308?").language == DEFAULT_LANGUAGE


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("zh-hant-HK", "zh-Hant"),
        ("yue", "zh-Hant"),
        ("en-GB", "en"),
        ("fil-PH", "tl"),
        ("in", "id"),
        ("pt-BR", "pt"),
        ("PT", "pt"),
        ("xx", None),
        ("de", None),
        ("", None),
        (None, None),
        ("en; rm -rf /", None),
        ("../../etc", None),
        ("e" * 50, None),
    ],
)
def test_tags_of_browsers_and_people(tag: str | None, language: str | None) -> None:
    assert known_language(tag) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_of_ours_is_known_by_its_own_tag(language: str) -> None:
    assert known_language(language) == language


@pytest.mark.parametrize(
    ("given_code", "kept"),
    [
        ("cn", "CN"),
        ("MM", "MM"),
        (None, None),
        ("", None),
        ("China", None),
        ("C1", None),
        ("中国", None),
        ("C\n", None),
    ],
)
def test_countries_are_codes_or_not_known(given_code: str | None, kept: str | None) -> None:
    question = read_question("问题", nationality=given_code, country=given_code)
    assert (question.nationality, question.country) == (kept, kept)


@given(st.text(max_size=300))
def test_any_text_is_a_bounded_clean_question_or_a_clear_error(text: str) -> None:
    try:
        question = read_question(text)
    except QuestionError:
        return
    assert question.text == question.text.strip()
    assert 0 < len(question.text) <= MAX_QUESTION_CHARS
    assert question.text == unicodedata.normalize("NFC", question.text)
    assert question.language in LANGUAGES
    # Once more changes nothing.
    assert read_question(question.text).text == question.text
