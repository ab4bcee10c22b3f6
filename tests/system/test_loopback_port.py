from __future__ import annotations

import socket

from tests.system.loopback_port import reserve_port


def test_a_reserved_port_can_be_bound() -> None:
    port = reserve_port()

    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port


def test_each_reserved_port_is_different() -> None:
    ports = [reserve_port() for _ in range(20)]

    assert len(set(ports)) == len(ports)
