"""Tasks whose server sends text that no codec or database takes."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

with DAG(
    "waits_for_an_unstorable_message",
    schedule=None,
    params={name: Param(type="string") for name in ("failing", "beside", "failing_run", "thread_id")},
):
    for name in ("failing", "beside", "failing_run"):
        OpenAIRunSensor(
            task_id=name,
            run_id=f"{{{{ params.{name} }}}}",
            thread_id="{{ params.thread_id }}" if name == "failing_run" else None,
            deferrable=True,
            poll_interval=1,
            max_poll_interval=1,
        )

with DAG("creates_an_unstorable_answer", schedule=None):
    OpenAICreateResponseOperator(task_id="create", model="gpt-5.2", input="Hi")

with DAG("retrieves_an_unstorable_status", schedule=None):
    OpenAIGetRunOperator(task_id="get", run_id="resp_odd")
