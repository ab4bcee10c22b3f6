"""
Create a run, compute the tool outputs it asks for in another task, and cancel it if that fails.

For tool outputs that take a whole pipeline rather than a function in ``tool_handlers``: the run is created
with ``on_requires_action="return"``, which ends the task when the run asks; other tasks compute the
outputs; one operator submits them, and another cancels the run if something failed. Trigger it with the
``assistant_id`` of an assistant that has a function tool.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateRunOperator,
    OpenAISubmitToolOutputsOperator,
)


@dag(
    schedule=None,
    params={
        "assistant_id": Param(type="string", minLength=1, description="The assistant that answers"),
        "question": Param("What is the weather like in Oslo and in Lima?", type="string"),
        "metadata": Param({}, type="object", description="Metadata of the run"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_run_tool_outputs() -> None:
    """Create a run, compute its tool outputs, submit them; cancel the run if that failed."""
    # [START howto_operator_openai_create_run_new_thread]
    run = OpenAICreateRunOperator(
        task_id="run",
        assistant_id="{{ params.assistant_id }}",
        thread={"messages": [{"role": "user", "content": "{{ params.question }}"}]},
        metadata="{{ params.metadata }}",
        on_requires_action="return",
        deferrable=True,
        poll_interval=2,
        retries=2,
    )
    # [END howto_operator_openai_create_run_new_thread]

    # [START howto_operator_openai_submit_tool_outputs]
    @task
    def compute_outputs(required_action: dict[str, Any]) -> list[dict[str, Any]]:
        outputs = []
        for call in required_action["submit_tool_outputs"]["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            outputs.append({"tool_call_id": call["id"], "output": {**arguments, "weather": "rain"}})
        return outputs

    ids = {"thread_id": run.output["thread_id"], "run_id": run.output["id"]}
    submit = OpenAISubmitToolOutputsOperator(
        task_id="submit",
        tool_outputs=compute_outputs(run.output["required_action"]),
        wait_for_completion=True,
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
        retries=2,
        **ids,
    )
    # [END howto_operator_openai_submit_tool_outputs]
    # [START howto_operator_openai_cancel_run]
    cancel = OpenAICancelRunOperator(task_id="cancel", trigger_rule=TriggerRule.ONE_FAILED, retries=2, **ids)
    submit >> cancel
    # [END howto_operator_openai_cancel_run]


openai_run_tool_outputs()
