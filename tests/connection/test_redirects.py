"""Redirects: no credential leaves for another host, and a redirect is never taken for a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.api.http import parse_or_raise
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, Reply, a_run, fake_http_server
from tests.hooks.transports import CONN_ID, RESPONSE, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.sandbox_fixtures import KEY

HEADERS = {"Api-Key": "key-1", "X-Api-Key": "key-2", "X-Team-Token": "key-3"}
RUN = {"id": "resp_1", "status": "completed"}


@pytest.fixture
def other() -> Iterator[FakeHttpServer]:
    with fake_http_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _connection(server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"default_headers": HEADERS, "max_retries": 0}
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra={"openai_client_kwargs": options})


def retrieve() -> Any:
    hook = OpenAIRunHook(CONN_ID)
    try:
        return hook.get_run("resp_1")
    finally:
        hook.conn.close()


def retrieve_async() -> Any:
    return asyncio.run(OpenAIRunHook(CONN_ID).aget_run("resp_1"))


def create() -> Any:
    hook = OpenAIRunHook(CONN_ID)
    try:
        return hook.create_response(model="gpt-5.2", input="Hi")
    finally:
        hook.conn.close()


def cancel_from_signal_handler() -> Any:
    hook = OpenAIRunHook(CONN_ID)
    try:
        return hook.cancel_run_from_signal_handler(RESPONSE, timeout=4)
    finally:
        hook.conn.close()


async def _poll(times: int, between: Callable[[], None]) -> Any:
    transport = ReplayTransport(CONN_ID)
    request = api_of(RESPONSE).retrieve(RESPONSE)
    try:
        for poll in range(times):
            if poll == times - 1:
                between()
            response = await transport.send(request, RESPONSE)
    finally:
        await transport.close()
    return parse_or_raise(response, request, RESPONSE, now=0)


def poll_in_triggerer() -> Any:
    return asyncio.run(_poll(1, lambda: None))


CALLS = [retrieve, retrieve_async, create, cancel_from_signal_handler, poll_in_triggerer]


def redirect_to(location: str, status: int = 307) -> Callable[[ReceivedRequest], Reply]:
    return lambda _: (status, RUN, {"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS)
def test_no_request_follows_a_redirect_to_another_host(
    server: FakeHttpServer, other: FakeHttpServer, call: Callable[[], Any], status: int
) -> None:
    server.reply = redirect_to(f"{other.url}/v1/responses/resp_1?token=secret", status)
    with pytest.raises(RunRequestError, match=f"redirects to {other.url} instead of returning") as caught:
        call()
    assert other.requests == []
    assert caught.value.http_status == status
    assert "secret" not in str(caught.value)
    assert "not sent to another host" in str(caught.value)


def test_a_replay_does_not_follow_a_redirect_either(server: FakeHttpServer, other: FakeHttpServer) -> None:
    def begin_to_redirect() -> None:
        server.reply = redirect_to(f"{other.url}/v1/responses/resp_1")

    with pytest.raises(RunRequestError, match=f"redirects to {other.url}"):
        asyncio.run(_poll(3, begin_to_redirect))
    assert other.requests == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("call", CALLS)
def test_a_redirect_without_location_is_not_a_run(
    server: FakeHttpServer, call: Callable[[], Any], status: int
) -> None:
    server.reply = lambda _: (status, RUN if status != 304 else "")
    with pytest.raises(RunRequestError, match=rf"host redirects instead of returning .*\(HTTP {status}\)"):
        call()


@pytest.mark.parametrize("location", ["http://", "http://host:port/", "//\\x", "http://[", "\x7f"])
@pytest.mark.parametrize("call", CALLS)
def test_an_invalid_location_raises_our_error(
    server: FakeHttpServer, call: Callable[[], Any], location: str
) -> None:
    server.reply = redirect_to(location)
    with pytest.raises(RunRequestError):
        call()


@pytest.mark.parametrize("call", [retrieve, retrieve_async, poll_in_triggerer])
def test_a_redirect_to_the_same_host_is_followed(server: FakeHttpServer, call: Callable[[], Any]) -> None:
    def move_once(request: ReceivedRequest) -> Reply:
        if request.path.startswith("/v1/"):
            return 307, "", {"Location": f"/v2{request.path[3:]}"}
        return a_run(request)

    server.reply = move_once
    run = call()
    assert (run["id"] if isinstance(run, dict) else run.id) == "resp_1"
    assert [request.path for request in server.requests] == ["/v1/responses/resp_1", "/v2/responses/resp_1"]
    assert server.requests[-1].headers["x-api-key"] == "key-2"


@pytest.mark.parametrize("call", CALLS)
def test_endless_redirects_are_given_up(server: FakeHttpServer, call: Callable[[], Any]) -> None:
    server.reply = redirect_to(f"{server.url}/v1/again")
    with pytest.raises(RunRequestError, match="redirects"):
        call()
    assert len(server.requests) < 50
