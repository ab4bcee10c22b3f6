"""What becomes of keys, tokens, connections and proxies, with the real aiohttp and SDK at the sandbox."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from airflow_provider_openai_run.connection import client
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from tests.triggerer.transports import CONN_ID, VARIABLE, Spy, ask, ask_well, connect, response


async def test_the_connection_is_looked_up_again_after_ten_minutes(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = response(sandbox)
    for _ in range(4):
        await ask_well(repeater, ref)
        spy.now += 301
    assert len(spy.clients) == 2


async def test_a_key_rotated_in_the_connection_is_picked_up_at_once(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [response(sandbox) for _ in range(10)]
    await ask_well(repeater, refs[0])
    monkeypatch.setattr(sandbox, "api_key", "rotated")
    connect(monkeypatch, sandbox, password="rotated")
    await asyncio.gather(*(ask_well(repeater, ref) for ref in refs))
    assert len(spy.clients) == 2
    assert len(spy.asked_by_sdk) == 3, "once before, once refused, once with the new key"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_that_lasts_is_the_answer(
    status: int, repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = response(sandbox)
    await ask_well(repeater, ref)
    sandbox.faults.add("reply", status=status)
    for _ in range(5):
        assert (await ask(repeater, ref)).http_status == status
    assert len(spy.clients) == 2
    sandbox.faults.clear()
    await ask_well(repeater, ref)
    await ask_well(repeater, ref)
    assert spy.asked_by_sdk.count(ref.run_id) <= 8


async def test_a_token_that_is_renewed_is_picked_up(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["token 1", "token 2", "token 3", "token 4"])

    async def token() -> str:
        return next(tokens)

    monkeypatch.setattr(client, "_arguments", lambda *_: {"api_key": token, "base_url": sandbox.base_url})
    ref = response(sandbox)
    monkeypatch.setattr(sandbox, "api_key", "token 1")
    await ask_well(repeater, ref)
    await ask_well(repeater, ref)
    monkeypatch.setattr(sandbox, "api_key", "token 2")
    await ask_well(repeater, ref)
    spy.now += 61
    monkeypatch.setattr(sandbox, "api_key", "token 3")
    await ask_well(repeater, ref)
    assert len(spy.clients) == 1
    assert len(spy.asked_by_sdk) == 3


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
        None,
    ],
)
async def test_a_connection_that_is_no_good_is_named_and_keeps_its_secrets(
    connection: dict[str, Any] | None,
    repeater: ReplayTransport,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if connection is None:
        monkeypatch.delenv(VARIABLE)
    else:
        connect(monkeypatch, sandbox, **{"password": "sk-hidden-away", **connection})
    ref = response(sandbox)
    with pytest.raises(RunAuthenticationError, match=CONN_ID) as raised:
        await ask(repeater, ref)
    assert not raised.value.is_retryable
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "sk-hidden-away" not in told


async def test_a_prepared_request_shows_nothing_of_its_secrets(
    repeater: ReplayTransport, sandbox: Sandbox
) -> None:
    ref = response(sandbox)
    answer = await ask(repeater, ref)
    await ask_well(repeater, ref)
    assert sandbox.api_key not in repr(answer) + repr(vars(repeater)) + repr(answer.sent)


async def test_a_proxy_of_the_environment_is_used(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sandbox takes requests as a proxy gets them, and knows no other host than itself.
    monkeypatch.setenv("http_proxy", sandbox.base_url.removesuffix("/v1"))
    connect(monkeypatch, sandbox, host="http://api.invalid/v1")
    ref = response(sandbox)
    for _ in range(3):
        await ask_well(repeater, ref)
    assert len(spy.asked_by_sdk) == 1
    assert {request.headers["host"] for request in sandbox.requests} == {"api.invalid"}


async def test_hosts_the_environment_excepts_from_its_proxy_are_asked_straight(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ref = response(sandbox)
    for _ in range(3):
        await ask_well(repeater, ref)
    assert len(spy.asked_by_sdk) == 1


async def test_the_connections_own_timeout_holds_for_repeated_questions(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, extra={"openai_client_kwargs": {"timeout": 0.3}})
    ref = response(sandbox)
    await ask_well(repeater, ref)
    sandbox.faults.add("stalled", seconds=20)
    async with asyncio.timeout(5):
        with pytest.raises(RunRequestError) as raised:
            await ask(repeater, ref)
    assert raised.value.is_retryable
