"""One round of a soak: a task for each way to wait for a run and to own one, and for each end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
GET_TIME = {"name": "get_time", "parameters": CITY}
COMMON: dict[str, Any] = {
    "deferrable": True,
    "poll_interval": 2,
    "max_poll_interval": 5,
    "max_consecutive_failures": 1000,
    # A killed worker costs a try, and so does a request that fails on a worker.
    "retries": 30,
    "retry_delay": timedelta(seconds=3),
}
#: A run that failed or took too long is created again by each retry; a few are enough to see that.
FEW: dict[str, Any] = {"retries": 3}
TIMEOUT_SECONDS = 20


def get_time(city: str) -> str:
    """Return the time."""
    return f"noon in {city}"


def owned(name: str, script: str, *, functions: bool = False, **options: Any) -> None:
    """
    Add two tasks, one that creates a run and one that creates a response.

    :param name: the tasks' ids without the prefix.
    :param script: the sandbox's script for both.
    :param functions: whether the model may call a function.
    :param options: other arguments of the operators.
    """
    common = {**COMMON, "metadata": {"sandbox_script": script}, **options}
    if functions:
        common["tool_handlers"] = {"get_time": get_time}
    OpenAICreateRunOperator(
        task_id=f"run_{name}",
        assistant_id="asst_1",
        thread={"messages": [{"role": "user", "content": "Hi"}]},
        tools=[{"type": "function", "function": GET_TIME}] if functions else None,
        **common,
    )
    OpenAICreateResponseOperator(
        task_id=f"response_{name}",
        model="gpt-5.2",
        input="Hi",
        tools=[{"type": "function", **GET_TIME}] if functions else None,
        **common,
    )


with DAG(
    "soak",
    schedule=None,
    max_active_runs=100,
    params={"seconds": Param(30), "completes": Param(""), "fails": Param("")},
):
    owned("completes", '{"base": "completed", "seconds": {{ params.seconds }}}')
    owned("fails", '{"base": "failed", "seconds": {{ params.seconds }}}', **FEW)
    owned("calls_functions", "two_rounds", functions=True)
    owned("times_out", "in_progress", timeout=TIMEOUT_SECONDS, **FEW)
    owned("is_ended", "in_progress")
    OpenAICreateResponseOperator(
        task_id="response_on_worker",
        model="gpt-5.2",
        input="Hi",
        **{**COMMON, "deferrable": False, "metadata": {"sandbox_script": "completed"}},
    )
    for end in ("completes", "fails"):
        run_id = f"{{{{ params.{end} }}}}"
        OpenAIRunSensor(task_id=f"sensor_{end}", run_id=run_id, **COMMON)
        OpenAIGetRunOperator(
            task_id=f"get_{end}", run_id=run_id, wait_for_completion=True, fail_on_unsuccessful=True, **COMMON
        )
