from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock

#: Creates the task that retrieves a run or a response: ``make_get_run(run, include_steps=False)``.
MakeGetRun = Callable[..., AirflowTask]


@pytest.fixture
def make_get_run(sandbox: Sandbox, fake_clock: FakeClock) -> MakeGetRun:
    def make(run: Mapping[str, Any], *, params: Any = None, **options: Any) -> AirflowTask:
        arguments = {"run_id": run["id"], "thread_id": run.get("thread_id"), "deferrable": False, **options}
        return AirflowTask(
            lambda: OpenAIGetRunOperator(task_id="details", **arguments), fake_clock, params=params
        )

    return make
