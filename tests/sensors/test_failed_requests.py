"""Failed requests are retried, or fail the task, alike in every mode."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.sensors.conftest import MakeSensor
from tests.sensors.results import assert_result
from tests.task_log import TaskLog


@pytest.mark.parametrize("kind", ["wrong_key", "server_error"])
def test_never_fail_skips_when_requests_fail(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, skip=1)
    task = make_sensor(sandbox.create_run(), mode, never_fail=True, max_consecutive_failures=3)
    assert task.run_to_end().state == "skipped"


@pytest.mark.parametrize(
    ("skip", "soft_fail"), [(0, False), (1, True)], ids=["first poll", "later, with soft_fail"]
)
@pytest.mark.parametrize(
    ("fault", "http_status"),
    [
        ({"kind": "wrong_key"}, 401),
        ({"kind": "forbidden"}, 403),
        ({"kind": "reply", "status": 400}, 400),
    ],
)
def test_a_client_error_fails_the_try_at_once_with_retries(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    mode: str,
    fault: dict[str, Any],
    http_status: int,
    skip: int,
    soft_fail: bool,
) -> None:
    sandbox.faults.add(**fault, skip=skip)
    end = make_sensor(sandbox.create_run(script="in_progress"), mode, soft_fail=soft_fail).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == http_status
    assert end.error.request_id is not None
    assert end.error.request_id in str(end.error)


def test_a_404_just_after_the_start_is_retried(sandbox: Sandbox, make_sensor: MakeSensor, mode: str) -> None:
    sandbox.faults.add("not_found_at_first", times=2)
    run = sandbox.create_run(script="completed")
    end = make_sensor(run, mode, poll_interval=5.0).run_to_end()
    assert_result(end, run, "completed", None, soft_fail=False)


def test_a_404_after_the_grace_period_fails_the_try(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock, mode: str
) -> None:
    started_at = fake_clock.time()
    run = {"id": "run_unknown", "thread_id": sandbox.create_thread()["id"]}
    end = make_sensor(run, mode, poll_interval=5.0).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == 404
    assert 30 < fake_clock.time() - started_at < 90


@pytest.mark.parametrize("kind", ["server_error", "rate_limited", "malformed", "cut"])
def test_max_consecutive_failures_fails_the_try(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, skip=1)
    end = make_sensor(
        sandbox.create_run(script="in_progress"), mode, max_consecutive_failures=3, poll_interval=5.0
    ).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert "3 failed requests in a row" in str(end.error)
    assert sandbox.count() == 4


def test_a_failed_first_poll_counts_as_a_failure(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    sandbox.faults.add("server_error")
    run = sandbox.create_run(script="in_progress")
    make_sensor(run, mode, max_consecutive_failures=3, poll_interval=5.0).run_to_end()
    assert sandbox.count() == 3


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_the_last_status_is_named_if_later_polls_fail(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    sandbox.faults.add("server_error", skip=1)
    run = sandbox.create_run(script="in_progress")
    end = make_sensor(run, mode, max_consecutive_failures=3, poll_interval=5.0).run_to_end()
    assert isinstance(end.error, RunRequestError)
    assert end.error.status == "queued"
    assert "queued" in str(end.error)


@pytest.mark.parametrize("kind", ["bad_gateway", "unavailable", "empty"])
def test_fewer_failures_are_retried_and_logged(
    sandbox: Sandbox, make_sensor: MakeSensor, task_log: TaskLog, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, times=2)
    run = sandbox.create_run(script="completed")
    end = make_sensor(run, mode, max_consecutive_failures=3, poll_interval=5.0).run_to_end()
    assert_result(end, run, "completed", None, soft_fail=False)
    assert any("Failure 1 in a row; polling again in" in text for text in task_log.warnings)


def test_a_success_resets_the_count_of_failures(sandbox: Sandbox, make_sensor: MakeSensor, mode: str) -> None:
    sandbox.faults.add("server_error", every=2)
    run = sandbox.create_run(script={"base": "completed", "seconds": 60})
    end = make_sensor(
        run, mode, max_consecutive_failures=2, poll_interval=1.0, max_poll_interval=1.0
    ).run_to_end()
    assert_result(end, run, "completed", None, soft_fail=False)
    assert sandbox.count() >= 4


@pytest.mark.parametrize("skip", [0, 1], ids=["first poll", "later"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rate_limited", "retry_after": 61},
        {"kind": "rate_limited", "retry_after": 61, "form": "ms"},
        {"kind": "poll_after", "milliseconds": 61_000},
    ],
)
def test_the_delay_that_the_api_requests_is_kept(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    fake_clock: FakeClock,
    mode: str,
    fault: dict[str, Any],
    skip: int,
) -> None:
    sandbox.faults.add(**fault, times=1, skip=skip)
    run = sandbox.create_run(script="in_progress")
    make_sensor(run, mode, poll_interval=5.0, max_poll_interval=5.0, timeout=75).run_to_end()
    assert max(fake_clock.slept) > 60


def test_a_missing_key_fails_the_try_and_names_the_connection(
    sandbox: Sandbox, make_sensor: MakeSensor, connect: Connect, mode: str
) -> None:
    connect(password=None)
    end = make_sensor(sandbox.create_run(), mode).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert "openai_default" in str(end.error)
    assert sandbox.requests == []


def test_a_poll_logs_no_line_of_the_http_library(
    sandbox: Sandbox, make_sensor: MakeSensor, task_log: TaskLog
) -> None:
    make_sensor(sandbox.create_run(script="completed"), "poke").run_to_end()
    assert sandbox.count() == 2
    assert not [text for text in task_log.texts() if "HTTP Request" in text]


def test_the_key_is_neither_logged_nor_stored(
    sandbox: Sandbox, make_sensor: MakeSensor, task_log: TaskLog, mode: str
) -> None:
    sandbox.faults.add("wrong_key", skip=1)
    task: AirflowTask = make_sensor(sandbox.create_run(script="in_progress"), mode)
    first = task.begin()
    end = task.run_to_end()
    for text in (repr(first), repr(end), str(end.error), task_log.everything()):
        assert sandbox.api_key not in text
