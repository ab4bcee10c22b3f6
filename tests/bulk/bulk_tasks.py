"""Bulk tasks for tests: fast, not deferrable, with their results in a folder of the test."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from airflow_provider_openai_run.operators.openai_run import OpenAIBulkResponsesOperator

JsonObject = dict[str, Any]

#: How many requests the tasks of the kill tests have.
TOTAL = 30


def operator(folder: Path | str, requests: Any, **arguments: Any) -> OpenAIBulkResponsesOperator:
    options = {
        "model": "gpt-5.2",
        "results": str(folder),
        "deferrable": False,
        "poll_interval": 0.05,
        "max_poll_interval": 0.1,
        **arguments,
    }
    return OpenAIBulkResponsesOperator(task_id="task", requests=requests, **options)


def questions(count: int, **body: Any) -> list[JsonObject]:
    """Return requests whose custom ids are q-0, q-1 and so on."""
    return [
        {"custom_id": f"q-{number}", "body": {"input": f"What is {number}?", **body}}
        for number in range(count)
    ]


def write_lines(path: Path, values: list[Any]) -> str:
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return str(path)


def lines(path: Any) -> list[JsonObject]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def answered(folder: Path | str) -> Counter[str]:
    """Return how often each custom id stands in the answers."""
    return Counter(line["custom_id"] for line in lines(Path(folder) / "answers.jsonl"))
