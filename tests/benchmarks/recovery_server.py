"""An API on loopback whose faults a function chooses, for the recovery benchmark."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from tests.triggerer.api_in_memory import Reply

_PATH = re.compile(rb"GET /v1/responses/(resp_[0-9]+)[? ]")
#: How many seconds a request may take: less than by default, so that a scenario ends.
TIMEOUT = 5


def connection_to(url: str) -> str:
    """Return the Airflow connection to a server."""
    return json.dumps(
        {
            "conn_type": "openai",
            "host": url,
            "password": "sk-test",
            "extra": {"openai_client_kwargs": {"timeout": TIMEOUT}},
        }
    )


@asynccontextmanager
async def serve(fault: Callable[[str], Reply | str | None], headers: Mapping[str, str]) -> AsyncIterator[str]:
    """
    Serve in the running event loop, and return the URL.

    :param fault: returns by the id of a run what to send instead of it, see ``ApiInMemory``.
    :param headers: the headers of successful responses.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(fault, headers), "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, fault: Callable[[str], Reply | str | None], headers: Mapping[str, str]) -> None:
        self._fault = fault
        self._headers = headers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            match = _PATH.match(head)
            assert match, head
            self._respond(match[1].decode())

    def _respond(self, run_id: str) -> None:
        fault = self._fault(run_id)
        if fault == "cut":
            self.transport.abort()
        elif isinstance(fault, tuple):
            self._send(*fault)
        elif fault is None:
            body = {"id": run_id, "object": "response", "status": "in_progress", "output": []}
            self._send(200, self._headers, json.dumps(body).encode())

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        all_headers = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
        self.transport.write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode() + body)
