"""What all parts of the service share: settings, database, connections, and the tasks in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx

from web.answer_page import PageStore
from web.channels.accounts import ChannelSettings
from web.channels.base import Account, ChannelAdapter, Inbound, SendContext
from web.channels.errors import StoreError
from web.channels.registry import ADAPTERS
from web.database import Database
from web.inbox import Inbox
from web.outbox import Outbox
from web.send_queue import SendQueue
from web.spill import Spill
from web.tokens import SharedTokens
from web.vault import open_vault

logger = logging.getLogger(__name__)

# How often work is looked for that no wake has announced.
POLL_S = 1.0


class Hub:
    """Shared by the parts of one service. `open` before anything else, `close` at the end."""

    def __init__(
        self,
        settings: ChannelSettings,
        *,
        clock: Callable[[], float] = time.time,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.settings = settings
        self.adapters: Mapping[str, ChannelAdapter] = ADAPTERS
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.accounts = {(account.platform, account.name): account for account in settings.accounts}
        self.channels = sorted({account.platform for account in settings.accounts})
        self.owner = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.answer_wake = asyncio.Event()
        self.send_wake = asyncio.Event()
        self.pull_wake = asyncio.Event()
        self.is_stopping = False
        self._http = http
        self._own_http = http is None
        self._rounds: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Opens the database and the connections.

        Raises:
            ChannelSettingsError, StoreError: the database or its key cannot be used.
        """
        settings = self.settings
        vault = open_vault(settings.secret_key, settings.data)
        self.database = Database(settings.database_url, vault)
        await asyncio.get_running_loop().run_in_executor(None, self.database.open)
        self.inbox = Inbox(self.database, self.owner, lease_s=settings.lease_s)
        self.outbox = Outbox(self.database, self.adapters)
        self.queue = SendQueue(self.database, self.owner, self.adapters, lease_s=settings.lease_s)
        self.page_store = PageStore(self.database)
        self.spill = Spill(settings.data / "spill", vault)
        # httpx logs every address it calls, and the addresses of Telegram and WeChat hold tokens.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        if self._http is None:
            limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
            self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=5.0), limits=limits, trust_env=False)

    async def close(self) -> None:
        """Closes what `open` opened."""
        if self._own_http and self._http is not None:
            await self._http.aclose()
        self.database.close()

    def account_of(self, inbound: Inbound) -> Account | None:
        """The account that a message came to; None where it was taken out of the settings since."""
        return self.accounts.get((inbound.channel, inbound.account))

    def context(self, account: Account) -> SendContext:
        """What an adapter needs to call its platform."""
        assert self._http is not None
        shared = SharedTokens(self.database, account, self.owner, self.clock)
        return SendContext(self._http, account, shared, self.clock)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work in the background, until it ends or the service does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def repeat(
        self,
        name: str,
        work: Callable[[], Coroutine[Any, Any, bool]],
        every_s: float,
        wake: asyncio.Event | None = None,
    ) -> None:
        """Runs rounds of work in the background: see `_forever`."""
        self._rounds.append(asyncio.create_task(self._forever(name, work, every_s, wake or asyncio.Event())))

    async def cancel(self) -> None:
        """Ends everything that runs in the background."""
        running = (*self._rounds, *self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _forever(
        self, name: str, work: Callable[[], Coroutine[Any, Any, bool]], every_s: float, wake: asyncio.Event
    ) -> None:
        """Runs a round when woken and every so often; at once again while a round says that there is more."""
        while not self.is_stopping:
            has_more = False
            try:
                has_more = await work()
            except StoreError as error:
                logger.warning("%s: %s", name, error)
                await asyncio.sleep(0.5)
            except Exception:
                # Whatever it was, the work is in the database and the next round takes it up.
                logger.exception("%s: a round failed", name)
                await asyncio.sleep(1.0)
            if not has_more:
                # Not wait_for, which in Python 3.11 can swallow the cancellation that ends us.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await wake.wait()
                wake.clear()
