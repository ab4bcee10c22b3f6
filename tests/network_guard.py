"""Keeps the test process on loopback, whatever library it speaks through."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import sys
from collections.abc import Iterator
from typing import Any

import requests_mock

LOOPBACK_URL = re.compile(r"https?://(127(\.\d+){3}|localhost|\[::1\])([:/]|$)")

_CONNECTING = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class LeftLoopbackError(BaseException):
    """
    A test was about to leave this machine.

    Not an ``Exception``: clients would take it for a passing network fault, and try again.
    """


def is_loopback(host: str | bytes | None) -> bool:
    """
    Whether a host, as it is given to a socket or a resolver, is this machine.

    :param host: name or address; none and the empty one mean every address of this machine.
    """
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class NetworkGuard:
    """
    Refuses any connection, datagram or look-up of a name that would leave loopback.

    It listens to the interpreter's audit events, which every user of Python's sockets raises: ``requests``,
    ``httpx``, ``httpx2``, ``aiohttp`` and what the future brings. A hook stays for as long as its process.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def install(self) -> None:
        """Guard this process from here on."""
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Raises at its end for what was refused within, also where something swallowed the refusal."""
        self.refused.clear()
        yield
        if self.refused:
            raise LeftLoopbackError(f"The test tried to leave loopback: {'; '.join(self.refused)}")

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTING:
            address = arguments[1]
            # Otherwise it is the path of a Unix socket, or None for a socket that is connected already.
            if isinstance(address, tuple) and not is_loopback(address[0]):
                self._refuse(f"{event} to {address[0]} port {address[1]}")
        elif event == "socket.getaddrinfo" and not is_loopback(arguments[0]):
            self._refuse(f"look-up of {arguments[0]}")

    def _refuse(self, what: str) -> None:
        self.refused.append(what)
        raise LeftLoopbackError(f"Tests stay on loopback: {what} was refused.")


def requests_on_loopback() -> requests_mock.Mocker:
    """A mocker under which ``requests`` reaches loopback and nothing else."""
    mocker = requests_mock.Mocker()
    mocker.register_uri(requests_mock.ANY, LOOPBACK_URL, real_http=True)
    return mocker
