from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock

MODES: Mapping[str, Mapping[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {"deferrable": True},
}
TIMEOUT = 100.0
#: Few polls of a run that goes on.
POLL_OPTIONS: Mapping[str, Any] = {"poll_interval": 50.0, "max_poll_interval": 50.0}

#: Creates the task that waits for a run or a response: ``make_sensor(run, "poke", timeout=…)``.
MakeSensor = Callable[..., AirflowTask]


def ids_of(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"run_id": run["id"], "thread_id": run.get("thread_id")}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make_sensor(sandbox: Sandbox, fake_clock: FakeClock) -> MakeSensor:
    def make(run: Mapping[str, Any], mode: str, *, params: Any = None, **options: Any) -> AirflowTask:
        arguments = {"timeout": TIMEOUT, **POLL_OPTIONS, **ids_of(run), **MODES[mode], **options}
        return AirflowTask(lambda: OpenAIRunSensor(task_id="wait", **arguments), fake_clock, params=params)

    return make
