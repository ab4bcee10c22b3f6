"""The sandbox as Python has it: start it, drive it, look into it."""

from __future__ import annotations

import json
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_openai_run.sandbox import assistants, responses, threads
from airflow_provider_openai_run.sandbox.admin import state
from airflow_provider_openai_run.sandbox.app import build_app
from airflow_provider_openai_run.sandbox.clock import Clock
from airflow_provider_openai_run.sandbox.fault_middleware import LoggedRequest, ServerControls
from airflow_provider_openai_run.sandbox.scripts import Json, read_script
from airflow_provider_openai_run.sandbox.server import Server, is_loopback, listen
from airflow_provider_openai_run.sandbox.store import Store

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from airflow_provider_openai_run.sandbox.faults import Faults
    from airflow_provider_openai_run.sandbox.scripts import Script

DEFAULT_KEY = "sandbox-key"
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0


class Sandbox:
    """
    A local server that speaks the Assistants and the Responses API.

    Wherever a script is asked for, its name, its JSON or a :class:`Script` will do.

    :param host: the address to listen on: one of loopback unless ``allow_remote``.
    :param port: the port; a free one when 0.
    :param api_key: the key it takes.
    :param clock: the time its runs live by; the real one unless given.
    :param default_script: what becomes of runs that do not choose a script.
    :param allow_remote: whether it may listen where other machines can reach it.
    :raises ValueError: the host is none of loopback, or there is no such script.
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
            raise ValueError(f"{host!r} is no address of loopback; other machines could reach it")
        self.api_key = api_key
        self.clock = clock or Clock()
        self._host = host
        self._port = port
        self._store = Store(clock=self.clock, default_script=default_script)
        self._door = ServerControls(api_key=api_key)
        self._listener: socket.socket | None = None
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start it in a thread of its own."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def bind(self) -> None:
        """Open its socket; from then on it has an address."""
        if self._listener is None:
            self._listener = listen(self._host, self._port)
            self._port = self._listener.getsockname()[1]

    def start(self) -> None:
        """Start it in a thread of its own; it takes requests when this returns."""
        self.bind()
        server = self._new_server()
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [self._listener]}, name="openai-run-sandbox", daemon=True
        )
        self._thread.start()
        if not server.is_up.wait(_START_SECONDS):
            self.stop()
            raise RuntimeError("the sandbox did not start")

    def stop(self) -> None:
        """Stop it; requests that are being stalled are dropped."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        if self._listener is not None:
            self._listener.close()
        self._server = self._thread = self._listener = None

    def serve(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM ends it."""
        self.bind()
        server = self._new_server()
        try:
            server.run(sockets=[self._listener] if self._listener is not None else None)
        finally:
            self.stop()

    def _new_server(self) -> Server:
        self._door.closing = False
        self._server = Server(build_app(self._store, self._door), self._door)
        return self._server

    @property
    def base_url(self) -> str:
        """The base URL of both APIs; known once it is bound."""
        return f"{self._origin}/v1"

    @property
    def admin_url(self) -> str:
        """The base URL of the sandbox's own addresses; known once it is bound."""
        return f"{self._origin}/_sandbox"

    @property
    def _origin(self) -> str:
        if not self._port:
            raise RuntimeError("the sandbox has no port before it is started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def connection_json(self) -> str:
        """Give the Airflow connection in its JSON form, e.g. for ``AIRFLOW_CONN_OPENAI_DEFAULT``."""
        return json.dumps({"conn_type": "openai", "host": self.base_url, "password": self.api_key})

    @property
    def airflow_connection_uri(self) -> str:
        """The Airflow connection in its URI form."""
        key, host = (urllib.parse.quote(part, safe="") for part in (self.api_key, self.base_url))
        return f"openai://:{key}@{host}"

    @property
    def faults(self) -> Faults:
        """What goes wrong on demand."""
        return self._door.faults

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests that came in, oldest first; those of the admin API are left out."""
        return list(self._door.requests)

    def count(self, method: str = "", path: str = "") -> int:
        """
        Count the requests that came in.

        :param method: only those of this method.
        :param path: only those whose path contains this.
        """
        return sum(method in {"", request.method} and path in request.path for request in self.requests)

    def state(self) -> Json:
        """Tell how things stand: the time, every run and response with its status, the faults."""
        return state(self._store, self._door)

    def reset(self) -> None:
        """Be as at the start, without threads, runs, responses, requests and faults; the clock goes on."""
        with self._store.lock:
            self._store.reset()
        self._door.reset()

    def limit_rate(self, per_second: int | None) -> None:
        """
        Answer 429 to what goes beyond so many requests in a second.

        :param per_second: how many; None ends the limit.
        """
        self._door.rate_limiter.per_second = per_second

    def add_script(self, name: str, script: Script | str | Mapping[str, Any]) -> Script:
        """
        Give a script a name.

        :param name: the name.
        :param script: the script.
        """
        self._store.scripts[name] = read_script(script, self._store.scripts)
        return self._store.scripts[name]

    def set_default_script(self, script: Script | str | Mapping[str, Any]) -> None:
        """
        Say what becomes of runs that do not choose a script.

        :param script: the script.
        """
        self._store.default_script = read_script(script, self._store.scripts)

    @property
    def scripts(self) -> dict[str, Script]:
        """The scripts that have names."""
        return dict(self._store.scripts)

    def create_thread(self, thread_id: str | None = None, *, message: str = "What is the answer?") -> Json:
        """
        Create a thread with one message in it.

        :param thread_id: its id; a new one unless given.
        :param message: what the user says.
        :return: its JSON.
        """
        body = {"messages": [{"role": "user", "content": message}]}
        with self._store.lock:
            return threads.create_thread(self._store, body, thread_id=thread_id)

    def create_run(
        self,
        thread_id: str | None = None,
        *,
        script: Script | str | Mapping[str, Any] | None = None,
        assistant_id: str = "asst_sandbox",
        **params: Any,
    ) -> Json:
        """
        Create a run of the Assistants API.

        :param thread_id: the thread to run; a new one unless given.
        :param script: what becomes of it.
        :param assistant_id: its assistant; any id will do.
        :param params: what else the request would say.
        :return: its JSON.
        """
        with self._store.lock:
            thread_id = thread_id or self.create_thread()["id"]
            body = {"assistant_id": assistant_id, **params}
            return assistants.create_run(self._store, thread_id, body, script=self._script(script))

    def create_response(
        self,
        *,
        script: Script | str | Mapping[str, Any] | None = None,
        background: bool = True,
        model: str = "gpt-4o-mini",
        **params: Any,
    ) -> Json:
        """
        Create a response.

        :param script: what becomes of it.
        :param background: whether it takes its time.
        :param model: its model.
        :param params: what else the request would say.
        :return: its JSON.
        """
        body = {"model": model, "background": background, "input": "What is the answer?", **params}
        with self._store.lock:
            return responses.create_response(self._store, body, script=self._script(script))

    def seed_run(self, run: Json, steps: Sequence[Json] = ()) -> Json:
        """
        Put a run there that is answered exactly as given, with its thread if there is none.

        :param run: its JSON, with ``id`` and ``thread_id``.
        :param steps: its steps' JSON, oldest first.
        """
        with self._store.lock:
            return assistants.seed_run(self._store, run, list(steps))

    def seed_response(self, response: Json, input_items: Sequence[Json] = ()) -> Json:
        """
        Put a response there that is answered exactly as given.

        :param response: its JSON, with ``id``.
        :param input_items: what it was made from, oldest first.
        """
        with self._store.lock:
            return responses.seed_response(self._store, response, list(input_items))

    def _script(self, script: Script | str | Mapping[str, Any] | None) -> Script | None:
        return None if script is None else read_script(script, self._store.scripts)
