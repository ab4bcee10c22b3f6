"""A server in a process of its own that answers like the API, and keeps account of what it was asked.

``python -m tests.benchmarks.stub_server OPTIONS`` (JSON) prints its port and then obeys the lines (JSON) on
its stdin: ``{"end": {run: moment}}`` says when runs end, ``{"ask": "state"}`` is answered by a line with
counts, and ``{"ask": "report", "file": …}`` writes everything seen. Moments are of the monotonic clock, which
all processes of a machine share.

It speaks just enough HTTP/1.1 for GET requests over kept connections, because it must not be what is slow: an
answer costs it some 50 µs. It closes no connection of its own accord.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import ssl
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.payloads import Bodies, error

_PATH = re.compile(rb"GET /v1/(responses|batches|agents/sessions)/([A-Za-z_]+_(\d+))(/turns)?[? ]")
_RUNNING, _CUT = 0, -1


class Account:
    """What the server was asked, in columns: moment, run, whether a poll begins with it, status answered."""

    def __init__(self) -> None:
        self.moments = array("d")
        self.runs = array("l")
        self.begins_poll = array("b")
        self.statuses = array("h")
        self.asked: set[int] = set()
        self.connections = 0
        self.open_connections = 0
        self.most_open_connections = 0

    def opened(self) -> None:
        """Note a new connection, its handshake done."""
        self.connections += 1
        self.open_connections += 1
        self.most_open_connections = max(self.most_open_connections, self.open_connections)

    def closed(self) -> None:
        """Note that a connection is gone."""
        self.open_connections -= 1

    def request(self, run: int, *, begins_poll: bool, status: int) -> None:
        """Note one request and how it is answered."""
        self.moments.append(time.monotonic())
        self.runs.append(run)
        self.begins_poll.append(begins_poll)
        self.statuses.append(status)
        self.asked.add(run)

    def state(self) -> dict[str, int]:
        """Give the counts of the moment."""
        return {"asked": len(self.asked), "requests": len(self.moments), "connections": self.connections}

    def report(self) -> dict[str, Any]:
        """Give everything."""
        return {
            "moments": list(self.moments),
            "runs": list(self.runs),
            "begins_poll": list(self.begins_poll),
            "statuses": list(self.statuses),
            "connections": self.connections,
            "most_open_connections": self.most_open_connections,
        }


class Behaviour:
    """How the API behaves: its size, speed, limit and faults, and when each run ends.

    :param requests_per_second: above this rate, with a second's worth in reserve, an answer is 429.
    :param fault_every: one request in so many fails, in three ways by turns.
    :param clock: gives the moment.
    """

    def __init__(
        self,
        *,
        body_bytes: int,
        latency: float = 0.0,
        requests_per_second: int | None = None,
        fault_every: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bodies = Bodies(body_bytes)
        self.latency = latency
        self.ends: dict[int, float] = {}
        self._limit = requests_per_second
        self._clock = clock
        self._reserve, self._filled = float(requests_per_second or 0), clock()
        self._fault_every = fault_every
        self._requests = 0

    def has_ended(self, run: int) -> bool:
        """Say whether a run has ended by now."""
        end = self.ends.get(run)
        return end is not None and self._clock() >= end

    def refuses(self) -> bool:
        """Take one request from the budget and say whether there was none left."""
        if self._limit is None:
            return False
        now = self._clock()
        self._reserve = min(self._limit, self._reserve + (now - self._filled) * self._limit)
        self._filled = now
        if self._reserve < 1:
            return True
        self._reserve -= 1
        return False

    def fault(self) -> str | None:
        """Say how this request is to fail, if it is."""
        self._requests += 1
        if self._fault_every is None or self._requests % self._fault_every:
            return None
        return ("500", "cut", "half")[self._requests // self._fault_every % 3]


class Connection(asyncio.Protocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, account: Account, behaviour: Behaviour) -> None:
        self._account = account
        self._behaviour = behaviour
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._account.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note its end."""
        self._account.closed()

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        match = _PATH.match(head)
        if match is None:
            self._send(404, error("not_found", "No such path."))
            return
        resource_name = "turns" if match[4] else match[1].decode()
        run = int(match[3])
        begins_poll = match[4] is None
        if self._behaviour.refuses():
            self._account.request(run, begins_poll=begins_poll, status=429)
            self._send(429, error("rate_limit_exceeded", "Too many requests."), b"retry-after: 1\r\n")
        elif fault := self._behaviour.fault():
            self._account.request(run, begins_poll=begins_poll, status=500 if fault == "500" else _CUT)
            self._fail(fault)
        else:
            self._account.request(run, begins_poll=begins_poll, status=200)
            body = self._behaviour.bodies.body(
                resource_name, match[2].decode(), ended=self._behaviour.has_ended(run)
            )
            self._send(200, body)

    def _send(self, status: int, body: bytes, headers: bytes = b"") -> None:
        answer = _HEAD % (status, len(body), headers) + body
        if self._behaviour.latency:
            asyncio.get_running_loop().call_later(self._behaviour.latency, self.transport.write, answer)
        else:
            self.transport.write(answer)

    def _fail(self, fault: str) -> None:
        if fault == "500":
            self._send(500, error("server_error", "The server had an error."))
        elif fault == "cut":
            self.transport.abort()
        else:
            self.transport.write(_HEAD % (200, 2000, b"") + b'{"id": "')
            self.transport.close()


_HEAD = (
    b"HTTP/1.1 %d -\r\n"
    b"date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
    b"content-type: application/json\r\n"
    b"content-length: %d\r\n"
    b"openai-organization: org-68f7a1c2\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"openai-processing-ms: 41\r\n"
    b"x-request-id: req_68f7a1c268f7a1c268f7a1c268f7a1c2\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"server: stub\r\n"
    b"%b"
    b"\r\n"
)


async def serve(options: dict[str, Any]) -> None:
    """Serve until stdin ends."""
    account = Account()
    behaviour = Behaviour(**options["behaviour"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["certificate"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(account, behaviour), "127.0.0.1", 0, ssl=context, backlog=4096
    )
    _say({"port": server.sockets[0].getsockname()[1]})
    lines = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        _obey(json.loads(line), account, behaviour)


def _obey(order: dict[str, Any], account: Account, behaviour: Behaviour) -> None:
    if ends := order.get("end"):
        behaviour.ends.update((int(run), moment) for run, moment in ends.items())
    elif order["ask"] == "state":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _say({**account.state(), "cpu_seconds": usage.ru_utime + usage.ru_stime})
    else:
        Path(order["file"]).write_text(json.dumps(account.report()), encoding="utf-8")
        _say({})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
