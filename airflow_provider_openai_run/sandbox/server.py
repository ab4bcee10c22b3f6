"""A web server that starts and stops at once, and listens on loopback unless told otherwise."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from airflow_provider_openai_run.sandbox.fault_middleware import FaultMiddleware, ServerControls

_GRACE_SECONDS = 2
_KEEP_ALIVE_SECONDS = 75


class Server(uvicorn.Server):
    """
    The web server.

    :param application: what it serves.
    :param door: the application's gate, which is told when the server closes.
    """

    def __init__(self, application: FaultMiddleware, door: ServerControls) -> None:
        config = uvicorn.Config(
            application,
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self.is_up = threading.Event()
        self._door = door

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests."""
        await super().startup(sockets)
        self.is_up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop the requests that are being stalled, and close."""
        self._door.closing = True
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """
    Tell whether an address is one that only this machine can reach.

    :param host: an IP address or a name; "localhost" is the only name taken for loopback.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """
    Open a socket to serve on.

    :param host: the address.
    :param port: the port; a free one when 0.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
