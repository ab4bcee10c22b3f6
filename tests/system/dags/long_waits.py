"""Two waits that are long enough for a restart of the triggerer."""

from __future__ import annotations

from airflow.sdk import Param, dag

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor


@dag(
    schedule=None,
    params={
        "ending_run_id": Param(type="string"),
        "endless_run_id": Param(type="string"),
    },
)
def long_waits() -> None:
    """Wait for a response that ends and for one that does not."""
    OpenAIRunSensor(
        task_id="ending",
        run_id="{{ params.ending_run_id }}",
        deferrable=True,
        poll_interval=1,
        max_poll_interval=1,
    )
    OpenAIRunSensor(
        task_id="endless",
        run_id="{{ params.endless_run_id }}",
        deferrable=True,
        poll_interval=1,
        max_poll_interval=1,
        timeout=45,
        retries=2,
    )


long_waits()
