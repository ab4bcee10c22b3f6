"""A proxy that fails is named, without its password, and reads unlike an API that fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from tests.connection.test_redirects import cancel_from_signal_handler, create, retrieve, retrieve_async
from tests.fake_http_server import FakeHttpServer
from tests.hooks.transports import CONN_ID, RESPONSE, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.sandbox_fixtures import KEY

PASSWORD = "pass-of-the-proxy"
NO_RETRIES = {"openai_client_kwargs": {"max_retries": 0}}


def poll_in_triggerer() -> Any:
    async def poll() -> Any:
        transport = ReplayTransport(CONN_ID)
        try:
            return await transport.send(api_of(RESPONSE).retrieve(RESPONSE), RESPONSE)
        finally:
            await transport.close()

    return asyncio.run(poll())


def wait_for_run() -> Any:
    hook = OpenAIRunHook(CONN_ID)
    try:
        return hook.wait_for_run("resp_1", max_consecutive_failures=1)
    finally:
        hook.conn.close()


CALLS = [retrieve, retrieve_async, create, cancel_from_signal_handler, wait_for_run, poll_in_triggerer]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.mark.parametrize("is_in_environment", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("call", CALLS)
def test_a_dead_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
    closed_port: int,
    call: Callable[[], Any],
    scheme: str,
    is_in_environment: bool,
) -> None:
    proxy = f"http://me:{PASSWORD}@127.0.0.1:{closed_port}"
    if is_in_environment:
        monkeypatch.setenv(f"{scheme}_proxy", proxy)
    extra = NO_RETRIES if is_in_environment else {**NO_RETRIES, "proxy": proxy}
    connect(monkeypatch, host=f"{scheme}://runs.example/v1", password=KEY, extra=extra)
    with pytest.raises(RunRequestError) as caught:
        call()
    message = str(caught.value)
    assert "got no response from runs.example: " in message
    assert f"the connection through the proxy http://127.0.0.1:{closed_port} failed: " in message
    assert PASSWORD not in message


@pytest.mark.parametrize("call", CALLS)
def test_a_dead_api_without_a_proxy_names_no_proxy(
    monkeypatch: pytest.MonkeyPatch, closed_port: int, call: Callable[[], Any]
) -> None:
    connect(monkeypatch, host=f"http://127.0.0.1:{closed_port}/v1", password=KEY, extra=NO_RETRIES)
    with pytest.raises(RunRequestError, match=f"got no response from 127.0.0.1:{closed_port}") as caught:
        call()
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_an_api_that_the_environment_exempts_names_no_proxy(
    monkeypatch: pytest.MonkeyPatch, closed_port: int, call: Callable[[], Any]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    connect(monkeypatch, host=f"http://127.0.0.1:{closed_port}/v1", password=KEY, extra=NO_RETRIES)
    with pytest.raises(RunRequestError, match=f"got no response from 127.0.0.1:{closed_port}") as caught:
        call()
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize("status", [403, 407, 502, 503])
@pytest.mark.parametrize("call", CALLS)
def test_a_proxy_that_refuses_a_tunnel_is_named(
    monkeypatch: pytest.MonkeyPatch, server: FakeHttpServer, call: Callable[[], Any], status: int
) -> None:
    server.reply = lambda _: (status, "")
    extra = {**NO_RETRIES, "proxy": server.url}
    connect(monkeypatch, host="https://runs.example/v1", password=KEY, extra=extra)
    with pytest.raises(RunRequestError, match=rf"proxy {server.url} failed: {status}"):
        call()


@pytest.mark.parametrize("call", CALLS)
def test_an_invalid_port_of_a_proxy_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:{PASSWORD}@127.0.0.1:99999")
    connect(monkeypatch, host="http://runs.example/v1", password=KEY, extra=NO_RETRIES)
    with pytest.raises(RunRequestError, match=r"proxy http://127\.0\.0\.1:99999 failed: ") as caught:
        call()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("proxy", ["127.0.0.1:99999x", "foo://127.0.0.1:9", "http://", "http://[::1"])
@pytest.mark.parametrize("call", CALLS)
def test_an_unusable_proxy_of_the_environment_raises_our_error(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any], proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    connect(monkeypatch, host="http://runs.example/v1", password=KEY, extra=NO_RETRIES)
    with pytest.raises(RunRequestError):
        call()
