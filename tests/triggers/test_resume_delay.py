"""No event resumes a task before Airflow's scheduler has read that its first worker has ended."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.options import MIN_RESUME_DELAY, PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect

#: Seconds, for the spread of polls that are due at once and for the requests themselves.
TOLERANCE = 1.5


def deferred(run: dict[str, Any], clock: FakeClock, **options: Any) -> OpenAIRunTrigger:
    poll_options = PollOptions(started_at=clock.time(), **options)
    ref = run_ref(run["id"], thread_id=run.get("thread_id"))
    return OpenAIRunTrigger.from_poller("openai_default", RunPoller(ref, poll_options))


def seconds_until_event(trigger: OpenAIRunTrigger, clock: FakeClock) -> tuple[float, dict[str, Any]]:
    began = clock.time()
    event = clock.run(only_event(trigger))
    return clock.time() - began, event


@pytest.mark.parametrize("poll_interval", [0.01, 5.0])
def test_a_run_that_ends_at_once_resumes_the_task_after_the_delay(
    sandbox: Sandbox, fake_clock: FakeClock, poll_interval: float
) -> None:
    run = sandbox.create_response(script={"base": "completed", "seconds": 1})
    trigger = deferred(run, fake_clock, poll_interval=poll_interval)

    waited, event = seconds_until_event(trigger, fake_clock)

    assert waited == pytest.approx(MIN_RESUME_DELAY, abs=TOLERANCE)
    assert event["status"] == "completed"
    # A poll before could not have resumed the task.
    assert sandbox.count() == 1


def test_a_deadline_before_the_delay_does_not_resume_the_task_sooner(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    run = sandbox.create_response(script="in_progress")
    trigger = deferred(run, fake_clock, deadline=fake_clock.time() + 3)

    waited, event = seconds_until_event(trigger, fake_clock)

    assert waited == pytest.approx(MIN_RESUME_DELAY, abs=TOLERANCE)
    assert event["error"]["type"] == "RunWaitTimeoutError"


def test_an_invalid_connection_does_not_resume_the_task_sooner(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock
) -> None:
    trigger = deferred(sandbox.create_response(), fake_clock)
    connect(password=None)

    waited, event = seconds_until_event(trigger, fake_clock)

    assert waited == pytest.approx(MIN_RESUME_DELAY, abs=TOLERANCE)
    assert event["error"]["type"] == "InvalidConnectionError"


def test_a_restart_of_the_triggerer_does_not_lengthen_the_delay(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    run = sandbox.create_response(script={"base": "completed", "seconds": 1})
    _, arguments = deferred(run, fake_clock).serialize()
    fake_clock.sleep(MIN_RESUME_DELAY - 4)

    waited, _ = seconds_until_event(OpenAIRunTrigger(**arguments), fake_clock)

    assert waited == pytest.approx(4, abs=TOLERANCE)


def test_a_clock_that_is_ahead_on_the_worker_does_not_lengthen_the_delay(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    run = sandbox.create_response(script={"base": "completed", "seconds": 1})
    _, arguments = deferred(run, fake_clock).serialize()
    arguments["earliest_resume_at"] += 3600

    waited, _ = seconds_until_event(OpenAIRunTrigger(**arguments), fake_clock)

    assert waited == pytest.approx(MIN_RESUME_DELAY, abs=TOLERANCE)


def test_a_run_that_ends_later_is_noticed_as_soon_as_without_the_delay(
    sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    run = sandbox.create_response(script={"base": "completed", "seconds": 25})
    trigger = deferred(run, fake_clock, poll_interval=1, max_poll_interval=1)

    waited, _ = seconds_until_event(trigger, fake_clock)

    assert waited == pytest.approx(26, abs=TOLERANCE)


def test_a_trigger_that_an_older_version_stored_has_no_delay(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run = sandbox.create_response(script={"base": "completed", "seconds": 0.01})
    _, arguments = deferred(run, fake_clock).serialize()
    del arguments["earliest_resume_at"]
    fake_clock.sleep(1)

    waited, _ = seconds_until_event(OpenAIRunTrigger(**arguments), fake_clock)

    assert waited == pytest.approx(0, abs=TOLERANCE)
