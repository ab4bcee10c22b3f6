"""Runs that call functions, human tools and tools that need an approval."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMES = ("get_weather", "get_time")
POLLING: dict[str, Any] = {
    "deferrable": True,
    "poll_interval": 0.5,
    "max_poll_interval": 0.5,
    "metadata": {"sandbox_script": "{{ params.script }}"},
}


def get_weather(city: str) -> dict[str, str]:
    """Return the weather."""
    return {"weather": f"rain in {city}"}


def get_time(city: str) -> str:
    """Return the time."""
    return f"noon in {city}"


def dag_with_tools(dag_id: str, **options: Any) -> DAG:
    """
    Return a DAG with one task for each API.

    :param dag_id: the DAG.
    :param options: arguments of all tasks.
    """
    with DAG(dag_id, schedule=None, params={"script": Param(type="string")}) as dag:
        functions = [{"name": name, "parameters": CITY} for name in NAMES]
        OpenAICreateRunOperator(
            task_id="run",
            assistant_id="asst_1",
            thread={"messages": [{"role": "user", "content": "Hi"}]},
            tools=[{"type": "function", "function": function} for function in functions],
            **POLLING,
            **options,
        )
        OpenAICreateResponseOperator(
            task_id="response",
            model="gpt-5.2",
            input="Hi",
            tools=[{"type": "function", **function} for function in functions],
            **POLLING,
            **options,
        )
    return dag


tools = dag_with_tools("function_calls", tool_handlers={"get_weather": get_weather, "get_time": get_time})
person = dag_with_tools("human_input", tool_handlers={"get_weather": get_weather}, human_tools=("get_time",))
