"""
Create a run of the Assistants API with the hook, wait for it without occupying a worker, and retrieve it.

Trigger it with the ``assistant_id`` of an assistant behind the connection ``openai_default``. A thread is
created with the run.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "assistant_id": Param(type="string", minLength=1, description="The assistant that answers"),
        "question": Param("What is six times seven? Compute it.", type="string"),
        "model": Param(None, type=["null", "string"], description="Instead of the assistant's own model"),
        "metadata": Param({}, type="object", description="Metadata of the run"),
    },
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_run_create_and_retrieve() -> None:
    """Create a run, wait for it, retrieve it, and report on it."""

    # [START howto_hook_openai_create_run]
    @task(multiple_outputs=True)
    def create(params: dict[str, Any] | None = None) -> dict[str, str | None]:
        from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

        values = params or {}
        thread = {"messages": [{"role": "user", "content": values["question"]}]}
        options = {"model": values["model"]} if values["model"] else {}
        run = OpenAIRunHook().create_run(
            assistant_id=values["assistant_id"], thread=thread, metadata=values["metadata"], **options
        )
        return {"thread_id": run.thread_id, "run_id": run.id}

    # [END howto_hook_openai_create_run]

    run = create()
    wait = OpenAIRunSensor(
        task_id="wait",
        thread_id=run["thread_id"],
        run_id=run["run_id"],
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15),
        retries=2,
    )
    attributes = OpenAIGetRunOperator(
        task_id="attributes", thread_id=run["thread_id"], run_id=run["run_id"], retries=2
    )

    @task
    def report(status: str, usage: dict[str, Any] | None, steps: list[dict[str, Any]]) -> str:
        tokens = usage["total_tokens"] if usage else "no"
        line = f"{status} after {len(steps)} steps and {tokens} tokens"
        log.info(line)
        return line

    wait >> attributes
    report(attributes.output["status"], attributes.output["usage"], attributes.output["steps"])


openai_run_create_and_retrieve()
