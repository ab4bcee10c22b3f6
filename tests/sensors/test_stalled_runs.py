"""A run that does not change ends the wait of a sensor as its timeout does, and is counted."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, Stats

from airflow_provider_openai_run.exceptions import RunStalledError
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.fake_clock import FakeClock
from tests.sensors.conftest import MakeSensor
from tests.task_log import TaskLog

#: The sensors of this folder poll every 50 seconds, and their timeout is 100 seconds.
STALLED = {"stalled_after": 40, "timeout": 400}


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
@pytest.mark.parametrize(
    ("options", "state"),
    [({}, "failed"), ({"soft_fail": True}, "skipped"), ({"never_fail": True}, "skipped")],
)
def test_a_stalled_run_ends_the_wait_without_a_retry(
    sandbox: Sandbox,
    make_sensor: MakeSensor,
    fake_clock: FakeClock,
    mode: str,
    options: dict[str, bool],
    state: str,
) -> None:
    run = sandbox.create_run(script="in_progress")
    started_at = fake_clock.time()
    end = make_sensor(run, mode, on_stalled="fail", retries=3, **STALLED, **options).run_to_end()
    assert end.state == state
    assert fake_clock.time() - started_at < 200
    if state == "failed":
        assert isinstance(end.error, RunStalledError)
        assert isinstance(end.error, AirflowSensorTimeout)
        assert end.error.run_left_running
    assert [request.method for request in sandbox.requests if request.path.endswith("/cancel")] == []


def stats_of(mode: str) -> Any:
    """Return the class of which Airflow sends the metrics, where a task of that mode waits."""
    core = "airflow.observability.stats"
    has_its_own = mode == "deferrable" and find_spec("airflow.observability") and find_spec(core)
    return import_module(core).Stats if has_its_own else Stats


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_a_stalled_run_is_named_and_counted_once(
    sandbox: Sandbox, make_sensor: MakeSensor, task_log: TaskLog, mode: str
) -> None:
    run = sandbox.create_run(script="in_progress")
    with mock.patch.object(stats_of(mode), "incr") as incr:
        end = make_sensor(run, mode, **STALLED).run_to_end()
    assert type(end.error).__name__ == "RunWaitTimeoutError"
    (line,) = [line for line in task_log.warnings if "has not changed for" in line]
    assert run["id"] in line
    counted = [call for call in incr.call_args_list if call.args == ("openai_run.stalled",)]
    assert [call.kwargs for call in counted] == [{"tags": {"api": "assistants"}}]


def test_a_rescheduled_sensor_cannot_know() -> None:
    with pytest.raises(ValueError, match="stalled_after needs deferrable=True or mode='poke'"):
        OpenAIRunSensor(task_id="wait", run_id="resp_1", mode="reschedule", stalled_after=60)
    OpenAIRunSensor(task_id="wait", run_id="resp_1", mode="reschedule", deferrable=True, stalled_after=60)
