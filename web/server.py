"""The HTTP server: uvicorn, which says where it listens once it does."""

from __future__ import annotations

import socket

import uvicorn


class Server(uvicorn.Server):
    """Prints `ready_line` on standard output when the application answers."""

    def __init__(self, config: uvicorn.Config, ready_line: str) -> None:
        super().__init__(config)
        self._ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        if self.started:
            print(self._ready_line, flush=True)
