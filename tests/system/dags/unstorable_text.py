"""Tasks whose server sends text that no codec or database takes."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

with DAG(
    "waits_for_an_unstorable_message",
    schedule=None,
    params={"failing": Param(type="string"), "beside": Param(type="string")},
):
    for name in ("failing", "beside"):
        OpenAIRunSensor(
            task_id=name,
            run_id=f"{{{{ params.{name} }}}}",
            deferrable=True,
            poll_interval=1,
            max_poll_interval=1,
        )

with DAG("creates_an_unstorable_answer", schedule=None):
    OpenAICreateResponseOperator(task_id="create", model="gpt-5.2", input="Hi")
