"""
Retrieve a run that something else created, and use its attributes in other tasks.

Trigger it with the run's ids: ``thread_id`` and ``run_id`` for a run of the Assistants API, ``run_id``
alone for a response. The connection ``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator

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
def openai_run_retrieve() -> None:
    """Retrieve a run by its ids, and report on it."""
    # [START howto_operator_openai_get_run]
    attributes = OpenAIGetRunOperator(
        task_id="attributes", thread_id="{{ params.thread_id }}", run_id="{{ params.run_id }}", retries=2
    )

    @task
    def report(name: str, status: str, usage: dict[str, Any] | None, steps: list[dict[str, Any]]) -> str:
        tokens = usage["total_tokens"] if usage else "no"
        line = f"{name} is {status}: {len(steps)} steps, {tokens} tokens"
        log.info(line)
        return line

    report(
        attributes.output["id"],
        attributes.output["status"],
        attributes.output["usage"],
        attributes.output["steps"],
    )
    # [END howto_operator_openai_get_run]


openai_run_retrieve()
