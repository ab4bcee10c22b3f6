"""Keeps the test process on loopback, whichever library it uses."""

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
    A test tried to connect to another machine.

    It is not an ``Exception``, because clients would handle it as a network error and retry.
    """


def is_loopback(host: str | bytes | None) -> bool:
    """
    Return whether a host, as passed to a socket or a resolver, is this machine.

    :param host: name or address; None and the empty one mean every address of this machine.
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
    Rejects every connection, datagram and name resolution that would leave loopback.

    It listens to the interpreter's audit events, which every use of Python's sockets raises, in any
    library. An audit hook cannot be removed.
    """

    def __init__(self) -> None:
        self.rejected: list[str] = []

    def install(self) -> None:
        """Add the audit hook to this process."""
        sys.addaudithook(self._on_event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Raise on exit if anything was rejected inside, even if the code under test caught the error."""
        self.rejected.clear()
        yield
        if self.rejected:
            raise LeftLoopbackError(f"The test tried to leave loopback: {'; '.join(self.rejected)}")

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTING:
            address = arguments[1]
            # Other addresses are paths of Unix sockets, or None if the socket is already connected.
            if isinstance(address, tuple) and not is_loopback(address[0]):
                self._reject(f"{event} to {address[0]} port {address[1]}")
        elif event == "socket.getaddrinfo" and not is_loopback(arguments[0]):
            self._reject(f"resolution of {arguments[0]}")

    def _reject(self, action: str) -> None:
        self.rejected.append(action)
        raise LeftLoopbackError(f"Tests stay on loopback: {action} was rejected.")


def requests_on_loopback() -> requests_mock.Mocker:
    """Return a mocker with which ``requests`` can only reach loopback."""
    mocker = requests_mock.Mocker()
    mocker.register_uri(requests_mock.ANY, LOOPBACK_URL, real_http=True)
    return mocker
