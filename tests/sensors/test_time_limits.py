"""The smaller of ``timeout`` and ``execution_timeout`` ends a wait, in every mode."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout

from airflow_provider_openai_run import progress
from airflow_provider_openai_run.exceptions import RunWaitTimeoutError
from airflow_provider_openai_run.hooks._run_poll import RunPollHook
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.sensors.conftest import TIMEOUT, MakeSensor

#: The timeout of the sensors of this folder is 100 seconds.
SHORTER = timedelta(seconds=70)
LONGER = timedelta(seconds=130)


def test_a_shorter_execution_timeout_ends_the_wait_and_is_retried(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock, mode: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    started_at = fake_clock.time()
    end = make_sensor(run, mode, execution_timeout=SHORTER).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunWaitTimeoutError)
    assert "after 1 minute 10 seconds, the execution_timeout" in str(end.error)
    assert end.error.run_id == run["id"]
    assert 70 <= fake_clock.time() - started_at < 100


def test_a_shorter_timeout_ends_the_wait_without_a_retry(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock, mode: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_sensor(run, mode, execution_timeout=LONGER).run_to_end()
    assert end.state == "failed"
    assert isinstance(end.error, AirflowSensorTimeout)
    assert "after 1 minute 40 seconds, the timeout" in str(end.error)


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
def test_an_execution_timeout_can_skip_the_task(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str, option: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_sensor(run, mode, execution_timeout=SHORTER, **{option: True}).run_to_end()
    assert end.state == "skipped"


def test_a_run_that_ends_within_both_limits_is_a_success(
    sandbox: Sandbox, make_sensor: MakeSensor, mode: str
) -> None:
    run = sandbox.create_run(script="completed")
    end = make_sensor(run, mode, execution_timeout=SHORTER).run_to_end()
    assert end.state == "success"


def test_airflows_interrupt_of_a_worker_names_run_and_limit(
    sandbox: Sandbox, make_sensor: MakeSensor, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def interrupted(*_: Any) -> None:
        raise AirflowTaskTimeout

    monkeypatch.setattr(RunPollHook, "poll_once", interrupted)
    run = sandbox.create_run(script="in_progress")
    end = make_sensor(run, mode, execution_timeout=SHORTER).begin()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunWaitTimeoutError)
    assert run["id"] in str(end.error)
    assert "the execution_timeout" in str(end.error)


def test_airflow_lets_the_task_be_deferred_longer_than_the_limit(
    sandbox: Sandbox, make_sensor: MakeSensor
) -> None:
    run = sandbox.create_run(script="in_progress")
    deferral = make_sensor(run, "deferrable", execution_timeout=SHORTER).begin().message
    assert SHORTER + timedelta(minutes=1) < deferral.trigger_timeout < SHORTER + timedelta(minutes=3)


def test_a_deferral_that_airflow_ends_at_execution_timeout_is_retried(
    sandbox: Sandbox, make_sensor: MakeSensor
) -> None:
    run = sandbox.create_run(script="in_progress")
    task = make_sensor(run, "deferrable", execution_timeout=SHORTER)
    end = task.time_out(task.begin())
    assert end.state == "up_for_retry"
    assert type(end.error).__name__ == "TaskDeferralTimeout"


def test_an_event_for_another_run_does_not_extend_the_limit(
    sandbox: Sandbox, make_sensor: MakeSensor, fake_clock: FakeClock
) -> None:
    run = sandbox.create_response(script="in_progress")
    task = make_sensor(run, "deferrable")
    first = task.begin()
    fake_clock.sleep(60)
    event = {"run_id": "resp_other", "thread_id": None, "status": "failed"}
    again = task.resume(first, "execute_complete", {**first.message.next_kwargs, "event": event})
    assert again.message.trigger_kwargs["deadline"] == first.message.trigger_kwargs["deadline"]


@pytest.mark.parametrize("own_mode", ["poke", "reschedule"])
def test_a_slow_airflow_does_not_put_its_own_timeout_before_ours(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    own_mode: str,
) -> None:
    # The API server takes long to store the progress.
    monkeypatch.setattr(progress, "push", lambda decision, ti, **_: fake_clock.sleep(TIMEOUT + 1))
    run = sandbox.create_run(script="in_progress")

    end = make_sensor(run, own_mode).run_to_end()

    assert end.state == "failed"
    assert "Gave up waiting" in str(end.error)
