"""
Run tasks only once a run has completed; skip them when it ended in any other way.

The sensor occupies no worker while it waits, polls at least every half minute, and never cancels the run,
which it did not create. Without ``soft_fail`` a failed run would fail the DAG. Trigger it with
``thread_id`` and ``run_id``, or with the id of a response as ``run_id`` alone.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "run_id": Param(type="string", minLength=1, description="The run, or the response"),
        "thread_id": Param(None, type=["null", "string"], description="The thread of an Assistants run"),
    },
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_run_gate() -> None:
    """Wait for a run, then run two tasks."""
    # [START howto_sensor_openai_run]
    gate = OpenAIRunSensor(
        task_id="gate",
        thread_id="{{ params.thread_id }}",
        run_id="{{ params.run_id }}",
        deferrable=True,
        poll_interval=2,
        max_poll_interval=30,
        soft_fail=True,
        timeout=timedelta(hours=2),
        retries=2,
    )
    # [END howto_sensor_openai_run]

    @task
    def publish(ended: dict[str, str]) -> None:
        log.info("Publishing the result of %s", ended["run_id"])

    @task
    def notify(ended: dict[str, str]) -> None:
        log.info("%s is %s", ended["run_id"], ended["status"])

    publish(gate.output)
    notify(gate.output)


openai_run_gate()
