"""The situations in which the provider stores something that another version may have to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.scripts import function_call
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

#: The ids that a scenario's task is made of: the only part of a recorded task that is not in this module.
Ids = Mapping[str, Any]

THREAD_ID = "thread_of_the_scenario"
TOOL = {
    "type": "function",
    "name": "get_time",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FUNCTION_TOOL = {"type": "function", "function": {key: TOOL[key] for key in ("name", "parameters")}}
CALLS = {
    "base": "requires_action",
    "seconds": 30,
    "steps": [
        {"type": "tool_calls", "details": {"tool_calls": [function_call("get_time", {"city": "Oslo"})]}}
    ],
}


@dataclass(frozen=True)
class Scenario:
    """
    A deferrable task, from its first worker to its end.

    :param make_task: returns the task.
    :param prepare: creates what is there before the task starts, and returns the ids.
    :param human_answer: what a person answers if the task asks one.
    :param oldest_airflow: the first version of Airflow that can run the task.
    """

    make_task: Callable[[Ids], Any]
    prepare: Callable[[Sandbox], Ids]
    human_answer: Mapping[str, Any] | None = None
    oldest_airflow: tuple[int, int] = (3, 1)


def _get_time(city: str) -> str:
    return f"noon in {city}"


def _run_of(script: Any) -> Callable[[Sandbox], Ids]:
    def prepare(sandbox: Sandbox) -> Ids:
        run = sandbox.create_run(script=script)
        return {"run_id": run["id"], "thread_id": run["thread_id"]}

    return prepare


def _response_of(script: Any) -> Callable[[Sandbox], Ids]:
    return lambda sandbox: {"run_id": sandbox.create_response(script=script)["id"]}


def _batch_of(script: Any) -> Callable[[Sandbox], Ids]:
    return lambda sandbox: {"run_id": sandbox.create_batch(script=script)["id"], "api": "batches"}


def _responses_of(*scripts: Any) -> Callable[[Sandbox], Ids]:
    return lambda sandbox: {"run_id": [sandbox.create_response(script=script)["id"] for script in scripts]}


def _created_as(script: Any) -> Callable[[Sandbox], Ids]:
    def prepare(sandbox: Sandbox) -> Ids:
        sandbox.create_thread(THREAD_ID)
        sandbox.set_default_script(script)
        return {}

    return prepare


def _busy_thread(sandbox: Sandbox) -> Ids:
    sandbox.create_thread(THREAD_ID)
    sandbox.create_run(THREAD_ID, script=ENDS)
    sandbox.set_default_script(ENDS)
    return {}


def _sensor(ids: Ids, **options: Any) -> Any:
    return OpenAIRunSensor(task_id="task", deferrable=True, **{"timeout": 3600, **ids, **options})


def _get(ids: Ids) -> Any:
    return OpenAIGetRunOperator(task_id="task", deferrable=True, wait_for_completion=True, **ids)


def _cancel(ids: Ids) -> Any:
    return OpenAICancelRunOperator(task_id="task", deferrable=True, wait_for_completion=True, **ids)


def _response(_: Ids, **options: Any) -> Any:
    return OpenAICreateResponseOperator(
        task_id="task", model="gpt-5.2", input="Hi", deferrable=True, retries=2, **options
    )


def _run(_: Ids, **options: Any) -> Any:
    return OpenAICreateRunOperator(
        task_id="task", assistant_id="asst_1", thread_id=THREAD_ID, deferrable=True, retries=2, **options
    )


ENDS = {"base": "completed", "seconds": 60}
FAILS = {"base": "failed", "seconds": 60}
WITH_TOOLS: Mapping[str, Any] = {"tools": [TOOL], "tool_handlers": {"get_time": _get_time}}

SCENARIOS: Mapping[str, Scenario] = {
    "sensor": Scenario(_sensor, _run_of(ENDS)),
    "sensor_of_a_failed_response": Scenario(_sensor, _response_of(FAILS)),
    "sensor_that_times_out": Scenario(lambda ids: _sensor(ids, timeout=300), _response_of("in_progress")),
    "sensor_of_a_stalled_run": Scenario(
        lambda ids: _sensor(ids, stalled_after=300, on_stalled="fail"),
        _response_of("in_progress"),
    ),
    "sensor_of_many_runs": Scenario(_sensor, _responses_of("instant", ENDS)),
    "sensor_of_many_runs_with_a_failed_one": Scenario(_sensor, _responses_of(FAILS, "in_progress")),
    # A run that completes would end the task in the triggerer, with nothing stored.
    "sensor_that_ends_in_the_triggerer": Scenario(
        lambda ids: _sensor(ids, end_from_trigger=True), _response_of(FAILS), oldest_airflow=(3, 3)
    ),
    "get_run": Scenario(_get, _run_of(ENDS)),
    "get_response": Scenario(_get, _response_of(ENDS)),
    "get_batch": Scenario(_get, _batch_of({"in_progress": 60})),
    "sensor_of_an_expired_batch": Scenario(_sensor, _batch_of({"ending": "expired", "in_progress": 60})),
    "cancel_run": Scenario(_cancel, _run_of("in_progress")),
    "create_response": Scenario(_response, _created_as(ENDS)),
    "create_response_that_fails": Scenario(_response, _created_as(FAILS)),
    "create_response_with_tools": Scenario(
        lambda ids: _response(ids, **WITH_TOOLS, token_budget=100_000), _created_as(CALLS)
    ),
    "create_response_for_a_person": Scenario(
        lambda ids: _response(ids, tools=[TOOL], human_tools=["get_time"]),
        _created_as(CALLS),
        human_answer={"chosen_options": ["Submit"], "params_input": {"call_1": "noon"}},
    ),
    "create_run": Scenario(_run, _created_as(ENDS)),
    "create_run_that_fails": Scenario(_run, _created_as(FAILS)),
    "create_run_with_tools": Scenario(
        lambda ids: _run(ids, tools=[FUNCTION_TOOL], tool_handlers={"get_time": _get_time}),
        _created_as(CALLS),
    ),
    "create_run_on_a_busy_thread": Scenario(lambda ids: _run(ids, on_active_run="wait"), _busy_thread),
}
