"""A port for a server that is given its port as a number, before it runs."""

from __future__ import annotations

import socket


def reserve_port() -> int:
    """
    A loopback port nobody else is given for the next minute.

    One connection is made to it and closed from the server's side: while the kernel remembers it, it gives
    the port to nobody who asks for any, yet lets a server have it that asks for this one.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        with socket.create_connection(address):
            accepted, _ = listener.accept()
            accepted.close()
    return address[1]
