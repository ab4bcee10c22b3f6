"""An API, the SDK's client and aiohttp's session for it, all in memory, so that they run in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
import pytest

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    InvalidConnectionError,
    RunRequestError,
)
from airflow_provider_openai_run.triggerer import connection_poller, replay_transport, sdk_client
from airflow_provider_openai_run.triggers import _lazy_import
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.triggerer.virtual_time import Clock

BASE_URL = "http://api.invalid/v1"

Reply = tuple[int, Mapping[str, str], bytes]
"""The HTTP status, the headers and the body of a response."""


class ConnectionCutError(Exception):
    """The connection was closed without a response."""


@dataclass
class ReceivedRequest:
    """
    One request that the API received.

    :param at: the loop's time.
    :param run_id: the last part of its path.
    :param by: ``"sdk"`` or ``"aiohttp"``.
    """

    at: float
    run_id: str
    by: str


@dataclass
class ApiInMemory:
    """
    An API whose runs have the status that the test sets.

    :param key: the API key that it accepts.
    :param airflow_key: the API key of the Airflow connection; None if there is no connection, empty if it is
        invalid.
    :param latency: the seconds until a response.
    :param lookup_seconds: the seconds that a lookup of the connection takes.
    :param status: the runs' statuses by id.
    :param headers: the headers of successful responses.
    :param fault: called with the run's id at each request; returns what to reply instead, ``"cut"``,
        ``"stall"``, or None.
    """

    key: str = "one"
    airflow_key: str | None = "one"
    latency: float = 0.1
    lookup_seconds: float = 0.025
    status: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    fault: Callable[[str], Reply | str | None] = lambda _: None
    requests: list[ReceivedRequest] = field(default_factory=list)
    sent_statuses: dict[str, list[str]] = field(default_factory=dict)
    request_received: asyncio.Event = field(default_factory=asyncio.Event)
    active: int = 0
    max_active: int = 0
    lookups: int = 0
    open: set[object] = field(default_factory=set)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace the SDK, aiohttp and the clocks in the modules under test."""
        api = self

        class Hook:
            settings = SimpleNamespace(proxy=None, run_link_template=None)

            def __init__(self, conn_id: str) -> None:
                self.conn_id = conn_id

            async def aget_conn(self) -> FakeSdkClient:
                return await api.lookup_connection(self.conn_id)

        async def asend(client: FakeSdkClient, request: Request, ref: RunRef, **options: bool) -> ApiResponse:
            assert options == {"retry": False, "quiet": True}
            return await client.send(request, ref)

        async def new_session() -> FakeSession:
            await asyncio.sleep(0.02)
            return FakeSession(api)

        monkeypatch.setattr(sdk_client, "OpenAIRunHook", Hook)
        monkeypatch.setattr(sdk_client, "asend", asend)
        monkeypatch.setattr(replay_transport, "_new_session", new_session)
        for module in (sdk_client, replay_transport, connection_poller):
            monkeypatch.setattr(module, "time", Clock())
        # A virtual loop does not wait for the thread that an import takes.
        monkeypatch.setitem(_lazy_import._imported, connection_poller.__name__, connection_poller)

    async def lookup_connection(self, conn_id: str) -> FakeSdkClient:
        """Return a client with the key of the Airflow connection."""
        self.lookups += 1
        await asyncio.sleep(self.lookup_seconds)
        if self.airflow_key is None:
            raise ConnectionLookupError(f"Airflow does not find connection {conn_id!r}", is_retryable=True)
        if not self.airflow_key:
            raise InvalidConnectionError(f"Connection {conn_id!r}: the password is missing")
        return FakeSdkClient(self, self.airflow_key)

    async def exchange(self, url: str, headers: Mapping[str, str], by: str) -> Reply:
        """Receive a request, and return the reply."""
        run_id = url.rpartition("/")[2]
        self.requests.append(ReceivedRequest(asyncio.get_running_loop().time(), run_id, by))
        self.request_received.set()
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        try:
            await asyncio.sleep(self.latency)
            return await self._faulty_reply(run_id) or self._reply(run_id, headers)
        finally:
            self.active -= 1

    async def _faulty_reply(self, run_id: str) -> Reply | None:
        fault = self.fault(run_id)
        if fault == "stall":
            await asyncio.Event().wait()
        if fault == "cut":
            raise ConnectionCutError
        return fault if isinstance(fault, tuple) else None

    def _reply(self, run_id: str, headers: Mapping[str, str]) -> Reply:
        if headers["authorization"] != f"Bearer {self.key}":
            return 401, {}, b"{}"
        status = self.status.get(run_id)
        if status is None:
            return 404, {}, b"{}"
        self.sent_statuses.setdefault(run_id, []).append(status)
        return 200, self.headers, json.dumps({"id": run_id, "status": status, "output": []}).encode()


class FakeSdkClient:
    """The part of the SDK's async client that the package uses."""

    base_url = BASE_URL
    timeout = 30.0

    def __init__(self, api: ApiInMemory, key: str) -> None:
        self._api = api
        self._key = key
        api.open.add(self)

    async def send(self, request: Request, ref: RunRef) -> ApiResponse:
        """Send a request as ``connection.transport.asend`` does."""
        url = f"{BASE_URL}{request.path}"
        sent_headers = {"authorization": f"Bearer {self._key}", **request.headers}
        try:
            async with asyncio.timeout(self.timeout):
                status, headers, body = await self._api.exchange(url, sent_headers, "sdk")
        except (ConnectionCutError, TimeoutError) as error:
            raise RunRequestError(f"The request for {ref} failed", is_retryable=True) from error
        return ApiResponse(status, headers, body, SentRequest(url, sent_headers))

    async def close(self) -> None:
        await asyncio.sleep(0.01)
        self._api.open.discard(self)


class FakeSession:
    """The part of aiohttp's session that the package uses."""

    def __init__(self, api: ApiInMemory) -> None:
        self._api = api
        api.open.add(self)

    def get(
        self,
        url: Any,
        *,
        headers: Mapping[str, str],
        proxy: str | None,
        timeout: aiohttp.ClientTimeout,
        allow_redirects: bool,
    ) -> _Get:
        assert self in self._api.open
        assert not allow_redirects
        return _Get(self._api, str(url), headers, timeout.total)

    async def close(self) -> None:
        await asyncio.sleep(0.01)
        self._api.open.discard(self)


class _Get:
    status: int
    headers: Mapping[str, str]

    def __init__(self, api: ApiInMemory, url: str, headers: Mapping[str, str], timeout: float | None) -> None:
        self._api = api
        self._url = url
        self._sent_headers = headers
        self._timeout = timeout
        self._body = b""

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._api.exchange(self._url, self._sent_headers, "aiohttp")
        except ConnectionCutError as error:
            raise aiohttp.ServerDisconnectedError from error
        self.status, self.headers, self._body = reply
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def read(self) -> bytes:
        return self._body
