"""Requests by each way in which this package sends them, for tests to import."""

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

TRANSPORTS = ("hook", "async hook", "triggerer's SDK client", "replay", "second replay")


@pytest.fixture
def server() -> Iterator[FakeHttpServer]:
    with fake_http_server() as running:
        yield running


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Set the fields of the connection ``openai_here``; it has no others."""
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "openai", **fields}))


def retrieve_by_each_transport(server: FakeHttpServer, ref: RunRef = RESPONSE) -> dict[str, ReceivedRequest]:
    """Retrieve a run by each transport, and return the requests that the server received."""
    hook = OpenAIRunHook(CONN_ID)
    earlier = len(server.requests)
    try:
        hook.get_run(ref.run_id, thread_id=ref.parent_id, include_steps=False)
    finally:
        if "conn" in hook.__dict__:
            hook.conn.close()
    asyncio.run(OpenAIRunHook(CONN_ID).aget_run(ref.run_id, thread_id=ref.parent_id, include_steps=False))
    asyncio.run(_retrieve_in_triggerer(ref))
    return dict(zip(TRANSPORTS, server.requests[earlier:], strict=True))


async def _retrieve_in_triggerer(ref: RunRef) -> None:
    transport = ReplayTransport(CONN_ID)
    try:
        for _ in range(3):
            response = await transport.send(api_of(ref).retrieve(ref), ref)
            assert response.http_status == 200
        assert transport._prepared, "no request was kept for replay"
    finally:
        await transport.close()
