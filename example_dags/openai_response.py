"""
Create a response in the background, wait for it without occupying a worker, and use its answer.

A retry continues with the response that an earlier try created; ending the task cancels the response.
Trigger it as it is, or with another ``question``, ``instructions`` and ``model``; the connection
``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAIGetRunOperator,
)

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "question": Param("What is six times seven?", type="string"),
        "instructions": Param(
            "Answer in one sentence.", type="string", description="Instructions to the model"
        ),
        "model": Param("gpt-5.2", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the response"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_response() -> None:
    """Create a response, retrieve it, and report on it."""
    # [START howto_operator_openai_create_response]
    example = OpenAICreateResponseOperator(
        task_id="example",
        model="{{ params.model }}",
        instructions="{{ params.instructions }}",
        input="{{ params.question }}",
        metadata="{{ params.metadata }}",
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
    details = OpenAIGetRunOperator(task_id="details", run_id=example.output["id"], retries=2)

    @task
    def report(run_status: str, run_usage: dict[str, Any] | None, answer: str) -> str:
        tokens = run_usage["total_tokens"] if run_usage else "an unknown number of"
        line = f"{run_status} with {tokens} tokens: {answer}"
        log.info(line)
        return line

    report(details.output["status"], details.output["usage"], example.output["answer"])
    # [END howto_operator_openai_create_response]


openai_response()
