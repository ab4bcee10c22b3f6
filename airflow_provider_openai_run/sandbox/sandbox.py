"""The sandbox as a Python object: start it, control it, inspect it."""

from __future__ import annotations

import json
import threading
import urllib.parse
from typing import TYPE_CHECKING, Self

from airflow_provider_openai_run.sandbox.admin import describe_state
from airflow_provider_openai_run.sandbox.app import build_app
from airflow_provider_openai_run.sandbox.clock import Clock
from airflow_provider_openai_run.sandbox.contents import SandboxContents
from airflow_provider_openai_run.sandbox.fault_middleware import RUN_LINKS, LoggedRequest, ServerState
from airflow_provider_openai_run.sandbox.quota import Quota
from airflow_provider_openai_run.sandbox.scripts import JsonObject
from airflow_provider_openai_run.sandbox.server import Server, is_loopback, listen
from airflow_provider_openai_run.sandbox.store import Store

if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from airflow_provider_openai_run.sandbox.faults import Faults
    from airflow_provider_openai_run.sandbox.scripts import Script

DEFAULT_KEY = "sandbox-key"
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0


class Sandbox(SandboxContents):
    """
    A local server that speaks the Assistants, the Responses and the Batch API.

    A parameter ``script`` takes the name of a script, its JSON or a :class:`Script`.

    :param host: address to listen on; a loopback address unless ``allow_remote``.
    :param port: the port; 0 takes a free one.
    :param api_key: the valid API key.
    :param clock: clock of the runs; real time by default.
    :param default_script: script of runs that select none.
    :param allow_remote: whether it may listen on addresses that other machines can reach.
    :raises ValueError: ``host`` is not a loopback address, or ``default_script`` does not exist.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = DEFAULT_KEY,
        clock: Clock | None = None,
        default_script: Script | str = "completed",
        allow_remote: bool = False,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise ValueError(f"{host!r} is not a loopback address; other machines could reach it")
        self.clock = clock or Clock()
        self._host = host
        self._port = port
        self._store = Store(clock=self.clock, default_script=default_script)
        # Clients of a clock that is moved by hand wait on that clock.
        quota = Quota(self.clock.now) if self.clock.speed == 0 else Quota()
        self._server_state = ServerState(api_key=api_key, public_links=is_loopback(host), quota=quota)
        self._listener: socket.socket | None = None
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the server in a thread of its own."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def bind(self) -> None:
        """Open the socket; from then on the URLs are known."""
        if self._listener is None:
            self._listener = listen(self._host, self._port)
            self._port = self._listener.getsockname()[1]

    def start(self) -> None:
        """Start the server in a thread of its own, and wait until it accepts requests."""
        self.bind()
        server = self._new_server()
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [self._listener]}, name="openai-run-sandbox", daemon=True
        )
        self._thread.start()
        if not server.ready.wait(_START_SECONDS):
            self.stop()
            raise RuntimeError(f"the sandbox did not start within {_START_SECONDS:g} seconds")

    def stop(self) -> None:
        """Stop the server and drop stalled requests. The data stays."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        if self._listener is not None:
            self._listener.close()
        self._server = self._thread = self._listener = None

    def serve(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self.bind()
        server = self._new_server()
        try:
            server.run(sockets=[self._listener] if self._listener is not None else None)
        finally:
            self.stop()

    def _new_server(self) -> Server:
        self._server_state.closing = False
        self._server = Server(build_app(self._store, self._server_state), self._server_state)
        return self._server

    @property
    def base_url(self) -> str:
        """The base URL of the APIs. Known after :meth:`bind` or :meth:`start`."""
        return f"{self._origin}/v1"

    @property
    def admin_url(self) -> str:
        """The base URL of the admin API. Known after :meth:`bind` or :meth:`start`."""
        return f"{self._origin}/_sandbox"

    @property
    def _origin(self) -> str:
        if not self._port:
            raise RuntimeError("the sandbox has no port before it is started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The valid API key; it can be changed while the server runs."""
        return self._server_state.api_key

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        self._server_state.api_key = api_key

    def connection_json(self, *, run_links: bool = False) -> str:
        """
        Return the Airflow connection as JSON, e.g. for ``AIRFLOW_CONN_OPENAI_DEFAULT``.

        :param run_links: whether the link "OpenAI run" of a task opens the run's JSON in the sandbox.
        """
        connection: JsonObject = {"conn_type": "openai", "host": self.base_url, "password": self.api_key}
        if run_links:
            connection["extra"] = {"run_link_template": f"{self._origin}{RUN_LINKS}{{run_id}}"}
        return json.dumps(connection)

    @property
    def airflow_connection_uri(self) -> str:
        """The Airflow connection as a URI."""
        key, host = (urllib.parse.quote(part, safe="") for part in (self.api_key, self.base_url))
        return f"openai://:{key}@{host}"

    @property
    def faults(self) -> Faults:
        """The faults; add them with ``faults.add``."""
        return self._server_state.faults

    @property
    def requests(self) -> list[LoggedRequest]:
        """The received requests, oldest first, without those to the admin API."""
        return list(self._server_state.requests)

    def count(self, method: str = "", path: str = "") -> int:
        """
        Return the number of received requests.

        :param method: HTTP method; any by default.
        :param path: text that the path contains; any by default.
        """
        return sum(method in {"", request.method} and path in request.path for request in self.requests)

    def state(self) -> JsonObject:
        """Return the time, the statuses of all runs and responses by ID, and the faults."""
        return describe_state(self._store, self._server_state)

    def reset(self) -> None:
        """Delete all data, requests, faults and added scripts. The clock goes on."""
        with self._store.lock:
            self._store.reset()
        self._server_state.reset()

    def limit_rate(self, per_second: int | None) -> None:
        """
        Reject requests beyond a rate with 429.

        :param per_second: requests per second, 0 or more; None removes the limit.
        """
        self._server_state.rate_limiter.per_second = per_second

    def limit_responses(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst_seconds: float = 60.0,
    ) -> None:
        """
        Limit the creation of responses as the API does, with its ``x-ratelimit-*`` headers.

        :param requests_per_minute: requests that create a response; None for no limit.
        :param tokens_per_minute: their tokens, estimated as the API does: a token for four characters, and
            ``max_output_tokens``; None for no limit.
        :param burst_seconds: how much can be left at most: what refills in this time.
        """
        self._server_state.quota.limit(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            burst_seconds=burst_seconds,
        )

    @property
    def refused_responses(self) -> int:
        """How many requests were refused since :meth:`limit_responses` was called."""
        return self._server_state.quota.refused
