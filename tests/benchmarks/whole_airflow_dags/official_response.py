"""The official provider's operator: it holds a worker while the API responds."""

from __future__ import annotations

from airflow.providers.openai.operators.openai import OpenAIResponseOperator
from airflow.sdk import DAG

from tests.benchmarks.whole_airflow_tasks import TASKS_PER_DAG_RUN

with DAG("official_response", schedule=None):
    for number in range(TASKS_PER_DAG_RUN):
        OpenAIResponseOperator(
            task_id=f"task_{number}",
            conn_id="openai_default",
            model="gpt-5.2",
            input_text=f"Question {number}",
        )
