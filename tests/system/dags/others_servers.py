"""Runs at servers that others wrote: made, waited for in the triggerer, and retrieved."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

PACE: dict[str, Any] = {"deferrable": True, "poll_interval": 0.5, "max_poll_interval": 0.5}
LOCATION = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
GET_WEATHER = {"type": "function", "name": "get_weather", "parameters": LOCATION}


def get_weather(location: str) -> str:
    """What the weather is like."""
    return f"rain in {location}"


with DAG("responses_of_others", schedule=None):
    at: dict[str, Any] = {"conn_id": "openai_agentserver"}
    echo: dict[str, Any] = {"model": "echo", **at}
    ask = OpenAICreateResponseOperator(task_id="ask", input="queued slow", **echo, **PACE)
    OpenAIGetRunOperator(task_id="asked", run_id=ask.output["run_id"], **at)

    begin = OpenAICreateResponseOperator(task_id="begin", input="slow", wait_for_completion=False, **echo)
    begun = begin.output["run_id"]
    wait = OpenAIRunSensor(task_id="wait", run_id=begun, **at, **PACE)
    wait >> OpenAIGetRunOperator(task_id="waited_for", run_id=begun, **at)

    tools: dict[str, Any] = {"tools": [GET_WEATHER], "tool_handlers": {"get_weather": get_weather}}
    OpenAICreateResponseOperator(task_id="answer", input="slow tool", **tools, **echo, **PACE)
    OpenAICreateResponseOperator(task_id="fail", input="slow fail", **echo, **PACE)

with DAG("runs_of_others", schedule=None, params={"assistant_id": Param(type="string")}):
    on_mock: dict[str, Any] = {"assistant_id": "{{ params.assistant_id }}", "conn_id": "openai_mock"}
    for end in ("complete", "cancel"):
        OpenAICreateRunOperator(task_id=end, thread={"messages": []}, **on_mock, **PACE)

with DAG("replayed_run", schedule=None):
    replay: dict[str, Any] = {"conn_id": "openai_replay"}
    make = OpenAICreateRunOperator(
        task_id="make", assistant_id="asst_1", thread={}, wait_for_completion=False, **replay
    )
    made: dict[str, Any] = {"run_id": make.output["run_id"], "thread_id": make.output["thread_id"], **replay}
    see_end = OpenAIRunSensor(task_id="see_end", **made, **PACE)
    see_end >> OpenAIGetRunOperator(task_id="facts", **made)
