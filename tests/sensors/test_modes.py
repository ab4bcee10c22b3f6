"""For the same run a sensor comes to the same end, whichever way it waits."""

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
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox, Script
from tests.fake_clock import FakeClock
from tests.sensors.conftest import TIMEOUT, Waiting
from tests.sensors.ends import assert_end

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


@pytest.mark.parametrize(("script", "status", "error"), RESPONSE_ENDS)
def test_a_response_comes_to_the_same_end_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
) -> None:
    response = sandbox.create_response(script=script)
    end = waiting(response, mode).to_its_end()
    assert_end(end, {"id": response["id"]}, status, error, soft_fail=False)
    assert {request.method for request in sandbox.requests} == {"GET"}


@pytest.mark.parametrize(
    ("script", "status", "error"), [end for end in ENDS if end[2] is not RunWaitTimeoutError]
)
def test_a_run_that_has_ended_is_looked_at_once_in_every_mode(
    sandbox: Sandbox,
    waiting: Waiting,
    fake_clock: FakeClock,
    mode: str,
    script: str,
    status: str,
    error: type[OpenAIRunError] | None,
) -> None:
    run = sandbox.create_run(script=script)
    sandbox.clock.advance(10)
    end = waiting(run, mode).begin()
    assert_end(end, run, status, error, soft_fail=False)
    assert sandbox.count() == 1
    assert fake_clock.slept == []


def test_the_first_end_counts_when_a_run_comes_back_to_life(
    sandbox: Sandbox, waiting: Waiting, mode: str
) -> None:
    phases = ((0, "queued"), (30, "cancelled"), (70, "in_progress"), (90, "completed"))
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
    sandbox: Sandbox, waiting: Waiting, fake_clock: FakeClock, mode: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    began = fake_clock.time()
    end = waiting(run, mode).to_its_end()
    for words in (run["id"], run["thread_id"], "in_progress", "1 minute 40 seconds", "may still go on"):
        assert words in str(end.error)
    assert fake_clock.time() - began >= TIMEOUT


@pytest.mark.parametrize("own_mode", ["poke", "reschedule"])
@pytest.mark.parametrize("slow", ["run_url", "poll_once"])
def test_a_timeout_names_the_run_whatever_took_so_long(
    sandbox: Sandbox,
    waiting: Waiting,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    own_mode: str,
    slow: str,
) -> None:
    quick = getattr(OpenAIRunHook, slow)

    def slowly(hook: OpenAIRunHook, about: Any) -> Any:
        result = quick(hook, about)
        fake_clock.sleep(TIMEOUT)
        return result

    monkeypatch.setattr(OpenAIRunHook, slow, slowly)
    run = sandbox.create_run(script="in_progress")
    end = waiting(run, own_mode).to_its_end()
    assert run["id"] in str(end.error)


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


def test_never_fail_skips_for_an_id_no_request_can_be_made_of(waiting: Waiting, mode: str) -> None:
    task = waiting({"id": "{{ params.gone }}"}, mode, never_fail=True, params={"gone": ""})
    assert task.to_its_end().state == "skipped"
