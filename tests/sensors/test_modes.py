"""For the same run a sensor comes to the same end, whichever way it waits."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunCancelledError,
    RunExpiredError,
    RunFailedError,
    RunIncompleteError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.sandbox import Sandbox, Script
from tests.airflow_task import AirflowTask, Try
from tests.sandboxed import Connect
from tests.sensors.conftest import TIMEOUT, Waiting, ids_of
from tests.stopped_time import StoppedTime
from tests.task_log import TaskLog

#: What becomes of a run; the status in which the sensor leaves it; the error it fails with, if it does.
ENDS: list[tuple[str, str, type[OpenAIRunError] | None]] = [
    ("completed", "completed", None),
    ("unknown_status_then_completed", "completed", None),
    ("failed", "failed", RunFailedError),
    ("cancelled", "cancelled", RunCancelledError),
    ("expired", "expired", RunExpiredError),
    ("incomplete", "incomplete", RunIncompleteError),
    ("queued", "queued", RunWaitTimeoutError),
    ("in_progress", "in_progress", RunWaitTimeoutError),
    ("cancelling", "cancelling", RunWaitTimeoutError),
    ("requires_action", "requires_action", RunWaitTimeoutError),
    ("unknown_status", "paused_by_vendor", RunWaitTimeoutError),
]
RESPONSE_ENDS: list[tuple[str, str, type[OpenAIRunError] | None]] = [
    ("completed", "completed", None),
    ("requires_action", "completed", None),
    ("failed", "failed", RunFailedError),
    ("cancelled", "cancelled", RunCancelledError),
    ("incomplete", "incomplete", RunIncompleteError),
    ("in_progress", "in_progress", RunWaitTimeoutError),
]


def assert_end(
    end: Try, run: dict[str, Any], status: str, error: type[OpenAIRunError] | None, *, soft_fail: bool
) -> None:
    """A run's end is the sensor's: success, skipped, or failed without another try."""
    if error is None:
        assert (end.state, end.error) == ("success", None)
        assert end.xcoms == {"return_value": {**ids_of(run), "status": status}}
        return
    assert end.state == ("skipped" if soft_fail else "failed")
    assert end.xcoms == {}
    if soft_fail:
        assert end.error is None
        return
    assert isinstance(end.error, error)
    assert (end.error.run_id, end.error.thread_id) == (run["id"], run.get("thread_id"))
    assert end.error.status == status
    assert isinstance(end.error, AirflowSensorTimeout) == (error is RunWaitTimeoutError)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(("script", "status", "error"), ENDS)
def test_a_run_comes_to_the_same_end_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
    soft_fail: bool,
) -> None:
    run = sandbox.create_run(script=script)
    end = waiting(run, mode, soft_fail=soft_fail).to_its_end()
    assert_end(end, run, status, error, soft_fail=soft_fail)
    assert {request.method for request in sandbox.requests} == {"GET"}
    assert sandbox.count(path="cancel") == 0


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(("script", "status", "error"), RESPONSE_ENDS)
def test_a_response_comes_to_the_same_end_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
    soft_fail: bool,
) -> None:
    response = sandbox.create_response(script=script)
    end = waiting(response, mode, soft_fail=soft_fail).to_its_end()
    assert_end(end, {"id": response["id"]}, status, error, soft_fail=soft_fail)
    assert {request.method for request in sandbox.requests} == {"GET"}


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("script", "status", "error"), [end for end in ENDS if end[2] is not RunWaitTimeoutError]
)
def test_a_run_that_has_ended_is_looked_at_once_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    stopped_time: StoppedTime,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
    soft_fail: bool,
) -> None:
    run = sandbox.create_run(script=script)
    sandbox.clock.advance(10)
    end = waiting(run, mode, soft_fail=soft_fail).begin()
    assert_end(end, run, status, error, soft_fail=soft_fail)
    assert sandbox.count() == 1
    assert stopped_time.slept == []


def test_the_first_end_counts_when_a_run_comes_back_to_life(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    phases = ((0, "queued"), (25, "cancelled"), (65, "in_progress"), (95, "completed"))
    run = sandbox.create_run(script=Script(phases=phases))
    end = waiting(run, mode).to_its_end()
    assert_end(end, run, "cancelled", RunCancelledError, soft_fail=False)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("on_requires_action", "error"),
    [("wait", RunWaitTimeoutError), ("fail", RunRequiresActionError), ("return", None)],
)
def test_a_run_that_asks_for_something_is_treated_alike_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    mode: str,
    on_requires_action: str,
    error: type[OpenAIRunError] | None,
    soft_fail: bool,
) -> None:
    run = sandbox.create_run(script="requires_action")
    end = waiting(run, mode, on_requires_action=on_requires_action, soft_fail=soft_fail).to_its_end()
    assert_end(end, run, "requires_action", error, soft_fail=soft_fail)


def test_the_failure_names_the_calls_that_a_run_waits_for(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    run = sandbox.create_run(script="requires_action")
    end = waiting(run, mode, on_requires_action="fail").to_its_end()
    assert "get_weather" in str(end.error)
    assert "Oslo" not in str(end.error)


def test_a_timeout_names_the_run_its_last_status_and_the_budget(
    sandbox: Sandbox, waiting: Waiting, stopped_time: StoppedTime, mode: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    began = stopped_time.time()
    end = waiting(run, mode).to_its_end()
    for words in (run["id"], run["thread_id"], "in_progress", "1 minute 40 seconds", "may still go on"):
        assert words in str(end.error)
    assert stopped_time.time() - began >= TIMEOUT


def test_accepted_statuses_are_successes_in_every_mode(sandbox: Sandbox, waiting: Waiting, mode: str) -> None:
    run = sandbox.create_run(script="failed")
    end = waiting(run, mode, accepted_statuses=("completed", "failed")).to_its_end()
    assert_end(end, run, "failed", None, soft_fail=False)


def test_completed_is_no_success_where_it_is_not_accepted(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    run = sandbox.create_run(script="completed")
    end = waiting(run, mode, accepted_statuses=["cancelled"]).to_its_end()
    assert end.state == "failed"
    assert "ended as completed" in str(end.error)


@pytest.mark.parametrize("script", ["failed", "in_progress", "requires_action"])
def test_never_fail_skips_in_every_mode(sandbox: Sandbox, waiting: Waiting, mode: str, script: str) -> None:
    run = sandbox.create_run(script=script)
    assert waiting(run, mode, never_fail=True).to_its_end().state == "skipped"


@pytest.mark.parametrize("kind", ["wrong_key", "server_error"])
def test_never_fail_skips_when_the_api_cannot_be_asked(
    sandbox: Sandbox, waiting: Waiting, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, skip=1)
    task = waiting(sandbox.create_run(), mode, never_fail=True, max_consecutive_failures=3)
    assert task.to_its_end().state == "skipped"


def test_never_fail_skips_for_an_id_no_request_can_be_made_of(waiting: Waiting, mode: str) -> None:
    task = waiting({"id": "{{ params.gone }}"}, mode, never_fail=True, params={"gone": ""})
    assert task.to_its_end().state == "skipped"


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("skip", [0, 1], ids=["at the first look", "later"])
@pytest.mark.parametrize(
    ("fault", "http_status"),
    [
        ({"kind": "wrong_key"}, 401),
        ({"kind": "forbidden"}, 403),
        ({"kind": "reply", "status": 400}, 400),
    ],
)
def test_a_refusal_ends_the_try_at_once_and_another_may_follow(
    sandbox: Sandbox,
    waiting: Waiting,
    mode: str,
    fault: dict[str, Any],
    http_status: int,
    skip: int,
    soft_fail: bool,
) -> None:
    sandbox.faults.add(**fault, skip=skip)
    end = waiting(sandbox.create_run(script="in_progress"), mode, soft_fail=soft_fail).to_its_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == http_status
    assert end.error.request_id is not None
    assert end.error.request_id in str(end.error)


def test_a_run_not_there_yet_is_waited_for_in_every_mode(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    sandbox.faults.add("not_found_at_first", times=2)
    run = sandbox.create_run(script="completed")
    end = waiting(run, mode, poll_interval=5.0).to_its_end()
    assert_end(end, run, "completed", None, soft_fail=False)


def test_a_run_that_stays_unknown_ends_the_try_when_the_grace_is_over(
    sandbox: Sandbox, waiting: Waiting, stopped_time: StoppedTime, mode: str
) -> None:
    began = stopped_time.time()
    run = {"id": "run_nobody", "thread_id": sandbox.create_thread()["id"]}
    end = waiting(run, mode, poll_interval=5.0).to_its_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == 404
    assert 30 < stopped_time.time() - began < 90


@pytest.mark.parametrize(
    "kind", ["server_error", "bad_gateway", "unavailable", "rate_limited", "malformed", "empty", "cut"]
)
def test_so_many_failures_in_a_row_end_the_try_in_every_mode(
    sandbox: Sandbox, waiting: Waiting, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, skip=1)
    end = waiting(
        sandbox.create_run(script="in_progress"), mode, max_consecutive_failures=3, poll_interval=5.0
    ).to_its_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert "3 failed requests in a row" in str(end.error)
    assert sandbox.count() == 4


def test_failures_at_the_first_look_count_like_all_others(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    sandbox.faults.add("server_error")
    run = sandbox.create_run(script="in_progress")
    waiting(run, mode, max_consecutive_failures=3, poll_interval=5.0).to_its_end()
    assert sandbox.count() == 3


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_the_last_status_seen_is_named_when_the_api_fails_afterwards(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    sandbox.faults.add("server_error", skip=1)
    run = sandbox.create_run(script="in_progress")
    end = waiting(run, mode, max_consecutive_failures=3, poll_interval=5.0).to_its_end()
    assert isinstance(end.error, RunRequestError)
    assert end.error.status == "queued"
    assert "queued" in str(end.error)


@pytest.mark.parametrize("kind", ["server_error", "bad_gateway", "rate_limited", "malformed", "cut"])
def test_fewer_failures_are_borne_and_told_in_every_mode(
    sandbox: Sandbox, waiting: Waiting, task_log: TaskLog, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, times=2)
    run = sandbox.create_run(script="completed")
    end = waiting(run, mode, max_consecutive_failures=3, poll_interval=5.0).to_its_end()
    assert_end(end, run, "completed", None, soft_fail=False)
    assert any("Failure 1 in a row; asking again in" in text for text in task_log.warnings)
    assert any("Failure 2 in a row; asking again in" in text for text in task_log.warnings)


def test_failures_are_counted_anew_after_a_success(sandbox: Sandbox, waiting: Waiting, mode: str) -> None:
    sandbox.faults.add("server_error", every=2)
    run = sandbox.create_run(script="completed")
    end = waiting(
        run, mode, max_consecutive_failures=2, poll_interval=1.0, max_poll_interval=1.0
    ).to_its_end()
    assert_end(end, run, "completed", None, soft_fail=False)
    assert sandbox.count() >= 4


@pytest.mark.parametrize("skip", [0, 1], ids=["at the first look", "later"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rate_limited", "retry_after": 61},
        {"kind": "rate_limited", "retry_after": 61, "form": "ms"},
        {"kind": "unavailable", "retry_after": 61},
        {"kind": "poll_after", "milliseconds": 61_000},
    ],
)
def test_what_the_api_asks_to_be_left_alone_for_is_obeyed_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    stopped_time: StoppedTime,
    mode: str,
    fault: dict[str, Any],
    skip: int,
) -> None:
    sandbox.faults.add(**fault, times=1, skip=skip)
    run = sandbox.create_run(script="in_progress")
    waiting(run, mode, poll_interval=5.0, max_poll_interval=5.0, timeout=75).to_its_end()
    assert max(stopped_time.slept) > 60


def test_a_missing_key_fails_alike_in_every_mode_and_names_the_connection(
    sandbox: Sandbox, waiting: Waiting, connect: Connect, mode: str
) -> None:
    connect(password=None)
    end = waiting(sandbox.create_run(), mode).to_its_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert "openai_default" in str(end.error)
    assert sandbox.requests == []


def test_no_line_of_the_http_library_comes_into_the_log_for_a_look(
    sandbox: Sandbox, waiting: Waiting, task_log: TaskLog
) -> None:
    waiting(sandbox.create_run(script="completed"), "poke").to_its_end()
    assert sandbox.count() == 2
    assert not [text for text in task_log.texts() if "HTTP Request" in text]


def test_no_key_comes_into_the_log_or_into_what_is_stored(
    sandbox: Sandbox, waiting: Waiting, task_log: TaskLog, mode: str
) -> None:
    sandbox.faults.add("wrong_key", skip=1)
    task: AirflowTask = waiting(sandbox.create_run(script="in_progress"), mode)
    first = task.begin()
    end = task.to_its_end()
    for told in (repr(first), repr(end), str(end.error), task_log.everything()):
        assert sandbox.api_key not in told
