"""The web server: starts and stops quickly, listens on loopback by default."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from airflow_provider_openai_run.sandbox.fault_middleware import FaultMiddleware, ServerState

_GRACE_SECONDS = 2
_KEEP_ALIVE_SECONDS = 75


class Server(uvicorn.Server):
    """
    The web server of the sandbox.

    :param application: the ASGI application.
    :param server_state: its ``closing`` flag is set when the server shuts down.
    """

    def __init__(self, application: FaultMiddleware, server_state: ServerState) -> None:
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
        self.ready = threading.Event()
        self._server_state = server_state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop stalled requests and shut down."""
        self._server_state.closing = True
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """
    Return whether an address can only be reached from this machine.

    :param host: an IP address or "localhost"; no other name counts as loopback.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """
    Open a listening socket.

    :param host: the address.
    :param port: the port; 0 takes a free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
