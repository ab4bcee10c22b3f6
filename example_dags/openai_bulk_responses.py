"""
Ask 200 questions from a file with JSON lines with one task, and count the answers that came back.

The task creates the responses, waits for them, and writes the answers to a folder. Some may fail: its retries
ask those again, until the file of answers has each question once. The connection ``openai_default`` names the
server. With workers on several machines, ``folder`` must be in storage that they share.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAIBulkResponsesOperator


@dag(
    schedule=None,
    params={
        "folder": Param("/tmp/openai_bulk", type="string"),  # noqa: S108 - a place that every machine has
        "count": Param(200, type="integer", minimum=1),
        "model": Param("gpt-5.2", type="string"),
    },
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_bulk_responses() -> None:
    """Write the requests, create a response for each, and count the answers."""

    @task
    def write_requests(params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        settings = params or {}
        file = Path(settings["folder"], str(run_id), "requests.jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as lines:
            for number in range(settings["count"]):
                body = {"input": f"What is {number} squared?"}
                lines.write(json.dumps({"custom_id": f"question-{number}", "body": body}) + "\n")
        return str(file)

    # [START howto_operator_openai_bulk_responses]
    answers = OpenAIBulkResponsesOperator(
        task_id="answers",
        requests=write_requests(),
        results="{{ params.folder }}/{{ run_id }}/results",
        model="{{ params.model }}",
        instructions="Answer with a number.",
        max_active_runs=100,
        deferrable=True,
        retries=10,
        retry_delay=timedelta(seconds=1),
    )
    # [END howto_operator_openai_bulk_responses]

    @task
    def count_answers(manifest: dict[str, Any]) -> int:
        with Path(manifest["answers"]["path"]).open() as lines:
            return len({json.loads(line)["custom_id"] for line in lines})

    count_answers(answers.output)


openai_bulk_responses()
