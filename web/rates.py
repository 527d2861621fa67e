"""Keeps sends within a platform's rates: a token bucket for each account and each conversation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from web.channels.base import Account, Caps

_BURST = 3.0
_MAX_CONVERSATIONS = 10_000


class Bucket:
    """Tokens that come back at a rate, up to a burst."""

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at = now

    def wait_s(self, now: float) -> float:
        """Seconds until there is a token; none is taken."""
        self._tokens = min(self._burst, self._tokens + max(now - self._at, 0.0) * self._rate_per_s)
        self._at = now
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate_per_s

    def take(self) -> None:
        """Takes a token that `wait_s` found."""
        self._tokens -= 1.0


class Pacer:
    """The buckets of one process. Several machines share an account's rate only by what the platform
    answers.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._accounts: dict[tuple[str, str], Bucket] = {}
        self._conversations: OrderedDict[str, Bucket] = OrderedDict()
        self._paused_until: dict[tuple[str, str], float] = {}

    def wait_s(self, account: Account, caps: Caps, conversation: str) -> float:
        """Zero where a message may go now (and is counted), else how long to leave it."""
        now = self._clock()
        key = (account.platform, account.name)
        paused_s = self._paused_until.get(key, 0.0) - now
        if paused_s > 0:
            return paused_s
        of_account = self._accounts.setdefault(
            key, Bucket(caps.account_rate_per_s, max(caps.account_rate_per_s, 1.0), now)
        )
        of_conversation = self._conversations.setdefault(
            conversation, Bucket(caps.conversation_rate_per_s, _BURST, now)
        )
        self._conversations.move_to_end(conversation)
        while len(self._conversations) > _MAX_CONVERSATIONS:
            self._conversations.popitem(last=False)
        wait_s = max(of_account.wait_s(now), of_conversation.wait_s(now))
        if wait_s <= 0:
            of_account.take()
            of_conversation.take()
        return wait_s

    def pause(self, account: Account, for_s: float) -> None:
        """Leaves an account alone, because its platform asked for it."""
        key = (account.platform, account.name)
        self._paused_until[key] = max(self._paused_until.get(key, 0.0), self._clock() + for_s)
