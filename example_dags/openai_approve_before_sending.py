"""
Let a model draft a message, and send it once a person has approved it.

The draft waits under "Required actions" in Airflow's UI without occupying a worker. "Reject" skips the rest.
Trigger it as it is, or with another ``request``; the connection ``openai_default`` names the server.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "request": Param("My parcel is late. When will it arrive?", type="string"),
        "model": Param("gpt-5.2", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the response"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_approve_before_sending() -> None:
    """Draft a reply, wait for its approval, and send it."""
    # [START howto_approve_before_sending]
    draft = OpenAICreateResponseOperator(
        task_id="draft",
        model="{{ params.model }}",
        instructions="Write a short, friendly reply to the customer.",
        input="{{ params.request }}",
        metadata="{{ params.metadata }}",
        deferrable=True,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Send this reply?",
        body=draft.output["answer"],
    )

    @task
    def send(text: str) -> str:
        log.info("Sent: %s", text)
        return text

    approve >> send(draft.output["answer"])
    # [END howto_approve_before_sending]


openai_approve_before_sending()
