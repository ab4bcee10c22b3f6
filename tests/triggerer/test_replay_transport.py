"""The real aiohttp and the real SDK, at the sandbox."""

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
    ask,
    ask_well,
    assistants_run,
    connect,
    headers_of,
    response,
)


async def test_what_the_sdk_asked_once_is_repeated_for_other_runs(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox) for _ in range(5)]
    for ref in refs * 2:
        await ask_well(repeater, ref)
    assert spy.asked_by_sdk == [refs[0].run_id]
    assert sandbox.count("GET") == 10


@pytest.mark.parametrize("make", [response, assistants_run])
async def test_a_repeated_question_is_the_same_to_the_api(
    make: Any, repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
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
        await ask_well(repeater, ref)
    assert len(spy.asked_by_sdk) == 1
    by_sdk, *repeated = [request for request in sandbox.requests if request.method == "GET"]
    for request in repeated:
        assert (request.path, request.query) == (by_sdk.path, by_sdk.query)
        assert headers_of(request) == headers_of(by_sdk)
    assert by_sdk.headers["x-team"] == "data"
    assert by_sdk.headers["openai-organization"] == "org-1"
    assert "api-version=2026-01-01" in by_sdk.query


async def test_both_apis_live_on_one_connection_and_only_threads_get_the_beta_header(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox), assistants_run(sandbox), response(sandbox), assistants_run(sandbox)]
    for ref in refs * 3:
        await ask_well(repeater, ref)
    for request in sandbox.requests:
        beta = request.headers.get("openai-beta")
        assert beta == ("assistants=v2" if "/threads/" in request.path else None)
    assert len(spy.asked_by_sdk) == 2
    assert len(spy.clients) == len(spy.sessions) == 1


@pytest.mark.parametrize(
    "run_id", ["a:b", "a@b", "~a!$&'()*+,;=", "{a}[b]|^`", '"<>"', "läuft", "実行", "a.b-c_d"]
)
async def test_odd_ids_are_asked_for_as_they_are(
    run_id: str, repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    plain = response(sandbox)
    odd = sandbox.seed_response({**sandbox.create_response(script="in_progress"), "id": run_id})
    for ref in (RunRef("responses", odd["id"]), plain, RunRef("responses", odd["id"])):
        await ask_well(repeater, ref)
    assert spy.asked_by_sdk == [run_id], "an odd id is as good as any to prepare a request with"
    paths = [request.path for request in sandbox.requests]
    assert paths[0] == paths[2] == f"/v1/responses/{run_id}"


async def test_many_at_once_at_the_start_cost_one_look_one_look_up_and_one_session(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox) for _ in range(20)]
    await asyncio.gather(*(ask_well(repeater, ref) for ref in refs))
    assert len(spy.asked_by_sdk) == len(spy.clients) == len(spy.sessions) == 1


async def test_the_sdk_looks_again_each_minute(repeater: ReplayTransport, sandbox: Sandbox, spy: Spy) -> None:
    ref = response(sandbox)
    for _ in range(13):
        await ask_well(repeater, ref)
        spy.now += 20
    assert len(spy.asked_by_sdk) == 5
    assert len(spy.clients) == 1


async def test_while_the_sdk_looks_again_the_others_go_on(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    slow, quick = response(sandbox), response(sandbox)
    await ask_well(repeater, slow)
    spy.now += 61
    sandbox.faults.add("stalled", path=slow.run_id, seconds=5)
    looking = asyncio.ensure_future(ask_well(repeater, slow))
    while sandbox.count("GET", slow.run_id) < 2:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    async with asyncio.timeout(3):
        await ask_well(repeater, quick)
    assert spy.asked_by_sdk == [slow.run_id, slow.run_id]
    looking.cancel()


@pytest.mark.parametrize("fault", ["server_error", "bad_gateway", "rate_limited", "not_found", "empty"])
async def test_what_the_api_answers_is_judged_by_others(
    fault: str, repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref = response(sandbox)
    expected = {"server_error": 500, "bad_gateway": 502, "rate_limited": 429, "not_found": 404, "empty": 200}
    sandbox.faults.add(fault)
    for _ in range(3):
        assert (await ask(repeater, ref)).http_status == expected[fault]
    assert len(spy.asked_by_sdk) == 1


async def test_where_aiohttp_does_not_get_through_and_the_sdk_does_aiohttp_is_given_up(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def get(*arguments: object, **_: object) -> None:
        tries.append(arguments)
        raise aiohttp.ClientConnectionError

    monkeypatch.setattr(aiohttp.ClientSession, "get", get)
    ref = response(sandbox)
    for _ in range(8):
        await ask_well(repeater, ref)
    assert len(tries) == 3
    assert len(spy.asked_by_sdk) == 8
    await asyncio.gather(*(ask_well(repeater, ref) for _ in range(8)))
    spy.now += 700
    await asyncio.gather(*(ask_well(repeater, ref) for _ in range(8)))
    assert len(tries) == 3
    assert len(spy.clients) == 2, "many at once share a look-up without aiohttp, too"
    monkeypatch.setattr(sandbox, "api_key", "rotated")
    connect(monkeypatch, sandbox, password="rotated")
    await asyncio.gather(*(ask_well(repeater, ref) for _ in range(8)))
    assert len(spy.clients) == 3


async def test_requests_that_break_together_do_not_give_aiohttp_up(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [response(sandbox) for _ in range(12)]
    await ask_well(repeater, refs[0])
    get, broken = aiohttp.ClientSession.get, iter(range(len(refs)))

    def get_unless_broken(session: aiohttp.ClientSession, url: Any, **options: Any) -> Any:
        if next(broken, None) is not None:
            raise aiohttp.ClientConnectionError
        return get(session, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "get", get_unless_broken)
    await asyncio.gather(*(ask_well(repeater, ref) for ref in refs))
    for ref in refs:
        await ask_well(repeater, ref)
    assert len(spy.asked_by_sdk) == 2


async def test_when_nothing_gets_through_those_in_line_do_not_all_try(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox) for _ in range(12)]
    sandbox.faults.add("cut")
    errors = await asyncio.gather(*(ask(repeater, ref) for ref in refs), return_exceptions=True)
    for ref, error in zip(refs, errors, strict=True):
        assert isinstance(error, RunRequestError)
        assert error.is_retryable
        assert error.run_id == ref.run_id
        assert ref.run_id in error.message
    assert len(spy.asked_by_sdk) == 1


async def test_one_cancelled_in_the_middle_of_the_sdks_request_holds_up_nobody(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    ref, other = response(sandbox), response(sandbox)
    sandbox.faults.add("stalled", path=ref.run_id, seconds=20)
    first = asyncio.ensure_future(ask(repeater, ref))
    while not sandbox.count("GET", ref.run_id):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    second = asyncio.ensure_future(ask_well(repeater, other))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(3):
        await second
    assert first.cancelled()


async def test_one_that_was_never_asked_has_nothing_to_close(sandbox: Sandbox, spy: Spy) -> None:
    await ReplayTransport(CONN_ID).close()
    assert (spy.clients, spy.sessions) == ([], [])


async def test_a_list_is_repeated_with_its_query_and_apart_from_the_runs(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    run = assistants_run(sandbox)
    page = AssistantsApi().list_runs(str(run.parent_id), None)
    for _ in range(3):
        await ask_well(repeater, run)
        assert (await repeater.ask(page, run)).http_status == HTTPStatus.OK
    assert len(spy.asked_by_sdk) == 2
    asked = [(request.path.rpartition("/")[2], request.query) for request in sandbox.requests]
    assert asked == [(run.run_id, ""), ("runs", "limit=100&order=desc")] * 3


async def test_a_page_further_down_is_asked_for_by_the_sdk(
    repeater: ReplayTransport, sandbox: Sandbox, spy: Spy
) -> None:
    run = assistants_run(sandbox)
    page = AssistantsApi().list_runs(str(run.parent_id), run.run_id)
    for _ in range(2):
        assert (await repeater.ask(page, run)).http_status == HTTPStatus.OK
    assert len(spy.asked_by_sdk) == 2
    assert {request.query for request in sandbox.requests} == {f"limit=100&order=desc&after={run.run_id}"}
