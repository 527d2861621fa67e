"""What is remembered between questions, and when a question leans on the one before it."""

from __future__ import annotations

import pytest

from bot.conversation import MAX_TURNS, leans_by_words, standalone, with_person, with_turn
from bot.types import Conversation, Question, Turn

FOLLOW_UPS = [
    "那泰国呢",
    "那泰国呢？",
    "泰国呢?",
    "那老挝怎么打",
    "打不通怎么办",
    "如果打不通呢",
    "还有别的号码吗",
    "他被关了怎么办",
    "我该怎么办？",
    "找谁呢",
    "why not?",
    "when was that?",
    "這個要錢嗎",
    "what about Thailand?",
    "What about my brother?",
    "how about Laos",
    "and in Laos?",
    "is it free?",
    "còn Thái Lan?",
    "thế ở Lào?",
    "แล้วประเทศไทยล่ะ",
    "bagaimana dengan Laos?",
    "kalau di Laos?",
    "macam mana kalau di Laos?",
    "じゃあタイは？",
    "그럼 태국은?",
    "e se não atender?",
    "paano naman sa Laos?",
    "na je Laos?",
    "और थाईलैंड?",
    "আর থাইল্যান্ড?",
]
OWN_FEET = [
    "护照被扣了可以补办吗",
    "园区说的赔付合法吗",
    "护照被扣了怎么办",
    "签证过期了该找谁呢",
    "Who do I call in Laos?",
    "Where is the Chinese embassy?",
    "那些被骗去缅甸园区里做电信诈骗的中国人回国以后会不会被判刑坐牢",
    "How do I call the Chinese embassy in Cambodia?",
    "What are the signs of a false job offer abroad?",
    "and then the company told me that I had to pay for my flight before I could leave, is this legal?",
    "Làm sao biết lời mời làm việc là giả?",
    "วีซ่าท่องเที่ยวทำงานได้ไหม",
    "Bolehkah bekerja dengan visa turis?",
    "パスポートを取られました",
    "여권을 빼앗겼어요",
    "android phone stolen",
    "Thailand embassy",
    "isn't a visa needed for Laos",
]


def asked(text: str, *, language: str = "zh-Hans", **person: str) -> Question:
    return Question(text, language, **person)


def after(*questions: str) -> Conversation:
    return Conversation("c", tuple(Turn(q, (), "general") for q in questions))


@pytest.mark.parametrize("text", FOLLOW_UPS)
def test_words_tell_a_follow_up(text: str) -> None:
    assert leans_by_words(text)


@pytest.mark.parametrize("text", OWN_FEET)
def test_words_do_not_drag_a_changed_topic_along(text: str) -> None:
    assert not leans_by_words(text)


def test_a_follow_up_is_joined_to_the_last_question_and_no_other_is() -> None:
    before = after("更早的一问", "在柬埔寨怎么联系大使馆")
    assert standalone(asked("要钱吗"), before, is_follow_up=True) == "在柬埔寨怎么联系大使馆 要钱吗"
    assert standalone(asked("要钱吗"), before, is_follow_up=False) == "要钱吗"


def test_the_first_question_stands_alone() -> None:
    assert standalone(asked("那泰国呢"), Conversation("c"), is_follow_up=True) == "那泰国呢"


def test_at_most_so_many_turns_are_kept() -> None:
    conversation = Conversation("c")
    for n in range(MAX_TURNS + 3):
        before = conversation
        conversation = with_turn(conversation, asked(f"问{n}"), (f"article-{n}",), "general")
        assert conversation is not before
        assert len(before.turns) == min(n, MAX_TURNS)
    assert [turn.question for turn in conversation.turns] == [f"问{n}" for n in range(3, MAX_TURNS + 3)]
    assert conversation.turns[-1].article_ids == (f"article-{MAX_TURNS + 2}",)


def test_what_a_person_has_said_stays_until_said_otherwise() -> None:
    conversation = with_person(Conversation("c"), asked("问", nationality="CN", country="MM"))
    assert (conversation.nationality, conversation.country) == ("CN", "MM")
    conversation = with_person(conversation, asked("again", language="en"))
    assert (conversation.nationality, conversation.country, conversation.language) == ("CN", "MM", "en")
    conversation = with_person(conversation, asked("问", country="TH"))
    assert (conversation.nationality, conversation.country) == ("CN", "TH")
    assert conversation.conversation_id == "c"


def test_a_chain_of_follow_ups_still_says_what_it_is_about() -> None:
    """«In Cambodia, how…?», «and Thailand?», «and Laos?»: the third is joined to the first."""
    conversation = with_turn(Conversation("c"), asked("在柬埔寨怎么联系大使馆"), (), "general")
    second, third = asked("那泰国呢"), asked("那老挝呢")
    assert standalone(second, conversation, is_follow_up=True) == "在柬埔寨怎么联系大使馆 那泰国呢"
    conversation = with_turn(conversation, second, (), "general", is_follow_up=True)
    assert standalone(third, conversation, is_follow_up=True) == "在柬埔寨怎么联系大使馆 那老挝呢"
