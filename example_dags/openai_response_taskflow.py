"""
Write tasks as functions: each function returns the input of a response, and its task returns the answer.

``summarize`` returns a text, ``classify`` an object that fits a pydantic model. Trigger it as it is, or with
another ``article`` and ``model``; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from pydantic import BaseModel

log = logging.getLogger(__name__)


class Classification(BaseModel):
    """The answer of the second task."""

    topic: str
    is_opinion: bool


@dag(
    schedule=None,
    params={
        "article": Param("The harbour reopened on Monday after two weeks of repairs.", type="string"),
        "model": Param("gpt-5.2", type="string"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_response_taskflow() -> None:
    """Summarize an article, classify the summary, and log both."""

    # [START howto_decorator_openai_response]
    @task.openai_response(
        model="{{ params.model }}",
        instructions="Summarize the article in one sentence.",
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
    )
    def summarize(params: dict[str, Any] | None = None) -> str:
        article: str = (params or {})["article"]
        return f"The article: {article}"

    @task.openai_response(
        model="{{ params.model }}",
        text_format=Classification,
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
    )
    def classify(summary: str) -> str:
        return f"Classify: {summary}"

    @task
    def report(summary: str, classification: dict[str, Any]) -> None:
        log.info("%s: %s", classification["topic"], summary)

    summary = summarize()
    report(summary, classify(summary))
    # [END howto_decorator_openai_response]


openai_response_taskflow()
