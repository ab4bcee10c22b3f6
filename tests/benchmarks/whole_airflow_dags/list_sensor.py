"""One sensor that waits for many runs."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

with DAG("list_sensor", schedule=None, render_template_as_native_obj=True):
    OpenAIRunSensor(task_id="task", run_id="{{ dag_run.conf['run_ids'] }}", deferrable=True)
