"""One run, awaited in each mode of the sensor, to compare the outcomes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

OFTEN = {"poll_interval": 1, "max_poll_interval": 1}
SELDOM = {"poll_interval": 5, "max_poll_interval": 5}
MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False, **OFTEN},
    "reschedule": {"mode": "reschedule", "deferrable": False, **SELDOM},
    "deferrable": {"deferrable": True, **OFTEN},
}
TIMEOUT_SECONDS = 6


def waits_in_each_mode(dag_id: str, **options: Any) -> DAG:
    """
    Return a DAG with one sensor for each mode.

    :param dag_id: the DAG.
    :param options: arguments of all sensors.
    """
    with DAG(
        dag_id,
        schedule=None,
        params={"run_id": Param(type="string"), "thread_id": Param(None, type=["null", "string"])},
        default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    ) as dag:
        for name, mode in MODES.items():
            sensor = OpenAIRunSensor(
                task_id=name,
                run_id="{{ params.run_id }}",
                thread_id="{{ params.thread_id }}",
                **mode,
                **options,
            )
            sensor >> EmptyOperator(task_id=f"after_{name}")
    return dag


waits_in_each_mode("waits_in_each_mode")
waits_in_each_mode("skips_in_each_mode", soft_fail=True)
waits_in_each_mode("times_out_in_each_mode", timeout=TIMEOUT_SECONDS)
waits_in_each_mode("times_out_softly_in_each_mode", timeout=TIMEOUT_SECONDS, soft_fail=True)
