"""
Wait for many responses with one task, which occupies no worker.

Mapped tasks create a response for each question and do not wait. The sensor waits for all responses in one
trigger, fails as soon as one of them fails, and shows a table with a progress bar under "OpenAI run".
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "questions": Param(["Name a river.", "Name a lake.", "Name a sea."], type="array", minItems=1),
        "model": "gpt-5.2",
        "metadata": Param({}, type="object", description="Kept with each response"),
    },
    render_template_as_native_obj=True,
    default_args={"retries": 2},
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_run_list() -> None:
    """Create a response for each question, and wait for all of them."""

    @task
    def list_questions(params: dict[str, Any] | None = None) -> list[str]:
        return list((params or {})["questions"])

    # [START howto_sensor_openai_run_list]
    created = OpenAICreateResponseOperator.partial(
        task_id="create",
        model="{{ params.model }}",
        metadata="{{ params.metadata }}",
        wait_for_completion=False,
    ).expand(input=list_questions())

    ended = OpenAIRunSensor(
        task_id="wait_for_all",
        run_id=created.output["id"],
        wait_for="all",
        deferrable=True,
        timeout=timedelta(hours=2),
    )
    # [END howto_sensor_openai_run_list]

    @task
    def report(result: dict[str, Any]) -> None:
        log.info("%s of the responses are completed", result["counts"]["completed"])

    report(ended.output)


openai_run_list()
