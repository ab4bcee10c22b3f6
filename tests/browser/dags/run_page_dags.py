"""DAGs whose tasks' pages the browser tests open."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

POLLING: dict[str, Any] = {"poll_interval": 1, "max_poll_interval": 1}

with DAG(
    "existing_runs",
    schedule=None,
    params={"run_id": Param(type="string"), "thread_id": Param(None, type=["null", "string"])},
):
    ids: dict[str, Any] = {"run_id": "{{ params.run_id }}", "thread_id": "{{ params.thread_id }}"}
    OpenAIRunSensor(
        task_id="wait", deferrable=True, accepted_statuses=["completed", "incomplete"], **ids, **POLLING
    )
    OpenAIGetRunOperator(task_id="get_run", fail_on_unsuccessful=True, include_raw=True, **ids)

    @task
    def unrelated() -> dict[str, str]:
        """Return a value with some keys of a run that is not a run."""
        return {"status": "fine", "model": "T"}

    unrelated()


with DAG("created_runs", schedule=None, params={"script": Param("completed", type="string")}):
    options: dict[str, Any] = {
        "deferrable": True,
        "metadata": {"sandbox_script": "{{ params.script }}"},
        **POLLING,
    }
    OpenAICreateRunOperator(
        task_id="run",
        assistant_id="asst_1",
        thread={"messages": [{"role": "user", "content": "What is the answer?"}]},
        **options,
    )
    OpenAICreateResponseOperator(task_id="response", model="gpt-5.2", input="What is the answer?", **options)
    OpenAIGetRunOperator.partial(task_id="mapped").expand(run_id=["resp_none"])
