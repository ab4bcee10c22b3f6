"""Repeaters with the real aiohttp and the real SDK, at the sandbox: for tests to import what they use."""

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
from airflow_provider_openai_run.connection import transport
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Clock, Sandbox
from airflow_provider_openai_run.triggerer import replay_transport as repeater_module
from airflow_provider_openai_run.triggerer import sdk_client as client_module
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from airflow_provider_openai_run.types.run_ref import RunRef

CONN_ID = "openai_watched"
VARIABLE = "AIRFLOW_CONN_OPENAI_WATCHED"
#: Headers that belong to one exchange, or that each HTTP library writes in its own way.
OF_THE_TRANSPORT = {"accept-encoding", "connection", "host"}


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
    """Let the connection be one to the sandbox."""
    default = {"conn_type": "openai", "host": sandbox.base_url, "password": sandbox.api_key}
    monkeypatch.setenv(VARIABLE, json.dumps({**default, **connection}))


class Spy:
    """Counts the questions of the SDK, and keeps what was opened."""

    def __init__(self) -> None:
        self.asked_by_sdk: list[str] = []
        self.clients: list[openai.AsyncOpenAI] = []
        self.sessions: list[aiohttp.ClientSession] = []
        self.now = 1000.0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asend, new_session = transport.asend, repeater_module._new_session
        aget_conn = OpenAIRunHook.aget_conn

        async def counted_asend(client: Any, request: Any, ref: RunRef, **options: bool) -> ApiResponse:
            self.asked_by_sdk.append(ref.run_id)
            return await asend(client, request, ref, **options)

        async def kept_session() -> aiohttp.ClientSession:
            self.sessions.append(await new_session())
            return self.sessions[-1]

        async def kept_client(hook: OpenAIRunHook) -> openai.AsyncOpenAI:
            self.clients.append(await aget_conn(hook))
            return self.clients[-1]

        monkeypatch.setattr(client_module, "asend", counted_asend)
        monkeypatch.setattr(repeater_module, "_new_session", kept_session)
        monkeypatch.setattr(OpenAIRunHook, "aget_conn", kept_client)
        clock = SimpleNamespace(monotonic=self._tick)
        monkeypatch.setattr(client_module, "time", clock)
        monkeypatch.setattr(repeater_module, "time", clock)

    def _tick(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    spy.install(monkeypatch)
    return spy


@pytest.fixture
async def repeater(sandbox: Sandbox, spy: Spy) -> AsyncIterator[ReplayTransport]:
    repeater = ReplayTransport(CONN_ID)
    yield repeater
    await repeater.close()
    assert all(client.is_closed() for client in spy.clients)
    assert all(session.closed for session in spy.sessions)


def response(sandbox: Sandbox) -> RunRef:
    return RunRef("responses", sandbox.create_response(script="in_progress")["id"])


def assistants_run(sandbox: Sandbox) -> RunRef:
    run = sandbox.create_run(script="in_progress")
    return RunRef("assistants", run["id"], run["thread_id"])


async def ask(repeater: ReplayTransport, ref: RunRef) -> ApiResponse:
    return await repeater.ask(api_of(ref).retrieve(ref), ref)


async def ask_well(repeater: ReplayTransport, ref: RunRef) -> None:
    answer = await ask(repeater, ref)
    assert answer.http_status == HTTPStatus.OK
    assert json.loads(answer.body)["id"] == ref.run_id


def headers_of(request: Any) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in OF_THE_TRANSPORT}
