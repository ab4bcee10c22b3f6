"""Sensors and operators that are mapped over runs."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor


@dag(
    schedule=None,
    params={"responses": Param([], type="array"), "runs": Param([], type="array")},
)
def mapped() -> None:
    """Map over responses by id, and over runs by thread and id."""

    @task
    def responses(params: dict[str, Any] | None = None) -> list[str]:
        return list((params or {})["responses"])

    @task
    def runs(params: dict[str, Any] | None = None) -> list[dict[str, str]]:
        return list((params or {})["runs"])

    options = {"poll_interval": 1, "max_poll_interval": 1, "deferrable": True}
    response_ids = responses()
    wait_for_responses = OpenAIRunSensor.partial(task_id="wait_for_responses", **options).expand(
        run_id=response_ids
    )
    get_responses = OpenAIGetRunOperator.partial(task_id="get_responses").expand(run_id=response_ids)
    run_ids = runs()
    wait_for_runs = OpenAIRunSensor.partial(task_id="wait_for_runs", **options).expand_kwargs(run_ids)
    get_runs = OpenAIGetRunOperator.partial(task_id="get_runs").expand_kwargs(run_ids)

    @task
    def statuses(ended: list[dict[str, Any]]) -> list[str]:
        return [one["status"] for one in ended]

    wait_for_responses >> get_responses
    wait_for_runs >> get_runs
    statuses(get_runs.output)


mapped()
