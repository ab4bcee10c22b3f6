"""The replay transport with the real aiohttp and the real SDK, against the sandbox."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggerer.replay_transport import ReplayTransport
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.triggerer.transports import (
    CONN_ID,
    Spy,
    connect,
    create_response,
    create_run,
    headers_of,
    send,
    send_and_check,
)


async def test_a_request_of_the_sdk_is_replayed_for_other_runs(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [create_response(sandbox) for _ in range(5)]
    for ref in refs * 2:
        await send_and_check(transport, ref)
    assert spy.sdk_requests == [refs[0].run_id]
    assert sandbox.count("GET") == 10


@pytest.mark.parametrize("make", [create_response, create_run])
async def test_a_replay_equals_the_request_of_the_sdk(
    make: Any, transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "default_headers": {"x-team": "data", "OpenAI-Beta": "ours=v1"},
        "default_query": {"api-version": "2026-01-01", "odd": "a b&c/d"},
        "organization": "org-1",
        "project": "proj-1",
    }
    connect(monkeypatch, sandbox, extra={"openai_client_kwargs": options})
    ref = make(sandbox)
    for _ in range(3):
        await send_and_check(transport, ref)
    assert len(spy.sdk_requests) == 1
    by_sdk, *repeated = [request for request in sandbox.requests if request.method == "GET"]
    for request in repeated:
        assert (request.path, request.query) == (by_sdk.path, by_sdk.query)
        assert headers_of(request) == headers_of(by_sdk)
    assert by_sdk.headers["x-team"] == "data"
    assert by_sdk.headers["openai-organization"] == "org-1"
    assert "api-version=2026-01-01" in by_sdk.query


async def test_only_requests_for_threads_get_the_beta_header(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [create_response(sandbox), create_run(sandbox), create_response(sandbox), create_run(sandbox)]
    for ref in refs * 3:
        await send_and_check(transport, ref)
    for request in sandbox.requests:
        beta = request.headers.get("openai-beta")
        assert beta == ("assistants=v2" if "/threads/" in request.path else None)
    assert len(spy.sdk_requests) == 2
    assert len(spy.clients) == len(spy.sessions) == 1


@pytest.mark.parametrize(
    "run_id", ["a:b", "a@b", "~a!$&'()*+,;=", "{a}[b]|^`", '"<>"', "läuft", "実行", "a.b-c_d"]
)
async def test_unusual_ids_are_encoded_as_the_sdk_encodes_them(
    run_id: str, transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    plain = create_response(sandbox)
    odd = sandbox.seed_response({**sandbox.create_response(script="in_progress"), "id": run_id})
    for ref in (RunRef("responses", odd["id"]), plain, RunRef("responses", odd["id"])):
        await send_and_check(transport, ref)
    assert spy.sdk_requests == [run_id], "an unusual id does not prevent replays"
    paths = [request.path for request in sandbox.requests]
    assert paths[0] == paths[2] == f"/v1/responses/{run_id}"


async def test_concurrent_first_requests_share_lookup_and_session(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [create_response(sandbox) for _ in range(20)]
    await asyncio.gather(*(send_and_check(transport, ref) for ref in refs))
    assert len(spy.sdk_requests) == len(spy.clients) == len(spy.sessions) == 1


async def test_the_sdk_sends_a_request_every_minute(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = create_response(sandbox)
    for _ in range(13):
        await send_and_check(transport, ref)
        spy.now += 20
    assert len(spy.sdk_requests) == 5
    assert len(spy.clients) == 1


async def test_replays_continue_while_the_sdk_sends_a_request(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    slow, quick = create_response(sandbox), create_response(sandbox)
    await send_and_check(transport, slow)
    spy.now += 61
    sandbox.faults.add("stalled", path=slow.run_id, seconds=5)
    slow_request = asyncio.ensure_future(send_and_check(transport, slow))
    while sandbox.count("GET", slow.run_id) < 2:  # noqa: ASYNC110 - the server has no event to wait for
        await asyncio.sleep(0.01)
    async with asyncio.timeout(3):
        await send_and_check(transport, quick)
    assert spy.sdk_requests == [slow.run_id, slow.run_id]
    slow_request.cancel()


@pytest.mark.parametrize("fault", ["server_error", "bad_gateway", "rate_limited", "not_found", "empty"])
async def test_error_responses_are_returned_as_they_are(
    fault: str, transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = create_response(sandbox)
    expected = {"server_error": 500, "bad_gateway": 502, "rate_limited": 429, "not_found": 404, "empty": 200}
    sandbox.faults.add(fault)
    for _ in range(3):
        assert (await send(transport, ref)).http_status == expected[fault]
    assert len(spy.sdk_requests) == 1


async def test_replays_stop_after_three_failures_that_the_sdk_did_not_have(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    def get(*arguments: object, **_: object) -> None:
        attempts.append(arguments)
        raise aiohttp.ClientConnectionError

    monkeypatch.setattr(aiohttp.ClientSession, "get", get)
    ref = create_response(sandbox)
    for _ in range(8):
        await send_and_check(transport, ref)
    assert len(attempts) == 3
    assert len(spy.sdk_requests) == 8
    await asyncio.gather(*(send_and_check(transport, ref) for _ in range(8)))
    spy.now += 700
    await asyncio.gather(*(send_and_check(transport, ref) for _ in range(8)))
    assert len(attempts) == 3
    assert len(spy.clients) == 2, "concurrent requests share a lookup without aiohttp, too"
    monkeypatch.setattr(sandbox, "api_key", "rotated")
    connect(monkeypatch, sandbox, password="rotated")
    await asyncio.gather(*(send_and_check(transport, ref) for _ in range(8)))
    assert len(spy.clients) == 3


async def test_simultaneous_failures_count_once(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [create_response(sandbox) for _ in range(12)]
    await send_and_check(transport, refs[0])
    get, broken = aiohttp.ClientSession.get, iter(range(len(refs)))

    def get_unless_broken(session: aiohttp.ClientSession, url: Any, **options: Any) -> Any:
        if next(broken, None) is not None:
            raise aiohttp.ClientConnectionError
        return get(session, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "get", get_unless_broken)
    await asyncio.gather(*(send_and_check(transport, ref) for ref in refs))
    for ref in refs:
        await send_and_check(transport, ref)
    assert len(spy.sdk_requests) == 2


async def test_queued_requests_share_the_error_of_a_failed_one(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [create_response(sandbox) for _ in range(12)]
    sandbox.faults.add("cut")
    errors = await asyncio.gather(*(send(transport, ref) for ref in refs), return_exceptions=True)
    for ref, error in zip(refs, errors, strict=True):
        assert isinstance(error, RunRequestError)
        assert error.is_retryable
        assert error.run_id == ref.run_id
        assert ref.run_id in error.message
    assert len(spy.sdk_requests) == 1


async def test_cancelling_a_request_of_the_sdk_does_not_block_others(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref, other = create_response(sandbox), create_response(sandbox)
    sandbox.faults.add("stalled", path=ref.run_id, seconds=20)
    first = asyncio.ensure_future(send(transport, ref))
    while not sandbox.count("GET", ref.run_id):  # noqa: ASYNC110 - the server has no event to wait for
        await asyncio.sleep(0.01)
    second = asyncio.ensure_future(send_and_check(transport, other))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(3):
        await second
    assert first.cancelled()


async def test_closing_an_unused_transport_does_nothing(sandbox: Sandbox, spy: Spy) -> None:
    await ReplayTransport(CONN_ID).close()
    assert (spy.clients, spy.sessions) == ([], [])


async def test_a_list_is_replayed_with_its_own_query(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    run = create_run(sandbox)
    page = AssistantsApi().list_runs(str(run.parent_id), None)
    for _ in range(3):
        await send_and_check(transport, run)
        assert (await transport.send(page, run)).http_status == HTTPStatus.OK
    assert len(spy.sdk_requests) == 2
    sent = [(request.path.rpartition("/")[2], request.query) for request in sandbox.requests]
    assert sent == [(run.run_id, ""), ("runs", "limit=100&order=desc")] * 3


async def test_a_later_page_is_requested_by_the_sdk(
    transport: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    run = create_run(sandbox)
    page = AssistantsApi().list_runs(str(run.parent_id), run.run_id)
    for _ in range(2):
        assert (await transport.send(page, run)).http_status == HTTPStatus.OK
    assert len(spy.sdk_requests) == 2
    assert {request.query for request in sandbox.requests} == {f"limit=100&order=desc&after={run.run_id}"}
