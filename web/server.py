"""The HTTP server: uvicorn, which says where it listens once it does."""

from __future__ import annotations

import socket

import uvicorn


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`, IPv4 or IPv6.

    Named as TCP, or asyncio leaves Nagle's algorithm on and every reply waits 40 ms for a late acknowledgement.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


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
