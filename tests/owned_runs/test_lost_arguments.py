"""Airflow's ``dags test`` drops the arguments of a deferral: timeout, rounds and budget hold all the same."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_openai_run.exceptions import ToolCallError
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, watched

MAX_RESUMES = 10
TOOL = {"type": "function", "name": "get_weather", "parameters": {}}
CALL = {
    "type": "tool_calls",
    "details": {"tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]},
}
THOUGHT = {
    "type": "message_creation",
    "seconds": 0.1,
    "usage": {"prompt_tokens": 40, "completion_tokens": 0, "total_tokens": 40},
}


def endless_calls(rounds: int) -> dict[str, Any]:
    """Return a script in which each response calls a function again."""
    script: dict[str, Any] = {"phases": [[0, "queued"], [1, "requires_action"]], "steps": [THOUGHT, CALL]}
    for _ in range(rounds):
        script = {**script, "after_outputs": script}
    return script


def new_task(**options: Any) -> OpenAICreateResponseOperator:
    return OpenAICreateResponseOperator(
        task_id="task",
        model="gpt-5.2",
        input="Hi",
        tools=[TOOL],
        tool_handlers={"get_weather": lambda: "rain"},
        deferrable=True,
        **options,
    )


def run_like_dags_test(sandbox: Sandbox, **options: Any) -> Any:
    """Run a task whose deferrals lose their arguments, and return its result."""
    task = new_task(**options)
    attempts = TaskAttempts(task, store=None)
    result = attempts.begin()
    for _ in range(MAX_RESUMES):
        sandbox.clock.advance(2)
        event = {**watched(result).ref.ids, "status": "completed"}
        try:
            return task.resume_execution(result.method_name, {"event": event}, attempts.context())
        except TaskDeferred as deferred:
            result = deferred
    raise AssertionError("the task never ended")


def test_max_tool_rounds_holds(sandbox: Sandbox) -> None:
    sandbox.set_default_script(endless_calls(MAX_RESUMES))
    with pytest.raises(ToolCallError, match=r"after 3 rounds \(max_tool_rounds\)"):
        run_like_dags_test(sandbox, max_tool_rounds=3)
    assert sandbox.count("POST", "/responses") == 4


def test_the_token_budget_holds(sandbox: Sandbox) -> None:
    sandbox.set_default_script(endless_calls(MAX_RESUMES))
    with pytest.raises(AirflowFailException, match="token_budget of 100"):
        run_like_dags_test(sandbox, token_budget=100)
    assert sandbox.count("POST", "/responses") == 3


def test_the_deadline_counts_from_the_first_start(sandbox: Sandbox) -> None:
    sandbox.set_default_script(endless_calls(1))
    task = new_task(timeout=100)
    attempts = TaskAttempts(task, store=None)
    first = attempts.begin()
    sandbox.clock.advance(2)
    event = {**watched(first).ref.ids, "status": "completed"}
    with pytest.raises(TaskDeferred) as second:
        task.resume_execution(first.method_name, {"event": event}, attempts.context())
    assert watched(second.value).options.deadline == watched(first).options.deadline
