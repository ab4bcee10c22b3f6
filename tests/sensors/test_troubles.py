"""What a sensor bears, and what it does not, is the same whichever way it waits."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import (
    RunRequestError,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.sensors.conftest import Waiting
from tests.sensors.ends import assert_end
from tests.task_log import TaskLog


@pytest.mark.parametrize("kind", ["wrong_key", "server_error"])
def test_never_fail_skips_when_the_api_cannot_be_asked(
    sandbox: Sandbox, waiting: Waiting, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, skip=1)
    task = waiting(sandbox.create_run(), mode, never_fail=True, max_consecutive_failures=3)
    assert task.to_its_end().state == "skipped"


@pytest.mark.parametrize(
    ("skip", "soft_fail"), [(0, False), (1, True)], ids=["at the first look", "later, with soft_fail"]
)
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
    sandbox: Sandbox, waiting: Waiting, fake_clock: FakeClock, mode: str
) -> None:
    began = fake_clock.time()
    run = {"id": "run_nobody", "thread_id": sandbox.create_thread()["id"]}
    end = waiting(run, mode, poll_interval=5.0).to_its_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == 404
    assert 30 < fake_clock.time() - began < 90


@pytest.mark.parametrize("kind", ["server_error", "rate_limited", "malformed", "cut"])
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


@pytest.mark.parametrize("kind", ["bad_gateway", "unavailable", "empty"])
def test_fewer_failures_are_borne_and_told_in_every_mode(
    sandbox: Sandbox, waiting: Waiting, task_log: TaskLog, mode: str, kind: str
) -> None:
    sandbox.faults.add(kind, times=2)
    run = sandbox.create_run(script="completed")
    end = waiting(run, mode, max_consecutive_failures=3, poll_interval=5.0).to_its_end()
    assert_end(end, run, "completed", None, soft_fail=False)
    assert any("Failure 1 in a row; polling again in" in text for text in task_log.warnings)


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
        {"kind": "poll_after", "milliseconds": 61_000},
    ],
)
def test_what_the_api_asks_to_be_left_alone_for_is_obeyed_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    fake_clock: FakeClock,
    mode: str,
    fault: dict[str, Any],
    skip: int,
) -> None:
    sandbox.faults.add(**fault, times=1, skip=skip)
    run = sandbox.create_run(script="in_progress")
    waiting(run, mode, poll_interval=5.0, max_poll_interval=5.0, timeout=75).to_its_end()
    assert max(fake_clock.slept) > 60


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
