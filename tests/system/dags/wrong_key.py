"""Tasks whose connection has an invalid key."""

from __future__ import annotations

from airflow.sdk import Param, dag

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor


@dag(schedule=None, params={"run_id": Param(type="string")})
def wrong_key() -> None:
    """Send a request with the invalid key, from the operator and from the sensor."""
    OpenAIGetRunOperator(task_id="get", run_id="{{ params.run_id }}", conn_id="openai_wrong_key")
    OpenAIRunSensor(
        task_id="wait", run_id="{{ params.run_id }}", conn_id="openai_wrong_key", deferrable=True, timeout=60
    )


wrong_key()
