"""A fast stub of the API in a process of its own, which logs all requests.

``python -m tests.benchmarks.stub_server OPTIONS`` (JSON) prints its port and then reads commands (JSON lines)
from stdin: ``{"end": {run: time}}`` sets the end of runs, ``{"command": "state"}`` prints a line with
counts, and ``{"command": "report", "file": …}`` writes the request log to a file. Times are of the monotonic
clock, which all processes of a machine share.

It supports just enough HTTP/1.1 for GET requests over persistent connections, so that it is fast: a response
takes about 50 µs. It never closes a connection, except as a fault.
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


class RequestLog:
    """The request log, in columns: time, run, whether a poll begins with it, response status."""

    def __init__(self) -> None:
        self.times = array("d")
        self.runs = array("l")
        self.begins_poll = array("b")
        self.statuses = array("h")
        self.polled_runs: set[int] = set()
        self.connections = 0
        self.open_connections = 0
        self.most_open_connections = 0

    def opened(self) -> None:
        """Count a new connection after its handshake."""
        self.connections += 1
        self.open_connections += 1
        self.most_open_connections = max(self.most_open_connections, self.open_connections)

    def closed(self) -> None:
        """Count a closed connection."""
        self.open_connections -= 1

    def request(self, run: int, *, begins_poll: bool, status: int) -> None:
        """Log a request and the status of its response."""
        self.times.append(time.monotonic())
        self.runs.append(run)
        self.begins_poll.append(begins_poll)
        self.statuses.append(status)
        self.polled_runs.add(run)

    def state(self) -> dict[str, int]:
        """Return the current counts."""
        return {
            "polled_runs": len(self.polled_runs),
            "requests": len(self.times),
            "connections": self.connections,
        }

    def report(self) -> dict[str, Any]:
        """Return the whole log."""
        return {
            "times": list(self.times),
            "runs": list(self.runs),
            "begins_poll": list(self.begins_poll),
            "statuses": list(self.statuses),
            "connections": self.connections,
            "most_open_connections": self.most_open_connections,
        }


class Behaviour:
    """The behaviour of the API: body size, latency, rate limit, faults and the end of each run.

    :param body_bytes: size of a response body.
    :param latency: seconds until a response.
    :param requests_per_second: rate above which a response is 429, with a burst of one second's requests.
    :param fault_every: every n-th request fails, in three ways in turn.
    :param clock: returns the time in seconds.
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
        self._tokens, self._refilled_at = float(requests_per_second or 0), clock()
        self._fault_every = fault_every
        self._requests = 0

    def has_ended(self, run: int) -> bool:
        """Return whether a run has ended."""
        end = self.ends.get(run)
        return end is not None and self._clock() >= end

    def rejects(self) -> bool:
        """Count a request against the rate limit and return whether it must be rejected."""
        if self._limit is None:
            return False
        now = self._clock()
        self._tokens = min(self._limit, self._tokens + (now - self._refilled_at) * self._limit)
        self._refilled_at = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def fault(self) -> str | None:
        """Return how this request fails, or None."""
        self._requests += 1
        if self._fault_every is None or self._requests % self._fault_every:
            return None
        return ("500", "cut", "half")[self._requests // self._fault_every % 3]


class Connection(asyncio.Protocol):
    """A connection of a client."""

    transport: asyncio.Transport

    def __init__(self, log: RequestLog, behaviour: Behaviour) -> None:
        self._log = log
        self._behaviour = behaviour
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._log.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count its end."""
        self._log.closed()

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            self._respond(head)

    def _respond(self, head: bytes) -> None:
        match = _PATH.match(head)
        if match is None:
            self._send(404, error("not_found", "No such path."))
            return
        resource_name = "turns" if match[4] else match[1].decode()
        run = int(match[3])
        begins_poll = match[4] is None
        if self._behaviour.rejects():
            self._log.request(run, begins_poll=begins_poll, status=429)
            self._send(429, error("rate_limit_exceeded", "Too many requests."), b"retry-after: 1\r\n")
        elif fault := self._behaviour.fault():
            self._log.request(run, begins_poll=begins_poll, status=500 if fault == "500" else _CUT)
            self._fail(fault)
        else:
            self._log.request(run, begins_poll=begins_poll, status=200)
            body = self._behaviour.bodies.body(
                resource_name, match[2].decode(), ended=self._behaviour.has_ended(run)
            )
            self._send(200, body)

    def _send(self, status: int, body: bytes, headers: bytes = b"") -> None:
        response = _HEAD % (status, len(body), headers) + body
        if self._behaviour.latency:
            asyncio.get_running_loop().call_later(self._behaviour.latency, self.transport.write, response)
        else:
            self.transport.write(response)

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
    """Serve until the end of stdin."""
    log = RequestLog()
    behaviour = Behaviour(**options["behaviour"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["certificate"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(log, behaviour), "127.0.0.1", 0, ssl=context, backlog=4096
    )
    _print({"port": server.sockets[0].getsockname()[1]})
    lines = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        _run_command(json.loads(line), log, behaviour)


def _run_command(command: dict[str, Any], log: RequestLog, behaviour: Behaviour) -> None:
    if ends := command.get("end"):
        behaviour.ends.update((int(run), end) for run, end in ends.items())
    elif command["command"] == "state":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _print({**log.state(), "cpu_seconds": usage.ru_utime + usage.ru_stime})
    else:
        Path(command["file"]).write_text(json.dumps(log.report()), encoding="utf-8")
        _print({})


def _print(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
