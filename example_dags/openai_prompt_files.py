"""
Keep the prompts in files beside the DAG, as Jinja templates.

``prompts/release_notes.md.j2`` is the input, and ``prompts/style.md.j2`` the instructions. Trigger it as it
is, or with other changes; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

log = logging.getLogger(__name__)

CHANGES = ["The export has a progress bar.", "Dates are shown in the reader's time zone."]


@dag(
    schedule=None,
    params={
        "version": Param("2.4", type="string"),
        "changes": Param(CHANGES, type="array", items={"type": "string"}),
        "model": Param("gpt-5.2", type="string"),
    },
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_prompt_files() -> None:
    """Write release notes from a prompt file."""
    # [START howto_prompt_files]
    notes = OpenAICreateResponseOperator(
        task_id="notes",
        model="{{ params.model }}",
        instructions="prompts/style.md.j2",
        input="prompts/release_notes.md.j2",
        deferrable=True,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
    )
    # [END howto_prompt_files]

    @task
    def publish(text: str) -> str:
        log.info(text)
        return text

    publish(notes.output["answer"])


openai_prompt_files()
