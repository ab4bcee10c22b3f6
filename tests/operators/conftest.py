from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.sandboxed import connect, running_sandbox, sandbox, stopped_time, task_log
from tests.stopped_time import StoppedTime

__all__ = ["connect", "running_sandbox", "sandbox", "stopped_time", "task_log"]

#: Makes the task that retrieves a run or a response of the sandbox: ``getting(run, include_steps=False)``.
Getting = Callable[..., AirflowTask]


@pytest.fixture
def getting(sandbox: Sandbox, stopped_time: StoppedTime) -> Getting:
    def make(run: Mapping[str, Any], *, params: Any = None, **options: Any) -> AirflowTask:
        arguments = {"run_id": run["id"], "thread_id": run.get("thread_id"), "deferrable": False, **options}
        return AirflowTask(
            lambda: OpenAIGetRunOperator(task_id="facts", **arguments), stopped_time, params=params
        )

    return make
