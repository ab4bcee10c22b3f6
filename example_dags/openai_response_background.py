"""
Create a response with the hook, wait for it in a sensor, and push its attributes to XCom.

The Responses API has no threads: the sensor and the operator need the response's id only. Trigger it as it
is, or with another ``question`` and ``model``; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import json
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
        "question": Param("Why is the sky blue? One sentence.", type="string"),
        "model": Param("gpt-5.2", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the response"),
    },
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_response_background() -> None:
    """Create a response, wait for it, retrieve it, and log its text."""

    # [START howto_hook_openai_create_response]
    @task
    def create(params: dict[str, Any] | None = None) -> str:
        from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

        values = params or {}
        response = OpenAIRunHook().create_response(
            model=values["model"], input=values["question"], metadata=values["metadata"]
        )
        return response.id

    # [END howto_hook_openai_create_response]

    response_id = create()
    # [START howto_sensor_openai_run_response]
    wait = OpenAIRunSensor(
        task_id="wait",
        run_id=response_id,
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15),
        retries=2,
    )
    attributes = OpenAIGetRunOperator(task_id="attributes", run_id=response_id, retries=2)
    # [END howto_sensor_openai_run_response]

    @task
    def report(steps: list[dict[str, Any]], usage: dict[str, Any] | None) -> str:
        messages = [json.loads(step["details"]) for step in steps if step["type"] == "message"]
        text = "\n".join(part.get("text", "") for message in messages for part in message["content"])
        log.info("%s (%s tokens)", text, usage["total_tokens"] if usage else "an unknown number of")
        return text

    wait >> attributes
    report(attributes.output["steps"], attributes.output["usage"])


openai_response_background()
