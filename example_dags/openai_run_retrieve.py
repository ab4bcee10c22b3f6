"""
Retrieve a run somebody else has made, and use what it is known by in other tasks.

Trigger it with the ids of the run: ``thread_id`` and ``run_id`` for a run of the Assistants API, ``run_id``
alone for a response of the Responses API. The connection ``openai_default`` says which server is asked.
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
    """Get a run by its ids; report on it."""
    # [START howto_operator_openai_get_run]
    facts = OpenAIGetRunOperator(
        task_id="facts", thread_id="{{ params.thread_id }}", run_id="{{ params.run_id }}"
    )

    @task
    def report(name: str, status: str, usage: dict[str, Any] | None, steps: list[dict[str, Any]]) -> str:
        tokens = usage["total_tokens"] if usage else "no"
        line = f"{name} is {status}: {len(steps)} steps, {tokens} tokens"
        log.info(line)
        return line

    report(facts.output["id"], facts.output["status"], facts.output["usage"], facts.output["steps"])
    # [END howto_operator_openai_get_run]


openai_run_retrieve()
