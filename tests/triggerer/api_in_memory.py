"""An API, the SDK's client and aiohttp's session for it, all in memory: they live in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.http import ApiResponse, SentRequest
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.triggerer import connection_poller as poller_module
from airflow_provider_openai_run.triggerer import replay_transport as repeater_module
from airflow_provider_openai_run.triggerer import sdk_client as client_module
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.triggerer.virtual_time import Clock

BASE_URL = "http://api.invalid/v1"

Reply = tuple[int, Mapping[str, str], bytes]


class CutError(Exception):
    """The connection broke."""


@dataclass
class ReceivedRequest:
    """One request that came in."""

    at: float
    run_id: str
    by: str


@dataclass
class ApiInMemory:
    """
    An API whose runs have the status the test gives them.

    ``trouble`` is asked at each request, and gives what to answer instead, ``"cut"``, ``"stall"``, or None.
    ``key`` is what it takes; ``airflow_key`` is what the connection holds, None where there is no connection.
    """

    key: str = "one"
    airflow_key: str | None = "one"
    latency: float = 0.1
    look_up_takes: float = 0.025
    status: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    trouble: Callable[[str], Reply | str | None] = lambda _: None
    asked: list[ReceivedRequest] = field(default_factory=list)
    served: dict[str, list[str]] = field(default_factory=dict)
    asked_for: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most_under_way: int = 0
    look_ups: int = 0
    open: set[object] = field(default_factory=set)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand where the SDK, aiohttp and the clocks are."""
        api = self

        class Hook:
            settings = SimpleNamespace(proxy=None)

            def __init__(self, conn_id: str) -> None:
                self.conn_id = conn_id

            async def aget_conn(self) -> SdkClient:
                return await api.look_up(self.conn_id)

        async def asend(client: SdkClient, request: Request, ref: RunRef, **options: bool) -> ApiResponse:
            assert options == {"retry": False, "quiet": True}
            return await client.send(request, ref)

        async def new_session() -> Session:
            await asyncio.sleep(0.02)
            return Session(api)

        monkeypatch.setattr(client_module, "OpenAIRunHook", Hook)
        monkeypatch.setattr(client_module, "asend", asend)
        monkeypatch.setattr(repeater_module, "_new_session", new_session)
        for module in (client_module, repeater_module, poller_module):
            monkeypatch.setattr(module, "time", Clock())

    async def look_up(self, conn_id: str) -> SdkClient:
        """Give the client for the connection as it is."""
        self.look_ups += 1
        await asyncio.sleep(self.look_up_takes)
        if self.airflow_key is None:
            raise AirflowException(f"The conn_id `{conn_id}` isn't defined")
        return SdkClient(self, self.airflow_key)

    async def exchange(self, url: str, headers: Mapping[str, str], by: str) -> Reply:
        """Take a request and answer it."""
        run_id = url.rpartition("/")[2]
        self.asked.append(ReceivedRequest(asyncio.get_running_loop().time(), run_id, by))
        self.asked_for.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.latency)
            return await self._answer(run_id, headers)
        finally:
            self.under_way -= 1

    async def _answer(self, run_id: str, headers: Mapping[str, str]) -> Reply:
        trouble = self.trouble(run_id)
        if trouble == "stall":
            await asyncio.Event().wait()
        if trouble == "cut":
            raise CutError
        if isinstance(trouble, tuple):
            return trouble
        if headers["authorization"] != f"Bearer {self.key}":
            return 401, {}, b"{}"
        status = self.status.get(run_id)
        if status is None:
            return 404, {}, b"{}"
        self.served.setdefault(run_id, []).append(status)
        return 200, self.headers, json.dumps({"id": run_id, "status": status, "output": []}).encode()


class SdkClient:
    """What the SDK is to the watcher."""

    base_url = BASE_URL
    timeout = 30.0

    def __init__(self, api: ApiInMemory, key: str) -> None:
        self._api = api
        self._key = key
        api.open.add(self)

    async def send(self, request: Request, ref: RunRef) -> ApiResponse:
        url = f"{BASE_URL}{request.path}"
        headers = {"authorization": f"Bearer {self._key}", **request.headers}
        try:
            async with asyncio.timeout(self.timeout):
                status, told, body = await self._api.exchange(url, headers, "sdk")
        except (CutError, TimeoutError) as error:
            raise RunRequestError(f"The API could not be asked for {ref}", is_retryable=True) from error
        return ApiResponse(status, told, body, SentRequest(url, headers))

    async def close(self) -> None:
        await asyncio.sleep(0.01)
        self._api.open.discard(self)


class Session:
    """What an aiohttp session is to the watcher."""

    def __init__(self, api: ApiInMemory) -> None:
        self._api = api
        api.open.add(self)

    def get(
        self, url: Any, *, headers: Mapping[str, str], proxy: str | None, timeout: aiohttp.ClientTimeout
    ) -> _Get:
        assert self in self._api.open
        return _Get(self._api, str(url), headers, timeout.total)

    async def close(self) -> None:
        await asyncio.sleep(0.01)
        self._api.open.discard(self)


class _Get:
    status: int
    headers: Mapping[str, str]

    def __init__(self, api: ApiInMemory, url: str, headers: Mapping[str, str], timeout: float | None) -> None:
        self._ask = (api, url, headers, timeout)
        self._body = b""

    async def __aenter__(self) -> Self:
        api, url, headers, timeout = self._ask
        try:
            async with asyncio.timeout(timeout):
                self.status, self.headers, self._body = await api.exchange(url, headers, "aiohttp")
        except CutError as error:
            raise aiohttp.ServerDisconnectedError from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def read(self) -> bytes:
        return self._body
