"""
Let a person approve what a model is about to do.

When the model wants to use a tool of an MCP server that requires approval, the task is parked, and
"Required actions" in Airflow's UI shows the request; a rejection goes back to the model. No worker is
occupied meanwhile. Airflow 3.3 and later. Trigger it as it is, or with another MCP server.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import Param, dag, task

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    params={
        "question": Param("Roll 2d6.", type="string"),
        "model": Param("gpt-5.2", type="string"),
        "server_url": Param("https://dmcp-server.deno.dev/sse", type="string", description="The MCP server"),
        "metadata": Param({}, type="object", description="Metadata of the responses"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_response_approval() -> None:
    """Create a response, let a person approve its tool calls, and report on it."""
    # [START howto_openai_approval]
    response = OpenAICreateResponseOperator(
        task_id="response",
        model="{{ params.model }}",
        input="{{ params.question }}",
        metadata="{{ params.metadata }}",
        tools=[
            {
                "type": "mcp",
                "server_label": "dice",
                "server_url": "{{ params.server_url }}",
                "require_approval": "always",
            }
        ],
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(hours=8).total_seconds(),
        retries=2,
    )
    # [END howto_openai_approval]

    @task
    def report(answer: str) -> str:
        log.info(answer)
        return answer

    report(response.output["answer"])


openai_response_approval()
