"""A response whose body does not end is given up after the connection's timeout."""

from __future__ import annotations

import asyncio
import gc
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_openai_run.connection import http_client
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from tests.fake_http_server import FakeHttpServer
from tests.hooks.transports import CONN_ID, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.sandbox_fixtures import KEY


def get_run() -> Any:
    hook = OpenAIRunHook(CONN_ID)
    try:
        return hook.get_run("resp_1")
    finally:
        hook.conn.close()


def aget_run() -> Any:
    return asyncio.run(OpenAIRunHook(CONN_ID).aget_run("resp_1"))


def wait_for_run() -> Any:
    hook = OpenAIRunHook(CONN_ID)
    try:
        return hook.wait_for_run("resp_1", max_consecutive_failures=1)
    finally:
        hook.conn.close()


def await_for_run() -> Any:
    return asyncio.run(OpenAIRunHook(CONN_ID).await_for_run("resp_1", max_consecutive_failures=1))


@pytest.fixture(autouse=True)
def a_second_per_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes before each chunk of a body."""
    seconds = itertools.count()
    monkeypatch.setattr(http_client, "time", SimpleNamespace(monotonic=lambda: next(seconds)))


def connect_with(timeout: float | None, monkeypatch: pytest.MonkeyPatch, server: FakeHttpServer) -> None:
    options = {"timeout": timeout, "max_retries": 0}
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra={"openai_client_kwargs": options})


@pytest.mark.parametrize("request_run", [get_run, aget_run, wait_for_run, await_for_run])
def test_a_body_that_never_ends_is_given_up(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, request_run: Any
) -> None:
    server.reply = lambda _: (200, itertools.repeat(b" "))
    connect_with(20, monkeypatch, server)
    with pytest.raises(RunRequestError, match="the body did not end within 20 s"):
        request_run()


@pytest.mark.parametrize("request_run", [get_run, aget_run])
@pytest.mark.parametrize("timeout", [20, None])
def test_a_body_that_ends_in_time_is_read(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, request_run: Any, timeout: float | None
) -> None:
    connect_with(timeout, monkeypatch, server)
    assert request_run().id == "resp_1"


def test_an_http_client_is_closed_when_it_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    client = http_client.new_http_client(None)
    identity = id(client)
    close = type(client).close

    def recorded(collected: Any) -> None:
        closed.append(id(collected))
        # Clients of earlier tests may be collected too, and have sockets.
        close(collected)

    monkeypatch.setattr(type(client), "close", recorded)
    del client
    gc.collect()
    assert closed.count(identity) == 1
