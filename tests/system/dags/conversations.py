"""Runs that ask for tools, for a person's answer, and for approvals."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMES = ("get_weather", "get_time")
PACE: dict[str, Any] = {
    "deferrable": True,
    "poll_interval": 0.5,
    "max_poll_interval": 0.5,
    "metadata": {"sandbox_script": "{{ params.script }}"},
}


def get_weather(city: str) -> dict[str, str]:
    """What the weather is like."""
    return {"weather": f"rain in {city}"}


def get_time(city: str) -> str:
    """What time it is."""
    return f"noon in {city}"


def conversation(dag_id: str, **options: Any) -> DAG:
    """
    Make a DAG with one conversation for each API.

    :param dag_id: the DAG.
    :param options: what the tasks have in common.
    """
    with DAG(dag_id, schedule=None, params={"script": Param(type="string")}) as dag:
        functions = [{"name": name, "parameters": CITY} for name in NAMES]
        OpenAICreateRunOperator(
            task_id="run",
            assistant_id="asst_1",
            thread={"messages": [{"role": "user", "content": "Hi"}]},
            tools=[{"type": "function", "function": function} for function in functions],
            **PACE,
            **options,
        )
        OpenAICreateResponseOperator(
            task_id="response",
            model="gpt-5.2",
            input="Hi",
            tools=[{"type": "function", **function} for function in functions],
            **PACE,
            **options,
        )
    return dag


tools = conversation("talks_to_functions", tool_handlers={"get_weather": get_weather, "get_time": get_time})
person = conversation(
    "talks_to_a_person", tool_handlers={"get_weather": get_weather}, human_tools=("get_time",)
)
