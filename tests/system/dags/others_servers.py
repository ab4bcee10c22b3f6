"""Runs on servers that others wrote: created, awaited in the triggerer, and read again."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

POLLING: dict[str, Any] = {"deferrable": True, "poll_interval": 0.5, "max_poll_interval": 0.5}
LOCATION = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
GET_WEATHER = {"type": "function", "name": "get_weather", "parameters": LOCATION}


def get_weather(location: str) -> str:
    """Return the weather."""
    return f"rain in {location}"


with DAG("responses_of_others", schedule=None):
    at: dict[str, Any] = {"conn_id": "openai_agentserver"}
    echo: dict[str, Any] = {"model": "echo", **at}
    create = OpenAICreateResponseOperator(task_id="create", input="queued slow", **echo, **POLLING)
    OpenAIGetRunOperator(task_id="details", run_id=create.output["run_id"], **at)

    begin = OpenAICreateResponseOperator(task_id="begin", input="slow", wait_for_completion=False, **echo)
    run_id = begin.output["run_id"]
    wait = OpenAIRunSensor(task_id="wait", run_id=run_id, **at, **POLLING)
    wait >> OpenAIGetRunOperator(task_id="details_after_wait", run_id=run_id, **at)

    tools: dict[str, Any] = {"tools": [GET_WEATHER], "tool_handlers": {"get_weather": get_weather}}
    OpenAICreateResponseOperator(task_id="call_function", input="slow tool", **tools, **echo, **POLLING)
    OpenAICreateResponseOperator(task_id="fail", input="slow fail", **echo, **POLLING)

with DAG("runs_of_others", schedule=None, params={"assistant_id": Param(type="string")}):
    on_mock: dict[str, Any] = {"assistant_id": "{{ params.assistant_id }}", "conn_id": "openai_mock"}
    for end in ("complete", "cancel"):
        OpenAICreateRunOperator(task_id=end, thread={"messages": []}, **on_mock, **POLLING)

with DAG("replayed_run", schedule=None):
    replay: dict[str, Any] = {"conn_id": "openai_replay"}
    create_run = OpenAICreateRunOperator(
        task_id="create_run", assistant_id="asst_1", thread={}, wait_for_completion=False, **replay
    )
    created: dict[str, Any] = {
        "run_id": create_run.output["run_id"],
        "thread_id": create_run.output["thread_id"],
        **replay,
    }
    wait_for_end = OpenAIRunSensor(task_id="wait_for_end", **created, **POLLING)
    wait_for_end >> OpenAIGetRunOperator(task_id="attributes", **created)
