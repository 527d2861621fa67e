"""Conversations in memory: bounded in number, forgotten after a while, never written down."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable

from bot.types import Conversation

MAX_CONVERSATIONS = 10_000


class ConversationStore:
    """Conversations by id. `clock` gives seconds and only moves forward."""

    def __init__(self, keep_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_s = keep_s
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[float, Conversation]] = OrderedDict()

    def get(self, conversation_id: str | None) -> Conversation:
        """The conversation with this id; a new one with a fresh id when it is unknown or expired."""
        with self._lock:
            self._expire()
            found = self._held.get(conversation_id or "")
            return found[1] if found else Conversation(uuid.uuid4().hex)

    def get_or_start(self, conversation_id: str) -> Conversation:
        """The conversation with this id, which somebody else keeps; a new one under it when it is unknown."""
        with self._lock:
            self._expire()
            found = self._held.get(conversation_id)
            return found[1] if found else Conversation(conversation_id)

    def put(self, conversation: Conversation) -> None:
        """Keeps `conversation`; its time starts anew."""
        with self._lock:
            self._held[conversation.conversation_id] = (self._clock() + self._keep_s, conversation)
            self._held.move_to_end(conversation.conversation_id)
            self._expire()

    def forget(self, conversation_id: str) -> None:
        """Forgets at once."""
        with self._lock:
            self._held.pop(conversation_id, None)

    def __len__(self) -> int:
        with self._lock:
            self._expire()
            return len(self._held)

    def _expire(self) -> None:
        now = self._clock()
        while self._held:
            oldest, (until, _) = next(iter(self._held.items()))
            if until > now and len(self._held) <= MAX_CONVERSATIONS:
                return
            del self._held[oldest]
