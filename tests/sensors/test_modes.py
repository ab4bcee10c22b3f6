"""For the same run a sensor has the same result in every mode."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunCancelledError,
    RunExpiredError,
    RunFailedError,
    RunIncompleteError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.hooks._run_poll import RunPollHook
from airflow_provider_openai_run.sandbox import Sandbox, Script
from tests.fake_clock import FakeClock
from tests.sensors.conftest import TIMEOUT, MakeSensor
from tests.sensors.results import assert_result

#: The script of a run, the last status that the sensor reads, and the error it fails with, if any.
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


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(("script", "status", "error"), ENDS)
def test_a_run_has_the_same_result_in_every_mode(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
    soft_fail: bool,
) -> None:
    run = sandbox.create_run(script=script)
    end = make_sensor(run, mode, soft_fail=soft_fail).run_to_end()
    assert_result(end, run, status, error, soft_fail=soft_fail)
    assert {request.method for request in sandbox.requests} == {"GET"}
    assert sandbox.count(path="cancel") == 0


@pytest.mark.parametrize(("script", "status", "error"), RESPONSE_ENDS)
def test_a_response_has_the_same_result_in_every_mode(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
) -> None:
    response = sandbox.create_response(script=script)
    end = make_sensor(response, mode).run_to_end()
    assert_result(end, {"id": response["id"]}, status, error, soft_fail=False)
    assert {request.method for request in sandbox.requests} == {"GET"}


@pytest.mark.parametrize(
    ("script", "status", "error"), [end for end in ENDS if end[2] is not RunWaitTimeoutError]
)
def test_a_run_that_has_ended_is_polled_once_in_every_mode(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    fake_clock: FakeClock,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
) -> None:
    run = sandbox.create_run(script=script)
    sandbox.clock.advance(10)
    end = make_sensor(run, mode).begin()
    assert_result(end, run, status, error, soft_fail=False)
    assert sandbox.count() == 1
    assert fake_clock.slept == []


def test_the_first_terminal_status_counts_in_every_mode(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    phases = ((0, "queued"), (30, "cancelled"), (70, "in_progress"), (90, "completed"))
    run = sandbox.create_run(script=Script(phases=phases))
    end = make_sensor(run, mode).run_to_end()
    assert_result(end, run, "cancelled", RunCancelledError, soft_fail=False)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("on_requires_action", "error"),
    [("wait", RunWaitTimeoutError), ("fail", RunRequiresActionError), ("return", None)],
)
def test_a_required_action_has_the_same_result_in_every_mode(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    mode: str,
    on_requires_action: str,
    error: type[OpenAIRunError] | None,
    soft_fail: bool,
) -> None:
    run = sandbox.create_run(script="requires_action")
    end = make_sensor(run, mode, on_requires_action=on_requires_action, soft_fail=soft_fail).run_to_end()
    assert_result(end, run, "requires_action", error, soft_fail=soft_fail)


def test_the_error_names_the_calls_without_their_arguments(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    run = sandbox.create_run(script="requires_action")
    end = make_sensor(run, mode, on_requires_action="fail").run_to_end()
    assert "get_weather" in str(end.error)
    assert "Oslo" not in str(end.error)


def test_a_timeout_names_the_run_its_status_and_the_limit(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock, mode: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    started_at = fake_clock.time()
    end = make_sensor(run, mode).run_to_end()
    for words in (run["id"], run["thread_id"], "in_progress", "1 minute 40 seconds", "may still be running"):
        assert words in str(end.error)
    assert fake_clock.time() - started_at >= TIMEOUT


@pytest.mark.parametrize("own_mode", ["poke", "reschedule"])
@pytest.mark.parametrize("slow", ["run_url", "poll_once"])
def test_a_timeout_names_the_run_if_a_request_was_slow(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    own_mode: str,
    slow: str,
) -> None:
    method = getattr(RunPollHook, slow)

    def slow_method(hook: RunPollHook, about: Any) -> Any:
        result = method(hook, about)
        fake_clock.sleep(TIMEOUT)
        return result

    monkeypatch.setattr(RunPollHook, slow, slow_method)
    run = sandbox.create_run(script="in_progress")
    end = make_sensor(run, own_mode).run_to_end()
    assert run["id"] in str(end.error)


def test_accepted_statuses_are_successes_in_every_mode(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    run = sandbox.create_run(script="failed")
    end = make_sensor(run, mode, accepted_statuses=("completed", "failed")).run_to_end()
    assert_result(end, run, "failed", None, soft_fail=False)


def test_completed_fails_if_it_is_not_an_accepted_status(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    run = sandbox.create_run(script="completed")
    end = make_sensor(run, mode, accepted_statuses=["cancelled"]).run_to_end()
    assert end.state == "failed"
    assert "ended as completed" in str(end.error)


@pytest.mark.parametrize("script", ["failed", "in_progress", "requires_action"])
def test_never_fail_skips_in_every_mode(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str, script: str
) -> None:
    run = sandbox.create_run(script=script)
    assert make_sensor(run, mode, never_fail=True).run_to_end().state == "skipped"


def test_never_fail_skips_for_an_invalid_id(make_sensor: MakeSensor, mode: str) -> None:
    task = make_sensor({"id": "{{ params.empty }}"}, mode, never_fail=True, params={"empty": ""})
    assert task.run_to_end().state == "skipped"
