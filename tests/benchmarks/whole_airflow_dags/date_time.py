"""Airflow's own sensor without a worker: the least that a wait in the triggerer costs."""

from __future__ import annotations

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG

from tests.benchmarks.whole_airflow_tasks import TASKS_PER_DAG_RUN

with DAG("date_time", schedule=None):
    for number in range(TASKS_PER_DAG_RUN):
        DateTimeSensorAsync(
            task_id=f"task_{number}",
            target_time="{{ dag_run.conf['until'] }}",
            start_from_trigger=True,
            end_from_trigger=True,
        )
