"""The fence around the tests holds."""

from __future__ import annotations

import socket

import pytest


def test_a_socket_to_the_outside_is_refused() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="only this machine"):
        client.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match="only this machine"):
        socket.create_connection(("example.org", 80), timeout=1)


def test_loopback_is_open() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            assert client.getpeername() == server.getsockname()
