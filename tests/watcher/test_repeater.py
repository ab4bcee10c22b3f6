"""The real aiohttp and the real SDK, at the sandbox."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
import openai
import pytest

from airflow_provider_openai_run.apis import api_for
from airflow_provider_openai_run.apis.answers import Answer
from airflow_provider_openai_run.exceptions import RunAuthenticationError, RunRequestError
from airflow_provider_openai_run.hooks import sdk
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.run_ref import RunRef
from airflow_provider_openai_run.sandbox import Clock, Sandbox
from airflow_provider_openai_run.watcher import client as client_module
from airflow_provider_openai_run.watcher import repeater as repeater_module
from airflow_provider_openai_run.watcher.repeater import Repeater

CONN_ID = "openai_watched"
VARIABLE = "AIRFLOW_CONN_OPENAI_WATCHED"
#: Headers that belong to one exchange, or that each HTTP library writes in its own way.
OF_THE_TRANSPORT = {"accept-encoding", "connection", "host"}


@pytest.fixture(scope="module")
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
        asend, new_session = sdk.asend, repeater_module._new_session
        aget_conn = OpenAIRunHook.aget_conn

        async def counted_asend(client: Any, request: Any, ref: RunRef, *, once: bool) -> Answer:
            self.asked_by_sdk.append(ref.run_id)
            return await asend(client, request, ref, once=once)

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
async def repeater(sandbox: Sandbox, spy: Spy) -> AsyncIterator[Repeater]:
    repeater = Repeater(CONN_ID)
    yield repeater
    await repeater.close()
    assert all(client.is_closed() for client in spy.clients)
    assert all(session.closed for session in spy.sessions)


def response(sandbox: Sandbox) -> RunRef:
    return RunRef(sandbox.create_response(script="in_progress")["id"])


def assistants_run(sandbox: Sandbox) -> RunRef:
    run = sandbox.create_run(script="in_progress")
    return RunRef(run["id"], run["thread_id"])


async def ask(repeater: Repeater, ref: RunRef) -> Answer:
    return await repeater.ask(api_for(ref.thread_id).retrieve(ref), ref)


async def ask_well(repeater: Repeater, ref: RunRef) -> None:
    answer = await ask(repeater, ref)
    assert answer.http_status == HTTPStatus.OK
    assert json.loads(answer.body)["id"] == ref.run_id


def headers_of(request: Any) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in OF_THE_TRANSPORT}


@pytest.fixture(autouse=True)
def _scripts(running_sandbox: Sandbox) -> None:
    if "in_progress" not in running_sandbox.scripts:
        running_sandbox.add_script("in_progress", {"steps": [], "status": "in_progress"})


async def test_what_the_sdk_asked_once_is_repeated_for_other_runs(
    repeater: Repeater, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox) for _ in range(5)]
    for ref in refs * 2:
        await ask_well(repeater, ref)
    assert spy.asked_by_sdk == [refs[0].run_id]
    assert sandbox.count("GET") == 10


@pytest.mark.parametrize("make", [response, assistants_run])
async def test_a_repeated_question_is_the_same_to_the_api(
    make: Any, repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
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
    repeater: Repeater, sandbox: Sandbox, spy: Spy
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
    run_id: str, repeater: Repeater, sandbox: Sandbox, spy: Spy
) -> None:
    plain = response(sandbox)
    odd = sandbox.seed_response({**sandbox.create_response(script="in_progress"), "id": run_id})
    for ref in (RunRef(odd["id"]), plain, RunRef(odd["id"])):
        await ask_well(repeater, ref)
    assert spy.asked_by_sdk == [run_id], "an odd id is as good as any to prepare a request with"
    paths = [request.path for request in sandbox.requests]
    assert paths[0] == paths[2] == f"/v1/responses/{run_id}"


async def test_many_at_once_at_the_start_cost_one_look_one_look_up_and_one_session(
    repeater: Repeater, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox) for _ in range(20)]
    await asyncio.gather(*(ask_well(repeater, ref) for ref in refs))
    assert len(spy.asked_by_sdk) == len(spy.clients) == len(spy.sessions) == 1


async def test_the_sdk_looks_again_each_minute(repeater: Repeater, sandbox: Sandbox, spy: Spy) -> None:
    ref = response(sandbox)
    for _ in range(13):
        await ask_well(repeater, ref)
        spy.now += 20
    assert len(spy.asked_by_sdk) == 5
    assert len(spy.clients) == 1


async def test_while_the_sdk_looks_again_the_others_go_on(
    repeater: Repeater, sandbox: Sandbox, spy: Spy
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


async def test_the_connection_is_looked_up_again_after_ten_minutes(
    repeater: Repeater, sandbox: Sandbox, spy: Spy
) -> None:
    ref = response(sandbox)
    for _ in range(4):
        await ask_well(repeater, ref)
        spy.now += 301
    assert len(spy.clients) == 2


async def test_a_key_rotated_in_the_connection_is_picked_up_at_once(
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [response(sandbox) for _ in range(10)]
    await ask_well(repeater, refs[0])
    monkeypatch.setattr(sandbox._door, "api_key", "rotated")
    connect(monkeypatch, sandbox, password="rotated")
    await asyncio.gather(*(ask_well(repeater, ref) for ref in refs))
    assert len(spy.clients) == 2
    assert len(spy.asked_by_sdk) == 3, "once before, once refused, once with the new key"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_that_lasts_is_the_answer(
    status: int, repeater: Repeater, sandbox: Sandbox, spy: Spy
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
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["token 1", "token 2", "token 3", "token 4"])

    async def token() -> str:
        return next(tokens)

    monkeypatch.setattr(
        OpenAIRunHook, "_client_kwargs", lambda *_: {"api_key": token, "base_url": sandbox.base_url}
    )
    ref = response(sandbox)
    monkeypatch.setattr(sandbox._door, "api_key", "token 1")
    await ask_well(repeater, ref)
    await ask_well(repeater, ref)
    monkeypatch.setattr(sandbox._door, "api_key", "token 2")
    await ask_well(repeater, ref)
    spy.now += 61
    monkeypatch.setattr(sandbox._door, "api_key", "token 3")
    await ask_well(repeater, ref)
    assert len(spy.clients) == 1
    assert len(spy.asked_by_sdk) == 3


@pytest.mark.parametrize("fault", ["server_error", "bad_gateway", "rate_limited", "not_found", "empty"])
async def test_what_the_api_answers_is_judged_by_others(
    fault: str, repeater: Repeater, sandbox: Sandbox, spy: Spy
) -> None:
    ref = response(sandbox)
    expected = {"server_error": 500, "bad_gateway": 502, "rate_limited": 429, "not_found": 404, "empty": 200}
    sandbox.faults.add(fault)
    for _ in range(3):
        assert (await ask(repeater, ref)).http_status == expected[fault]
    assert len(spy.asked_by_sdk) == 1


async def test_where_aiohttp_does_not_get_through_and_the_sdk_does_aiohttp_is_given_up(
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setattr(sandbox._door, "api_key", "rotated")
    connect(monkeypatch, sandbox, password="rotated")
    await asyncio.gather(*(ask_well(repeater, ref) for _ in range(8)))
    assert len(spy.clients) == 3


async def test_requests_that_break_together_do_not_give_aiohttp_up(
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
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
    repeater: Repeater, sandbox: Sandbox, spy: Spy
) -> None:
    refs = [response(sandbox) for _ in range(12)]
    sandbox.faults.add("cut")
    errors = await asyncio.gather(*(ask(repeater, ref) for ref in refs), return_exceptions=True)
    for ref, error in zip(refs, errors, strict=True):
        assert isinstance(error, RunRequestError)
        assert error.may_pass
        assert error.run_id == ref.run_id
        assert ref.run_id in error.message
    assert len(spy.asked_by_sdk) == 1


async def test_one_cancelled_in_the_middle_of_the_sdks_request_holds_up_nobody(
    repeater: Repeater, sandbox: Sandbox, spy: Spy
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
    repeater: Repeater,
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
    assert not raised.value.may_pass
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "sk-hidden-away" not in told


async def test_a_prepared_request_shows_nothing_of_its_secrets(repeater: Repeater, sandbox: Sandbox) -> None:
    ref = response(sandbox)
    answer = await ask(repeater, ref)
    await ask_well(repeater, ref)
    assert sandbox.api_key not in repr(answer) + repr(vars(repeater)) + repr(answer.sent)


async def test_a_proxy_of_the_environment_is_used(
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
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
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ref = response(sandbox)
    for _ in range(3):
        await ask_well(repeater, ref)
    assert len(spy.asked_by_sdk) == 1


async def test_the_connections_own_timeout_holds_for_repeated_questions(
    repeater: Repeater, sandbox: Sandbox, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, extra={"openai_client_kwargs": {"timeout": 0.3}})
    ref = response(sandbox)
    await ask_well(repeater, ref)
    sandbox.faults.add("stalled", seconds=20)
    async with asyncio.timeout(5):
        with pytest.raises(RunRequestError) as raised:
            await ask(repeater, ref)
    assert raised.value.may_pass


async def test_one_that_was_never_asked_has_nothing_to_close(sandbox: Sandbox, spy: Spy) -> None:
    await Repeater(CONN_ID).close()
    assert (spy.clients, spy.sessions) == ([], [])
