"""Tasks with and without a run link."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

POLLING: dict[str, Any] = {"deferrable": True, "poll_interval": 0.5, "max_poll_interval": 0.5}

with DAG("linked_runs", schedule=None, params={"run_id": Param(type="string")}):
    with_console: dict[str, Any] = {"conn_id": "openai_with_console", **POLLING}
    created: dict[str, Any] = {"metadata": {"sandbox_script": "half_a_minute"}, **with_console}
    OpenAICreateRunOperator(
        task_id="run",
        assistant_id="asst_1",
        thread={"messages": [{"role": "user", "content": "Hi"}]},
        **created,
    )
    OpenAICreateResponseOperator(task_id="response", model="gpt-5.2", input="Hi", **created)
    OpenAIRunSensor(task_id="sensor", run_id="{{ params.run_id }}", **with_console)
    OpenAIGetRunOperator(
        task_id="attributes", run_id="{{ params.run_id }}", wait_for_completion=True, **with_console
    )
    OpenAIRunSensor(task_id="without_console", run_id="{{ params.run_id }}", **POLLING)
