"""Submitting tool outputs by an operator."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateRunOperator,
    OpenAISubmitToolOutputsOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, bodies


def submit_task(**arguments: Any) -> OpenAISubmitToolOutputsOperator:
    return OpenAISubmitToolOutputsOperator(task_id="task", **arguments)


def outputs_for(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"tool_call_id": call["id"], "output": {"weather": "rain"}} for call in calls]


def test_outputs_are_submitted_only_once(sandbox: Sandbox) -> None:
    run = sandbox.create_run(script="requires_action")
    sandbox.clock.advance(1.5)
    ref = {"run_id": run["id"], "thread_id": run["thread_id"]}
    calls = OpenAICreateRunOperator(task_id="t", assistant_id="a").hook.get_run(
        run["id"], thread_id=run["thread_id"]
    )
    action: dict[str, Any] = calls.required_action or {}
    required = action["submit_tool_outputs"]["tool_calls"]
    attempts = TaskAttempts(submit_task(**ref, tool_outputs=outputs_for(required)))
    assert attempts.begin()["status"] == "queued"
    attempts.begin()
    assert len(bodies(sandbox, "/submit_tool_outputs")) == 1


def test_outputs_the_run_does_not_wait_for_are_refused_unsent(sandbox: Sandbox) -> None:
    run = sandbox.create_run(script="requires_action")
    sandbox.clock.advance(1.5)
    outputs = [{"tool_call_id": "call_x", "output": ""}]
    with pytest.raises(Exception, match="call_x"):
        TaskAttempts(submit_task(run_id=run["id"], thread_id=run["thread_id"], tool_outputs=outputs)).begin()
    assert sandbox.count("POST") == 0


def test_outputs_for_a_response_create_the_one_that_follows(sandbox: Sandbox) -> None:
    response = sandbox.create_response(script="requires_action")
    sandbox.clock.advance(1.5)
    hook = OpenAICreateRunOperator(task_id="t", assistant_id="a").hook
    action: dict[str, Any] = hook.get_run(response["id"]).required_action or {}
    required = action["submit_tool_outputs"]["tool_calls"]
    result = TaskAttempts(submit_task(run_id=response["id"], tool_outputs=outputs_for(required))).begin()
    assert result["previous_response_id"] == response["id"]
    assert result["model"] == "gpt-4o-mini"


def test_an_approval_is_submitted(sandbox: Sandbox) -> None:
    run = sandbox.create_run(script="requires_approval")
    sandbox.clock.advance(1.5)
    approvals = [{"tool_call_id": "call_roll", "approve": True}]
    TaskAttempts(submit_task(run_id=run["id"], thread_id=run["thread_id"], approvals=approvals)).begin()
    assert bodies(sandbox, "/submit_tool_outputs") == [{"tool_approvals": approvals}]
