from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import pytest
import requests
import requests_mock

from tests.network_guard import LeftLoopbackError, NetworkGuard, is_loopback

# Reserved for documentation: no machine has it, should the guard ever fail.
ELSEWHERE = "http://192.0.2.1:9/"
ELSEWHERE_BY_NAME = "http://elsewhere.invalid/"


@pytest.fixture
def rejected(network_guard: NetworkGuard) -> Iterator[list[str]]:
    """Return the rejected actions, and forget them at the end: these tests provoke them."""
    yield network_guard.rejected
    network_guard.rejected.clear()


@pytest.fixture
def loopback_url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def http_libraries() -> list[str]:
    return [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]


@pytest.mark.parametrize("url", [ELSEWHERE, ELSEWHERE_BY_NAME])
def test_requests_cannot_leave(url: str) -> None:
    with pytest.raises(requests_mock.NoMockAddress):
        requests.get(url, timeout=5)


def test_requests_reaches_loopback(loopback_url: str) -> None:
    assert requests.get(loopback_url, timeout=5).status_code == 204


@pytest.mark.parametrize("library", http_libraries())
@pytest.mark.parametrize("url", [ELSEWHERE, ELSEWHERE_BY_NAME])
def test_httpx_cannot_leave(library: str, url: str, rejected: list[str]) -> None:
    module = importlib.import_module(library)
    with pytest.raises(LeftLoopbackError):
        module.get(url)
    assert rejected


@pytest.mark.parametrize("library", http_libraries())
@pytest.mark.parametrize("url", [ELSEWHERE, ELSEWHERE_BY_NAME])
def test_async_httpx_cannot_leave(library: str, url: str, rejected: list[str]) -> None:
    module = importlib.import_module(library)

    async def get() -> None:
        async with module.AsyncClient() as client:
            await client.get(url)

    with pytest.raises((LeftLoopbackError, BaseExceptionGroup)):
        asyncio.run(get())
    assert rejected


@pytest.mark.parametrize("library", http_libraries())
def test_httpx_reaches_loopback(library: str, loopback_url: str) -> None:
    assert importlib.import_module(library).get(loopback_url).status_code == 204


@pytest.mark.parametrize("url", [ELSEWHERE, ELSEWHERE_BY_NAME])
def test_aiohttp_cannot_leave(url: str, rejected: list[str]) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(url):
            pass

    with pytest.raises(LeftLoopbackError):
        asyncio.run(get())
    assert rejected


def test_aiohttp_reaches_loopback(loopback_url: str) -> None:
    async def get() -> int:
        async with aiohttp.ClientSession() as session, session.get(loopback_url) as response:
            return response.status

    assert asyncio.run(get()) == 204


@pytest.mark.parametrize("connect", [socket.socket.connect, socket.socket.connect_ex])
def test_a_raw_socket_cannot_leave(connect: Callable[..., object], rejected: list[str]) -> None:
    with socket.socket() as raw, pytest.raises(LeftLoopbackError):
        connect(raw, ("192.0.2.1", 9))
    assert rejected == ["socket.connect to 192.0.2.1 port 9"]


def test_a_datagram_cannot_leave(rejected: list[str]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as raw, pytest.raises(LeftLoopbackError):
        raw.sendto(b"", ("192.0.2.1", 9))
    assert rejected == ["socket.sendto to 192.0.2.1 port 9"]


def test_a_name_is_not_even_resolved(rejected: list[str]) -> None:
    with pytest.raises(LeftLoopbackError, match=r"resolution of elsewhere\.invalid was rejected"):
        socket.create_connection(("elsewhere.invalid", 80), timeout=1)
    assert rejected == ["resolution of elsewhere.invalid"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", b"localhost", "", None])
def test_this_machine_is_loopback(host: str | bytes | None) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "localhost.invalid"])
def test_any_other_machine_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.usefixtures("rejected")
def test_a_test_that_catches_the_rejection_fails_nevertheless(network_guard: NetworkGuard) -> None:
    with (
        pytest.raises(LeftLoopbackError, match=r"192\.0\.2\.1 port 9"),
        network_guard.watching(),
        socket.socket() as raw,
        contextlib.suppress(LeftLoopbackError),
    ):
        raw.connect(("192.0.2.1", 9))
