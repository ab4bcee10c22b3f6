"""Asking over a connection in each way that this provider asks: for tests to import what they use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, fake_http_server

CONN_ID = "openai_here"
VARIABLE = "AIRFLOW_CONN_OPENAI_HERE"
RESPONSE = RunRef("responses", "resp_1")
RUN = RunRef("assistants", "run_1", "thread_1")

#: The hook, its async twin, the watcher's SDK, and the watcher's repetitions of what that sent.
WAYS = ("sync", "async", "watcher", "repeated", "repeated again")


@pytest.fixture
def api() -> Iterator[FakeHttpServer]:
    with fake_http_server() as api:
        yield api


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Let the connection have these fields, and no others."""
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "openai", **fields}))


def ask_every_way(api: FakeHttpServer, ref: RunRef = RESPONSE) -> dict[str, ReceivedRequest]:
    """Ask for a run in every way, and give what the server was asked."""
    hook = OpenAIRunHook(CONN_ID)
    before = len(api.requests)
    try:
        hook.get_run(ref.run_id, thread_id=ref.parent_id, include_steps=False)
    finally:
        if "conn" in hook.__dict__:
            hook.conn.close()
    asyncio.run(OpenAIRunHook(CONN_ID).aget_run(ref.run_id, thread_id=ref.parent_id, include_steps=False))
    asyncio.run(_watch(ref))
    asked = api.requests[before:]
    assert len(asked) == len(WAYS)
    return dict(zip(WAYS, asked, strict=True))


async def _watch(ref: RunRef) -> None:
    repeater = ReplayTransport(CONN_ID)
    try:
        for _ in range(3):
            answer = await repeater.ask(api_of(ref).retrieve(ref), ref)
            assert answer.http_status == 200
        assert repeater._prepared, "nothing was prepared for repeating"
    finally:
        await repeater.close()
