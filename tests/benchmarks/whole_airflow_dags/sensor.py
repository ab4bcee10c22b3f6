"""Deferrable sensors, as most DAGs use them."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.benchmarks.whole_airflow_tasks import TASKS_PER_DAG_RUN

with DAG("sensor", schedule=None):
    for number in range(TASKS_PER_DAG_RUN):
        OpenAIRunSensor(
            task_id=f"task_{number}",
            run_id=f"{{{{ dag_run.conf['run_ids'][{number}] }}}}",
            deferrable=True,
        )
