"""Tasks that resume late, wait for runs that stall, and hide what they send."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

POLLING: dict[str, Any] = {"deferrable": True, "poll_interval": 0.5, "max_poll_interval": 0.5}
#: The test sets the slots of this pool to 0 while the tasks are deferred.
POOL = "late_workers"


def response(task_id: str, script: str, **options: Any) -> None:
    """
    Add a task whose response the API deletes ten minutes after its end.

    :param task_id: the task's id.
    :param script: the sandbox's script for the response.
    :param options: other arguments of the operator.
    """
    OpenAICreateResponseOperator(
        task_id=task_id,
        model="gpt-late",
        input="{{ params.prompt }}",
        store=False,
        metadata={"sandbox_script": script},
        pool=POOL,
        **{**POLLING, **options},
    )


with DAG("late_workers", schedule=None, params={"run_id": "resp_1", "prompt": "Hi"}):
    response("kept", "late_end", masked_fields=("input",))
    response("kept_of_failed", "late_failure")
    response("retrieved", "late_end", keep_result=False)
    OpenAIGetRunOperator(
        task_id="attributes", run_id="{{ params.run_id }}", wait_for_completion=True, pool=POOL, **POLLING
    )

with DAG("stalled_runs", schedule=None, params={"run_id": Param("resp_1", type="string")}):
    OpenAIRunSensor(task_id="named", run_id="{{ params.run_id }}", timeout=20, stalled_after=2, **POLLING)
    OpenAIRunSensor(
        task_id="failed",
        run_id="{{ params.run_id }}",
        timeout=600,
        stalled_after=2,
        on_stalled="fail",
        retries=2,
        **POLLING,
    )
