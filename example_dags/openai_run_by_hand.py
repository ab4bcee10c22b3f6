"""
Make a run without waiting for it, answer what it asks for in a task of your own, and end it if that fails.

Where ``tool_handlers`` do not fit, because the answer takes a whole pipeline: the run is made with
``on_requires_action="return"``, which ends the task when the run asks; other tasks work out the outputs; one
operator submits them, and another cancels the run when something went wrong. Trigger it with the
``assistant_id`` of an assistant that has a function as its tool.
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
        "metadata": Param({}, type="object", description="Put on the run"),
    },
    render_template_as_native_obj=True,
    tags=["openai", "example"],
    doc_md=__doc__,
)
def openai_run_by_hand() -> None:
    """Make a run, work out what it asks for, submit that; cancel if it went wrong."""
    # [START howto_operator_openai_create_run_by_hand]
    run = OpenAICreateRunOperator(
        task_id="run",
        assistant_id="{{ params.assistant_id }}",
        thread={"messages": [{"role": "user", "content": "{{ params.question }}"}]},
        metadata="{{ params.metadata }}",
        on_requires_action="return",
        deferrable=True,
        poll_interval=2,
    )
    # [END howto_operator_openai_create_run_by_hand]

    # [START howto_operator_openai_submit_tool_outputs]
    @task
    def work_out(required_action: dict[str, Any]) -> list[dict[str, Any]]:
        outputs = []
        for call in required_action["submit_tool_outputs"]["tool_calls"]:
            asked = json.loads(call["function"]["arguments"])
            outputs.append({"tool_call_id": call["id"], "output": {**asked, "weather": "rain"}})
        return outputs

    ids = {"thread_id": run.output["thread_id"], "run_id": run.output["id"]}
    submit = OpenAISubmitToolOutputsOperator(
        task_id="submit",
        tool_outputs=work_out(run.output["required_action"]),
        wait_for_completion=True,
        deferrable=True,
        poll_interval=2,
        timeout=timedelta(minutes=15).total_seconds(),
        **ids,
    )
    # [END howto_operator_openai_submit_tool_outputs]
    # [START howto_operator_openai_cancel_run]
    give_up = OpenAICancelRunOperator(task_id="give_up", trigger_rule=TriggerRule.ONE_FAILED, **ids)
    submit >> give_up
    # [END howto_operator_openai_cancel_run]


openai_run_by_hand()
