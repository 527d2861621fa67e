"""A server in a process of its own, with a fake bot, that can be told to die at a chosen point.

    python -m tests.web.channels.server PORT DATA_FOLDER

`KILL_AT` names the point; it dies there once, the first time, and leaves a file `killed` in the data folder.
`THINK_S` is how long the bot takes, `LEASE_S` how long a lease lasts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from bot.types import Answer
from tests.web.channels.support import FakeResponder
from web.channels.accounts import read_channel_settings
from web.hooks import channels_lifespan, install_channels
from web.messaging.answering import Answering
from web.messaging.intake import Intake
from web.messaging.passive import Passive
from web.messaging.sending import Sending

KILL_POINTS = ("after-commit", "after-answer", "after-handed", "before-send", "during-send")


class ThinkingResponder(FakeResponder):
    """Takes a while, and writes down each question that it was asked."""

    def __init__(self, think_s: float, log: Path) -> None:
        super().__init__()
        self.think_s = think_s
        self.log = log

    def respond(self, text: str, *, conversation_id: str, lang_hint: str | None) -> Answer:
        time.sleep(self.think_s)
        return super().respond(text, conversation_id=conversation_id, lang_hint=lang_hint)


def die(data: Path) -> None:
    """Ends this process as a power cut would, once."""
    with contextlib.suppress(FileExistsError):
        (data / "killed").touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def set_trap(point: str, data: Path) -> None:
    """Replaces the step at a point by one that dies."""

    def after(part: type, name: str) -> None:
        original = getattr(part, name)

        async def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, *args, **kwargs)
            die(data)
            return result

        setattr(part, name, step)

    match point:
        case "after-commit":
            after(Intake, "_store")
        case "after-answer":
            after(Answering, "_store")
        case "after-handed":
            after(Passive, "_wait")
        case "during-send":
            after(Sending, "_try_send")
        case "before-send":
            original = Sending._try_send

            async def send(self: Sending, *args: Any) -> Any:
                die(data)
                return await original(self, *args)

            Sending._try_send = send  # type: ignore[method-assign]


def make_app(data: Path) -> FastAPI:
    """The application with the settings of the environment."""
    environ = {name: value for name, value in os.environ.items() if name.startswith("GUITU_")}
    settings = replace(read_channel_settings(environ, data=data), lease_s=float(os.environ.get("LEASE_S", "2")))
    responder = ThinkingResponder(float(os.environ.get("THINK_S", "0")), data / "asked.log")

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with channels_lifespan(app, settings, responder):
            yield

    app = FastAPI(redirect_slashes=False, lifespan=lifespan)
    install_channels(app)
    return app


def main() -> None:
    port, data = int(sys.argv[1]), Path(sys.argv[2])
    if point := os.environ.get("KILL_AT"):
        set_trap(point, data)
    uvicorn.run(make_app(data), host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
