"""Tasks that create runs, each with a different outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param
from pydantic import BaseModel

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)

POLLING: dict[str, Any] = {"deferrable": True, "poll_interval": 0.5, "max_poll_interval": 0.5}
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
GET_TIME = {"name": "get_time", "parameters": CITY}


class City(BaseModel):
    """The structure of an answer."""

    name: str
    inhabitants: int


def get_time(city: str) -> str:
    """Return the time."""
    return f"noon in {city}"


def run(task_id: str, script: str, **options: Any) -> None:
    """
    Add a task that creates a run of the Assistants API.

    :param task_id: the task's id, without the prefix.
    :param script: the sandbox's script for the run.
    :param options: other arguments of the operator.
    """
    on_thread = {} if "thread_id" in options else {"thread": MESSAGES}
    OpenAICreateRunOperator(
        task_id=f"run_{task_id}",
        assistant_id="asst_1",
        metadata={"sandbox_script": script},
        **on_thread,
        **POLLING,
        **options,
    )


def response(task_id: str, script: str, **options: Any) -> None:
    """
    Add a task that creates a response.

    :param task_id: the task's id, without the prefix.
    :param script: the sandbox's script for the response.
    :param options: other arguments of the operator.
    """
    OpenAICreateResponseOperator(
        task_id=f"response_{task_id}",
        input="Hi",
        metadata={"sandbox_script": script},
        **{"model": "gpt-5.2", **POLLING, **options},
    )


retried: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1)}

with DAG("owned_outcomes", schedule=None):
    for end in ("completed", "failed"):
        run(end, f"{end}_soon", model="gpt-counted")
        response(end, f"{end}_soon", model="gpt-counted")

    budget: dict[str, Any] = {"token_budget": 250, "tool_handlers": {"get_time": get_time}, **retried}
    run("over_budget", "three_expensive_rounds", tools=[{"type": "function", "function": GET_TIME}], **budget)
    response("over_budget", "three_expensive_rounds", tools=[{"type": "function", **GET_TIME}], **budget)

    for end, script in (("parsed", "returns_a_city"), ("unreadable", "prose")):
        run(end, script, response_format=City)
        response(end, script, text_format=City)

THREADS = ("refused", "awaited", "attached", "let_be")

with DAG("busy_threads", schedule=None, params={"threads": Param(type="object")}):
    thread = {name: f"{{{{ params.threads.{name} }}}}" for name in THREADS}
    run("refused", "completed_soon", thread_id=thread["refused"], on_active_run="fail", **retried)
    run("awaited", "completed_soon", thread_id=thread["awaited"], on_active_run="wait")
    run("attached", "completed_soon", thread_id=thread["attached"], on_active_run="attach")
    run("let_be", "completed_soon", thread_id=thread["let_be"], on_active_run="attach", timeout=15)
