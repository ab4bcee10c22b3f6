"""
Read the steps of a run: which tools were called, with which arguments, and which step failed.

A step's ``details`` is a JSON string: ``step_details`` of a run of the Assistants API, the whole output
item of a response. Trigger it with ``thread_id`` and ``run_id``, or with the id of a response as ``run_id``
alone.
"""

from __future__ import annotations

import json
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
def openai_run_steps() -> None:
    """Retrieve a run with its steps, and list its tool calls."""
    attributes = OpenAIGetRunOperator(
        task_id="attributes", thread_id="{{ params.thread_id }}", run_id="{{ params.run_id }}", retries=2
    )

    # [START howto_operator_openai_get_run_steps]
    @task
    def tool_calls(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        calls = []
        for step in steps:
            details = json.loads(step["details"])
            if step["type"] == "tool_calls":
                calls += details["tool_calls"]
            elif step["type"].endswith("_call"):
                calls.append(details)
        for call in calls:
            log.info("%s: %s", call["type"], json.dumps(call, ensure_ascii=False))
        return calls

    # [END howto_operator_openai_get_run_steps]

    @task
    def unfinished(steps: list[dict[str, Any]]) -> list[str]:
        incomplete = [
            f"{step['id']} ({step['type']}) is {step['status']}"
            for step in steps
            # Some output items of a response have no status at all.
            if step["status"] not in (None, "completed")
        ]
        log.info("%s", ", ".join(incomplete) or "Every step was completed")
        return incomplete

    tool_calls(attributes.output["steps"])
    unfinished(attributes.output["steps"])


openai_run_steps()
