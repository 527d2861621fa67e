"""The socket that the server listens on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from web.server import listening_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_replies_are_not_held_back(host: str) -> None:
    """Without TCP_NODELAY a reply in two writes waits for the acknowledgement of the first."""

    async def is_undelayed() -> bool:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listening_socket(host, 0) as listener:
            async with await asyncio.start_server(accepted, sock=listener):
                _, writer = await asyncio.open_connection(host, listener.getsockname()[1])
                writer.close()
                return bool(await found)

    assert asyncio.run(is_undelayed())


def test_a_taken_port_is_refused() -> None:
    with listening_socket("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            listening_socket("127.0.0.1", first.getsockname()[1])
