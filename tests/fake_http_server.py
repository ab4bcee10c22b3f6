"""A server on loopback that knows every run by its id, whatever the path, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class ReceivedRequest:
    """One request: its headers have lower-case names."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    host: str | None = None


#: A status and a body: text, or what becomes JSON.
Reply = tuple[int, Any]


@dataclass
class FakeHttpServer:
    """
    The server.

    :param address: its URL without a path.
    :param reply: what it answers.
    :param requests: what it was asked.
    """

    address: str = ""
    reply: Callable[[ReceivedRequest], Reply] = lambda asked: (200, {"id": asked.path.rpartition("/")[2]})
    requests: list[ReceivedRequest] = field(default_factory=list)

    def take(self, target: str, headers: dict[str, str]) -> Reply:
        parts = urlsplit(target)
        asked = ReceivedRequest(parts.path, dict(parse_qsl(parts.query)), headers, parts.hostname)
        self.requests.append(asked)
        return self.reply(asked)


@contextmanager
def fake_http_server() -> Iterator[FakeHttpServer]:
    """Run such a server."""
    api = FakeHttpServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, held = api.take(self.path, headers)
            body = held.encode() if isinstance(held, str) else json.dumps(held).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(held, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        api.address = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
