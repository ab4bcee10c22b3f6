"""Tasks whose runs are looked at in the UI."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

PACE: dict[str, Any] = {"poll_interval": 1, "max_poll_interval": 1}

with DAG(
    "shows_runs",
    schedule=None,
    params={"run_id": Param(type="string"), "thread_id": Param(None, type=["null", "string"])},
):
    which: dict[str, Any] = {"run_id": "{{ params.run_id }}", "thread_id": "{{ params.thread_id }}"}
    OpenAIRunSensor(
        task_id="wait", deferrable=True, accepted_statuses=["completed", "incomplete"], **which, **PACE
    )
    OpenAIGetRunOperator(task_id="facts", fail_on_unsuccessful=True, include_raw=True, **which)

    @task
    def unrelated() -> dict[str, str]:
        """Give what looks a little like a run, and is none."""
        return {"status": "fine", "model": "T"}

    unrelated()


with DAG("shows_answers", schedule=None, params={"script": Param("completed", type="string")}):
    made = {"deferrable": True, "metadata": {"sandbox_script": "{{ params.script }}"}, **PACE}
    OpenAICreateRunOperator(
        task_id="run",
        assistant_id="asst_1",
        thread={"messages": [{"role": "user", "content": "What is the answer?"}]},
        **made,
    )
    OpenAICreateResponseOperator(task_id="response", model="gpt-5.2", input="What is the answer?", **made)
    OpenAIGetRunOperator.partial(task_id="mapped").expand(run_id=["resp_none"])
