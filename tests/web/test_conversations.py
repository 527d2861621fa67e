"""Conversations in memory: found again, forgotten after a while, bounded in number."""

from __future__ import annotations

import threading

import pytest

import web.conversations
from bot.types import Conversation, Turn
from web.conversations import ConversationStore

KEEP_S = 60.0


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> ConversationStore:
    return ConversationStore(KEEP_S, clock)


def said(conversation_id: str, *questions: str) -> Conversation:
    return Conversation(conversation_id, tuple(Turn(q, (), "general") for q in questions))


def test_what_was_kept_is_found_and_replaced(store: ConversationStore) -> None:
    store.put(said("a", "一"))
    assert store.get("a") == said("a", "一")
    store.put(said("a", "一", "二"))
    assert store.get("a") == said("a", "一", "二")
    assert len(store) == 1


@pytest.mark.parametrize("unknown", [None, "", "b", "../a", "a" * 1000])
def test_an_unknown_id_is_never_taken_over(store: ConversationStore, unknown: str | None) -> None:
    """A visitor cannot choose the id of a conversation, nor lay one out for another."""
    store.put(said("a", "秘密"))
    found = store.get(unknown)
    assert found.turns == ()
    assert found.conversation_id not in (unknown, "a")
    assert len(found.conversation_id) == 32
    assert store.get(unknown).conversation_id != found.conversation_id


def test_platforms_keep_their_own_ids(store: ConversationStore) -> None:
    assert store.get_or_start("line:u1") == Conversation("line:u1")
    store.put(said("line:u1", "一"))
    assert store.get_or_start("line:u1") == said("line:u1", "一")


def test_a_conversation_is_forgotten_after_its_time(store: ConversationStore, clock: Clock) -> None:
    store.put(said("a", "一"))
    clock.now += KEEP_S - 1
    assert store.get("a").turns
    # Reading does not prolong it; a new turn does.
    store.put(said("a", "一", "二"))
    clock.now += KEEP_S - 1
    assert store.get("a").turns
    clock.now += 1
    assert store.get("a").turns == ()
    assert store.get_or_start("a").turns == ()
    assert len(store) == 0


def test_nothing_of_the_forgotten_stays_in_memory(store: ConversationStore, clock: Clock) -> None:
    for n in range(10):
        store.put(said(f"c{n}", "一"))
        clock.now += 1
    clock.now += KEEP_S - 5
    assert len(store) == 4
    assert store.get("c5").turns == ()
    assert store.get("c6").turns


def test_at_most_so_many_are_held(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.conversations, "MAX_CONVERSATIONS", 3)
    for name in "abc":
        store.put(said(name, "一"))
    store.put(said("a", "一", "二"))  # used again: now the youngest
    store.put(said("d", "一"))
    assert len(store) == 3
    assert store.get("b").turns == ()
    assert all(store.get(name).turns for name in "acd")


def test_forgetting_at_once(store: ConversationStore) -> None:
    store.put(said("a", "一"))
    store.forget("a")
    store.forget("a")
    assert store.get("a").turns == ()


def test_many_threads_at_once(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.conversations, "MAX_CONVERSATIONS", 50)
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for n in range(300):
                store.put(said(f"{thread}-{n % 40}", "一"))
                store.get(f"{(thread + 1) % 8}-{n % 40}")
                store.forget(f"{thread}-{(n + 7) % 40}")
                assert len(store) <= 50
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
