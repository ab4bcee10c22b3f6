"""
Run an assistant on a thread, wait for it without occupying a worker, and use its answer.

A retry continues with the run that an earlier try created; ending the task cancels the run. Trigger it with
``thread_id`` and ``assistant_id``; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAICreateRunOperator, OpenAIGetRunOperator

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "thread_id": Param(type="string", minLength=1, description="The thread to run"),
        "assistant_id": Param(type="string", minLength=1, description="The assistant that answers"),
        "metadata": Param({}, type="object", description="Metadata of the run"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_assistant_run() -> None:
    """Create a run, retrieve it, and report on it."""
    # [START howto_operator_openai_create_run]
    example = OpenAICreateRunOperator(
        task_id="example",
        thread_id="{{ params.thread_id }}",
        assistant_id="{{ params.assistant_id }}",
        metadata="{{ params.metadata }}",
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
    details = OpenAIGetRunOperator(
        task_id="details", thread_id=example.output["thread_id"], run_id=example.output["id"], retries=2
    )

    @task
    def report(run_status: str, run_usage: dict[str, Any] | None, answer: str) -> str:
        tokens = run_usage["total_tokens"] if run_usage else "an unknown number of"
        line = f"{run_status} with {tokens} tokens: {answer}"
        log.info(line)
        return line

    report(details.output["status"], details.output["usage"], example.output["answer"])
    # [END howto_operator_openai_create_run]


openai_assistant_run()
