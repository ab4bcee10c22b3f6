"""The hook at a server with faults."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.hooks.conftest import Call
from tests.sandbox_fixtures import KEY, Connect
from tests.task_log import TaskLog


@pytest.fixture
def run(sandbox: Sandbox) -> tuple[str, str]:
    """The thread's id and the run's own, of a run with 257 steps."""
    run = sandbox.create_run(script={"base": "completed", "steps": 257})
    sandbox.clock.advance(3)
    return run["thread_id"], run["id"]


#: The fault, its HTTP status, whether it is retryable, and words of the message.
FAULTS: list[tuple[dict[str, Any], int | None, bool, str]] = [
    ({"kind": "rate_limited", "retry_after": 7}, 429, True, "Rate limit reached"),
    ({"kind": "server_error"}, 500, True, "had an error"),
    ({"kind": "bad_gateway"}, 502, True, "without a JSON body"),
    ({"kind": "unavailable"}, 503, True, "overloaded"),
    ({"kind": "reply", "status": 408}, 408, True, "408"),
    ({"kind": "reply", "status": 409}, 409, True, "409"),
    ({"kind": "reply", "status": 425}, 425, True, "425"),
    ({"kind": "malformed"}, 200, True, "not valid JSON"),
    ({"kind": "empty"}, 200, True, "not valid JSON"),
    ({"kind": "reply", "status": 200, "body": []}, 200, True, "JSON list"),
    ({"kind": "reply", "status": 200, "body": {"object": "thread.run"}}, 200, True, "without 'id'"),
    ({"kind": "cut"}, None, True, "got no response"),
    ({"kind": "stalled"}, None, True, "got no response"),
    ({"kind": "reply", "status": 400}, 400, False, "400"),
    ({"kind": "reply", "status": 400, "body": {"detail": "no such thing"}}, 400, False, "no such thing"),
    ({"kind": "reply", "status": 418, "body": ""}, 418, False, "418"),
    ({"kind": "wrong_key"}, 401, False, "Check the API key"),
    ({"kind": "forbidden"}, 403, False, "Check the API key"),
    ({"kind": "not_found"}, 404, False, "Check run_id"),
]


@pytest.mark.parametrize(("fault", "http_status", "is_retryable", "words"), FAULTS)
def test_each_fault_raises_an_error_that_describes_it(
    sandbox: Sandbox,
    connect: Connect,
    call: Call,
    run: tuple[str, str],
    fault: dict[str, Any],
    http_status: int | None,
    is_retryable: bool,
    words: str,
) -> None:
    if fault["kind"] == "stalled":
        connect(timeout=0.2)
    sandbox.faults.add(**fault)
    with pytest.raises(RunRequestError) as caught:
        call("get_run", run[1], thread_id=run[0])
    error = caught.value
    assert (error.http_status, error.is_retryable) == (http_status, is_retryable)
    assert (error.thread_id, error.run_id) == run
    for part in (*run, words):
        assert part in str(error)
    assert (error.request_id is not None) == (http_status is not None)
    assert error.request_id is None or error.request_id in str(error)
    assert error.retry_after == fault.get("retry_after")


def test_404_and_401_raise_their_own_errors(
    sandbox: Sandbox, connect: Connect, call: Call, run: tuple[str, str]
) -> None:
    with pytest.raises(RunNotFoundError):
        call("get_run", "run_unknown", thread_id=run[0])
    with pytest.raises(RunNotFoundError):
        call("get_run", run_id="resp_unknown")
    connect(password="another-key")
    with pytest.raises(RunAuthenticationError) as caught:
        call("get_run", run[1], thread_id=run[0])
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "malformed", "cut"])
def test_a_fault_on_a_page_of_steps_raises(
    sandbox: Sandbox, call: Call, run: tuple[str, str], kind: str
) -> None:
    sandbox.faults.add(kind, path="/steps", skip=1)
    with pytest.raises(RunRequestError):
        call("get_run", run[1], thread_id=run[0])


def test_the_sdk_retries_a_get_up_to_max_retries(
    sandbox: Sandbox, connect: Connect, call: Call, run: tuple[str, str]
) -> None:
    connect(max_retries=2)
    sandbox.faults.add("rate_limited", times=2, retry_after=0.001, form="ms")
    assert call("get_run", run[1], thread_id=run[0], include_steps=False).status == "completed"
    assert [request.status for request in sandbox.requests] == [429, 429, 200]


def test_a_slow_response_is_read(sandbox: Sandbox, call: Call, run: tuple[str, str]) -> None:
    sandbox.faults.add("slow", seconds=0.05, times=1)
    assert call("get_run", run[1], thread_id=run[0], include_steps=False).status == "completed"


@pytest.mark.parametrize(
    ("kind", "count", "warned"),
    [
        ("duplicate_steps", 257, False),
        ("endless_has_more", 257, None),
        ("stuck_cursor", 100, True),
    ],
)
def test_inconsistent_pages_yield_each_step_once(
    sandbox: Sandbox,
    call: Call,
    run: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
    kind: str,
    count: int,
    warned: bool | None,
) -> None:
    sandbox.faults.add(kind, path="/steps")
    with caplog.at_level(logging.WARNING):
        steps = call("list_steps", run[1], thread_id=run[0])
    assert len(steps) == len({step.id for step in steps}) == count
    assert sandbox.count(path="/steps") <= 4
    if warned is not None:
        assert ("does not advance" in caplog.text) is warned


def test_endless_pages_are_read_up_to_a_limit(
    sandbox: Sandbox,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    run: tuple[str, str],
) -> None:
    _, *others = calls._list_raw.__defaults__ or ()
    monkeypatch.setattr(calls._list_raw, "__defaults__", (3, *others))
    sandbox.faults.add("endless_pages", path="/steps")
    with caplog.at_level(logging.WARNING):
        steps = call("list_steps", run[1], thread_id=run[0])
    assert len(steps) == 300
    assert "after 3 pages" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rate_limited", "retry_after": 3},
        {"kind": "server_error"},
        {"kind": "bad_gateway"},
        {"kind": "unavailable"},
        {"kind": "malformed"},
        {"kind": "empty"},
        {"kind": "cut"},
        {"kind": "not_found"},
    ],
)
def test_a_wait_survives_transient_faults(
    sandbox: Sandbox, fake_clock: FakeClock, call: Call, fault: dict[str, Any]
) -> None:
    sandbox.faults.add(**{"times": 3, **fault})
    run = sandbox.create_run(script="completed")
    assert call("wait_for_run", run["id"], thread_id=run["thread_id"]).status == "completed"


def test_a_wait_survives_a_stalled_server(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, call: Call
) -> None:
    connect(timeout=0.2)
    sandbox.faults.add("stalled", times=1)
    run = sandbox.create_run(script="completed")
    assert call("wait_for_run", run["id"], thread_id=run["thread_id"]).status == "completed"


@pytest.mark.parametrize("kind", ["server_error", "malformed", "cut"])
def test_a_wait_gives_up_after_max_consecutive_failures(
    sandbox: Sandbox, fake_clock: FakeClock, call: Call, run: tuple[str, str], kind: str
) -> None:
    sandbox.faults.add(kind)
    with pytest.raises(RunRequestError, match="3 failed requests in a row"):
        call("wait_for_run", run[1], thread_id=run[0], max_consecutive_failures=3)
    assert sandbox.count() == 3


def test_a_wait_honours_retry_after(sandbox: Sandbox, fake_clock: FakeClock, call: Call) -> None:
    sandbox.faults.add("rate_limited", times=1, retry_after=61)
    run = sandbox.create_run(script="completed")
    call("wait_for_run", run["id"], thread_id=run["thread_id"])
    assert fake_clock.slept[0] >= 61


def test_a_poll_ignores_max_retries_of_the_connection(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, call: Call, run: tuple[str, str]
) -> None:
    connect(max_retries=5)
    sandbox.faults.add("server_error")
    with pytest.raises(RunRequestError):
        call("wait_for_run", run[1], thread_id=run[0], max_consecutive_failures=2)
    assert sandbox.count() == 2


def test_a_timeout_names_the_last_failure(sandbox: Sandbox, fake_clock: FakeClock, call: Call) -> None:
    sandbox.faults.add("server_error", skip=1)
    run = sandbox.create_run(script="in_progress")
    with pytest.raises(RunWaitTimeoutError, match="HTTP 500") as caught:
        call("wait_for_run", run["id"], thread_id=run["thread_id"], timeout=30)
    assert caught.value.status == "queued"


ECHOES = [
    {"kind": "wrong_key"},
    {"kind": "reply", "status": 401, "body": {"error": {"message": f"Incorrect API key provided: {KEY}."}}},
    {"kind": "reply", "status": 401, "body": {"detail": f"Authorization 'Bearer {KEY}' is not known"}},
    {"kind": "reply", "status": 401, "body": {"detail": f"The token {KEY} is not known"}},
    {"kind": "reply", "status": 500, "body": {"error": {"message": f"boom: {KEY}", "code": KEY}}},
    {"kind": "cut"},
    {"kind": "server_error"},
]


def chain(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *chain(error.__cause__ or error.__context__)]


@pytest.mark.parametrize("fault", ECHOES)
@pytest.mark.parametrize("method", ["get_run", "wait_for_run"])
def test_no_error_and_no_log_holds_the_key(
    sandbox: Sandbox,
    fake_clock: FakeClock,
    task_log: TaskLog,
    caplog: pytest.LogCaptureFixture,
    call: Call,
    run: tuple[str, str],
    fault: dict[str, Any],
    method: str,
) -> None:
    sandbox.faults.add(**fault)
    options = {"max_consecutive_failures": 2} if method == "wait_for_run" else {}
    with pytest.raises(OpenAIRunError) as caught:
        call(method, run[1], thread_id=run[0], **options)
    texts = [
        str(caught.value),
        repr(caught.value),
        repr(vars(caught.value)),
        json.dumps(caught.value.to_event()),
    ]
    assert KEY not in "\n".join([*texts, task_log.everything()])


@pytest.mark.parametrize("fault", [ECHOES[0], *ECHOES[-2:]])
def test_no_cause_of_an_error_holds_the_key(
    sandbox: Sandbox, call: Call, run: tuple[str, str], fault: dict[str, Any]
) -> None:
    sandbox.faults.add(**fault)
    with pytest.raises(OpenAIRunError) as caught:
        call("get_run", run[1], thread_id=run[0])
    assert KEY not in "\n".join(f"{error!r} {error}" for error in chain(caught.value))


def test_the_repr_of_the_hook_does_not_hold_the_key(sandbox: Sandbox, run: tuple[str, str]) -> None:
    hook = OpenAIRunHook()
    hook.get_run(run[1], thread_id=run[0], include_steps=False)
    assert KEY not in f"{hook!r} {hook.conn!r} {vars(hook)!r}"
    hook.conn.close()
