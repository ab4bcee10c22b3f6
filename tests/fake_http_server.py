"""A server on loopback that has every run, whatever the path, and keeps the requests it received."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class ReceivedRequest:
    """
    One request.

    :param path: without the query.
    :param query: the query parameters.
    :param headers: with lower-case names.
    :param host: the host of the request line, which only a proxy gets; else None.
    :param body: the body of a POST request.
    """

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    host: str | None = None
    body: bytes = b""


#: A status, a body (text, chunks of bytes, or a value to send as JSON), and headers if there are any.
Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


def a_run(request: ReceivedRequest) -> Reply:
    """The run with the id at the end of the path."""
    return 200, {"id": request.path.rpartition("/")[2]}


@dataclass
class FakeHttpServer:
    """
    A running server.

    :param url: its URL, without a path.
    :param reply: returns the response to a request.
    :param requests: the requests it received, oldest first.
    """

    url: str = ""
    reply: Callable[[ReceivedRequest], Reply] = a_run
    requests: list[ReceivedRequest] = field(default_factory=list)

    def receive(self, target: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        parts = urlsplit(target)
        request = ReceivedRequest(parts.path, dict(parse_qsl(parts.query)), headers, parts.hostname, body)
        self.requests.append(request)
        return self.reply(request)


@contextmanager
def fake_http_server() -> Iterator[FakeHttpServer]:
    """Run a server on a free port."""
    fake = FakeHttpServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received = {name.lower(): value for name, value in self.headers.items()}
            status, body, headers = (*fake.receive(self.path, received, sent), {})[:3]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if isinstance(body, Iterator):
                self._send_chunks(body)
            elif isinstance(body, str):
                self._send_body(body.encode(), "text/html")
            else:
                self._send_body(json.dumps(body).encode(), "application/json")

        do_POST = do_CONNECT = do_GET  # noqa: N815 - the names that the base class calls

        def _send_body(self, body: bytes, content_type: str) -> None:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send_chunks(self, chunks: Iterator[bytes]) -> None:
            self.send_header("Connection", "close")
            self.end_headers()
            # A client that gave up has closed the connection.
            with suppress(ConnectionError):
                for chunk in chunks:
                    self.wfile.write(chunk)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
