"""A free port for a server that must know its port before it starts."""

from __future__ import annotations

import socket


def reserve_port() -> int:
    """
    Return a loopback port that no other process gets by chance for the next minute.

    A connection to it is opened, and closed by the server's side. While that is in TIME_WAIT, the kernel does
    not choose the port for a process that binds to port 0, but a server can bind to it by its number.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        with socket.create_connection(address):
            accepted, _ = listener.accept()
            accepted.close()
    return address[1]
