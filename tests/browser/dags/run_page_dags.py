"""DAGs whose tasks' pages the browser tests open."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task, task_group

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

POLLING: dict[str, Any] = {"poll_interval": 1, "max_poll_interval": 1}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def get_weather(city: str) -> dict[str, str]:
    """Return the weather."""
    return {"weather": f"rain in {city}"}


def get_time(city: str) -> str:
    """Return the time."""
    return f"noon in {city}"


HANDLERS = {"get_time": get_time, "get_weather": get_weather}

with DAG(
    "existing_runs",
    schedule=None,
    params={"run_id": Param(type="string"), "thread_id": Param(None, type=["null", "string"])},
):
    ids: dict[str, Any] = {"run_id": "{{ params.run_id }}", "thread_id": "{{ params.thread_id }}"}
    OpenAIRunSensor(
        task_id="wait", deferrable=True, accepted_statuses=["completed", "incomplete"], **ids, **POLLING
    )
    OpenAIGetRunOperator(task_id="get_run", fail_on_unsuccessful=True, include_raw=True, **ids)

    @task
    def unrelated() -> dict[str, str]:
        """Return a value with some keys of a run that is not a run."""
        return {"status": "fine", "model": "T"}

    unrelated()


with DAG("created_runs", schedule=None, params={"script": Param("completed", type="string")}):
    options: dict[str, Any] = {
        "deferrable": True,
        "metadata": {"sandbox_script": "{{ params.script }}"},
        **POLLING,
    }
    OpenAICreateResponseOperator(
        task_id="response",
        model="gpt-5.2",
        input="What is the answer?",
        instructions="Answer briefly.",
        tools=[{"type": "function", "name": name, "parameters": CITY} for name in HANDLERS],
        tool_handlers=HANDLERS,
        **options,
    )


@task_group
def body() -> None:
    """Create the run of an iteration."""
    OpenAICreateResponseOperator(
        task_id="run",
        model="gpt-5.2",
        input="What is {{ loop.index }}?",
        metadata={"sandbox_script": "instant"},
        **POLLING,
    )


group: Any = body
if hasattr(group, "loop"):  # Airflow 3.4
    with DAG("repeated_run", schedule=None):
        group.loop(max_iterations=2)
