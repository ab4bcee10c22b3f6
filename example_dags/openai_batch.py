"""
Answer many questions at half the price with the Batch API, and read the answers.

It writes a file of requests, uploads it, creates a batch, waits for it without a worker, and downloads the
results. Trigger it as it is, or with other ``questions`` and another ``model``; the connection
``openai_default`` names the server. A retry of ``create`` may create a second batch: see the guide.
"""

from __future__ import annotations

import json
import logging
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "questions": Param(["Name a river.", "Name a lake.", "Name a sea."], type="array"),
        "model": Param("gpt-5.2", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the batch"),
    },
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_batch() -> None:
    """Upload requests, create a batch, wait for it, and read its results."""

    # [START howto_hook_openai_create_batch]
    @task
    def create(params: dict[str, Any] | None = None) -> str:
        from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

        values = params or {}
        requests = [
            {"custom_id": f"question-{number}", "body": {"model": values["model"], "input": question}}
            for number, question in enumerate(values["questions"])
        ]
        hook = OpenAIRunHook()
        # As many files as the limits need: here always one.
        [file] = hook.upload_requests(requests)
        return hook.create_batch(file.id, metadata=values["metadata"]).id

    # [END howto_hook_openai_create_batch]

    batch_id = create()
    # [START howto_sensor_openai_run_batch]
    wait = OpenAIRunSensor(
        task_id="wait",
        run_id=batch_id,
        api="batches",
        deferrable=True,
        accepted_statuses=("completed", "expired", "cancelled"),
        timeout=timedelta(hours=25),
        retries=2,
    )
    batch = OpenAIGetRunOperator(task_id="batch", run_id=batch_id, api="batches", retries=2)
    # [END howto_sensor_openai_run_batch]

    # [START howto_hook_openai_download_file]
    @task(retries=2)
    def read(attributes: dict[str, Any]) -> dict[str, str]:
        from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

        answers: dict[str, str] = {}
        hook = OpenAIRunHook()
        with tempfile.TemporaryDirectory() as folder:
            for name in ("output_file_id", "error_file_id"):
                if attributes[name] is None:
                    continue
                path = Path(folder) / f"{name}.jsonl"
                hook.download_file(attributes[name], path)
                with path.open(encoding="utf-8") as lines:
                    results = [json.loads(line) for line in lines]
                answers |= {result["custom_id"]: text_of(result) for result in results}
        log.info("%s of %s requests have an answer", attributes["request_counts"]["completed"], len(answers))
        return answers

    # [END howto_hook_openai_download_file]

    wait >> batch
    read(batch.output)


def text_of(result: dict[str, Any]) -> str:
    """Return the text of an answer, or why there is none."""
    response = result["response"]
    if response is None:
        return f"error: {result['error']['message']}"
    body = response["body"]
    if response["status_code"] != 200:
        return f"error: {body['error']['message']}"
    messages = [item for item in body["output"] if item["type"] == "message"]
    return "".join(part.get("text", "") for message in messages for part in message["content"])


openai_batch()
