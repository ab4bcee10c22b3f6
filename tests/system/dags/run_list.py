"""Sensors that wait for many runs at once: the output of mapped tasks."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor


@dag(schedule=None, params={"run_ids": Param([], type="array")})
def run_list() -> None:
    """Wait for all runs, for any, and for two of them."""

    @task
    def run_ids(params: dict[str, Any] | None = None) -> list[str]:
        return list((params or {})["run_ids"])

    @task
    def same(response_id: str) -> str:
        return response_id

    options: dict[str, Any] = {"poll_interval": 1, "max_poll_interval": 1, "deferrable": True}
    ids = same.expand(response_id=run_ids())
    OpenAIRunSensor(task_id="wait_for_all", run_id=ids, **options)
    OpenAIRunSensor(task_id="wait_for_any", run_id=ids, wait_for="any", **options)
    OpenAIRunSensor(task_id="wait_for_two", run_id=ids, wait_for=2, **options)


run_list()
