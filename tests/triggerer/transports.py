"""Replay transports with the real aiohttp and the real SDK, against the sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
import openai
import pytest

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.connection.transport import asend
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Clock, Sandbox
from airflow_provider_openai_run.triggerer import replay_transport, sdk_client
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from airflow_provider_openai_run.types.run_ref import RunRef

CONN_ID = "openai_watched"
VARIABLE = "AIRFLOW_CONN_OPENAI_WATCHED"
#: Headers of a single hop, or that each HTTP library writes differently.
HOP_HEADERS = {"accept-encoding", "connection", "host"}


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=Clock.manual(start=1_800_000_000.0)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running_sandbox.reset()
    connect(monkeypatch, running_sandbox)
    return running_sandbox


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, **connection: Any) -> None:
    """Set the Airflow connection to the sandbox, with other fields where given."""
    default = {"conn_type": "openai", "host": sandbox.base_url, "password": sandbox.api_key}
    monkeypatch.setenv(VARIABLE, json.dumps({**default, **connection}))


class Spy:
    """Record the requests that the SDK sends, and the clients and sessions that are opened."""

    def __init__(self) -> None:
        self.sdk_requests: list[str] = []
        self.clients: list[openai.AsyncOpenAI] = []
        self.sessions: list[aiohttp.ClientSession] = []
        self.now = 1000.0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Record calls of the modules under test, and replace their clock."""
        new_session = replay_transport._new_session
        aget_conn = OpenAIRunHook.aget_conn

        async def recording_asend(client: Any, request: Any, ref: RunRef, **options: bool) -> ApiResponse:
            self.sdk_requests.append(ref.run_id)
            return await asend(client, request, ref, **options)

        async def recording_session() -> aiohttp.ClientSession:
            self.sessions.append(await new_session())
            return self.sessions[-1]

        async def recording_client(hook: OpenAIRunHook) -> openai.AsyncOpenAI:
            self.clients.append(await aget_conn(hook))
            return self.clients[-1]

        monkeypatch.setattr(sdk_client, "asend", recording_asend)
        monkeypatch.setattr(replay_transport, "_new_session", recording_session)
        monkeypatch.setattr(OpenAIRunHook, "aget_conn", recording_client)
        clock = SimpleNamespace(monotonic=self._tick)
        monkeypatch.setattr(sdk_client, "time", clock)
        monkeypatch.setattr(replay_transport, "time", clock)

    def _tick(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    spy.install(monkeypatch)
    return spy


@pytest.fixture
async def transport(sandbox: Sandbox, spy: Spy) -> AsyncIterator[ReplayTransport]:
    transport = ReplayTransport(CONN_ID)
    yield transport
    await transport.close()
    assert all(client.is_closed() for client in spy.clients)
    assert all(session.closed for session in spy.sessions)


def create_response(sandbox: Sandbox) -> RunRef:
    return RunRef("responses", sandbox.create_response(script="in_progress")["id"])


def create_run(sandbox: Sandbox) -> RunRef:
    run = sandbox.create_run(script="in_progress")
    return RunRef("assistants", run["id"], run["thread_id"])


async def send(transport: ReplayTransport, ref: RunRef) -> ApiResponse:
    return await transport.send(api_of(ref).retrieve(ref), ref)


async def send_and_check(transport: ReplayTransport, ref: RunRef) -> None:
    response = await send(transport, ref)
    assert response.http_status == HTTPStatus.OK
    assert json.loads(response.body)["id"] == ref.run_id


def headers_of(request: Any) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in HOP_HEADERS}
