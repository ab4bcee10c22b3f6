"""Keys, tokens, connections and proxies of the replay transport, with the real aiohttp and SDK."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from airflow_provider_openai_run.connection import client
from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    RunAuthenticationError,
    RunRequestError,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from tests.triggerer.transports import CONN_ID, VARIABLE, Spy, connect, create_response, send, send_and_check


async def test_the_connection_lookup_is_repeated_after_ten_minutes(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = create_response(sandbox)
    for _ in range(4):
        await send_and_check(transport, ref)
        spy.now += 301
    assert len(spy.clients) == 2


async def test_a_key_rotated_in_the_connection_is_used_at_once(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [create_response(sandbox) for _ in range(10)]
    await send_and_check(transport, refs[0])
    monkeypatch.setattr(sandbox, "api_key", "rotated")
    connect(monkeypatch, sandbox, password="rotated")
    await asyncio.gather(*(send_and_check(transport, ref) for ref in refs))
    assert len(spy.clients) == 2
    assert len(spy.sdk_requests) == 3, "the first, the refused one, and the one with the new key"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_lasting_refusal_is_returned(
    status: int, transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = create_response(sandbox)
    await send_and_check(transport, ref)
    sandbox.faults.add("reply", status=status)
    for _ in range(5):
        assert (await send(transport, ref)).http_status == status
    assert len(spy.clients) == 2
    sandbox.faults.clear()
    await send_and_check(transport, ref)
    await send_and_check(transport, ref)
    assert spy.sdk_requests.count(ref.run_id) <= 8


async def test_a_renewed_token_is_used(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["token 1", "token 2", "token 3", "token 4"])

    async def token() -> str:
        return next(tokens)

    monkeypatch.setattr(client, "_arguments", lambda *_: {"api_key": token, "base_url": sandbox.base_url})
    ref = create_response(sandbox)
    monkeypatch.setattr(sandbox, "api_key", "token 1")
    await send_and_check(transport, ref)
    await send_and_check(transport, ref)
    monkeypatch.setattr(sandbox, "api_key", "token 2")
    await send_and_check(transport, ref)
    spy.now += 61
    monkeypatch.setattr(sandbox, "api_key", "token 3")
    await send_and_check(transport, ref)
    assert len(spy.clients) == 1
    assert len(spy.sdk_requests) == 3


@pytest.mark.parametrize(
    "connection",
    [
        {"extra": {"auth_type": "magic"}},
        {"extra": {"auth_type": "workload_identity"}},
        {"extra": {"openai_client_kwargs": {"no_such_option": 1}}},
        {
            "extra": {
                "auth_type": "workload_identity",
                "identity_provider_id": "i",
                "service_account_id": "s",
                "workload_identity_provider": "custom",
                "token_provider": "no.such.module",
            }
        },
        {"password": None},
    ],
)
async def test_an_invalid_connection_is_named_without_its_secrets(
    connection: dict[str, Any],
    transport: ReplayTransport,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(monkeypatch, sandbox, **{"password": "sk-hidden-away", **connection})
    ref = create_response(sandbox)
    with pytest.raises(RunAuthenticationError, match=CONN_ID) as raised:
        await send(transport, ref)
    assert not raised.value.is_retryable
    output = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "sk-hidden-away" not in output


async def test_a_missing_connection_may_return(
    transport: ReplayTransport, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConnectionLookupError, match=CONN_ID) as raised:
        await send(transport, create_response(sandbox))
    assert raised.value.is_retryable


async def test_a_prepared_request_does_not_show_its_secrets(
    transport: ReplayTransport, sandbox: Sandbox
) -> None:
    ref = create_response(sandbox)
    response = await send(transport, ref)
    await send_and_check(transport, ref)
    assert sandbox.api_key not in repr(response) + repr(vars(transport)) + repr(response.sent)


async def test_the_proxy_of_the_environment_is_used(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sandbox accepts requests in the form that a proxy receives, for any host.
    monkeypatch.setenv("http_proxy", sandbox.base_url.removesuffix("/v1"))
    connect(monkeypatch, sandbox, host="http://api.invalid/v1")
    ref = create_response(sandbox)
    for _ in range(3):
        await send_and_check(transport, ref)
    assert len(spy.sdk_requests) == 1
    assert {request.headers["host"] for request in sandbox.requests} == {"api.invalid"}


async def test_no_proxy_of_the_environment_is_respected(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ref = create_response(sandbox)
    for _ in range(3):
        await send_and_check(transport, ref)
    assert len(spy.sdk_requests) == 1


async def test_the_timeout_of_the_connection_holds_for_replays(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, extra={"openai_client_kwargs": {"timeout": 0.3}})
    ref = create_response(sandbox)
    await send_and_check(transport, ref)
    sandbox.faults.add("stalled", seconds=20)
    async with asyncio.timeout(5):
        with pytest.raises(RunRequestError) as raised:
            await send(transport, ref)
    assert raised.value.is_retryable
