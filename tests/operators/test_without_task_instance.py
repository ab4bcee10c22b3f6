"""Tasks that are executed without a task instance, as in ``execute({})``."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_openai_run.exceptions import RunFailedError
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import bodies

RESPONSE: dict[str, Any] = {"task_id": "task", "model": "gpt-5.2", "input": "Hi"}


def test_a_response_is_created_and_returned(sandbox: Sandbox) -> None:
    result = OpenAICreateResponseOperator(**RESPONSE).execute({})
    assert result["answer"] == "The answer is 42."
    assert sandbox.count("POST") == 1


def test_a_run_is_created_and_returned(sandbox: Sandbox) -> None:
    result = OpenAICreateRunOperator(task_id="task", assistant_id="asst_1").execute({})
    assert result["answer"] == "The answer is 42."
    assert sandbox.state()["threads"] == [result["thread_id"]]


def test_each_execution_has_its_own_identity(sandbox: Sandbox) -> None:
    for _ in range(2):
        OpenAICreateResponseOperator(**RESPONSE).execute({})
    tags = {body["metadata"]["airflow_task"] for body in bodies(sandbox, "/responses")}
    assert len(tags) == 2


def test_a_failed_response_raises_its_error(sandbox: Sandbox) -> None:
    sandbox.set_default_script("failed_at_once")
    with pytest.raises(RunFailedError):
        OpenAICreateResponseOperator(**RESPONSE).execute({})


def test_a_deferred_response_resumes(sandbox: Sandbox) -> None:
    sandbox.set_default_script("completed")
    task = OpenAICreateResponseOperator(**RESPONSE, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({})
    sandbox.clock.advance(10)
    event = {**deferred.value.trigger.ref.ids, "status": "completed"}
    kwargs = {"event": event, **(deferred.value.kwargs or {})}
    assert task.resume_execution("execute_complete", kwargs, {})["answer"] == "The answer is 42."
    assert sandbox.count("POST") == 1


def test_a_tool_that_needs_a_person_fails_by_name(sandbox: Sandbox) -> None:
    details = {"name": "roll", "arguments": "{}", "server_label": "dice"}
    steps = [{"type": "mcp_approval_request", "details": details}]
    sandbox.set_default_script({"base": "instant", "steps": steps})
    with pytest.raises(Exception, match="which this task does not answer"):
        OpenAICreateResponseOperator(**RESPONSE, poll_interval=0.01).execute({})


def test_a_run_that_failed_is_retrieved_before_the_error(sandbox: Sandbox) -> None:
    sandbox.set_default_script("failed_at_once")
    created = OpenAICreateResponseOperator(**RESPONSE, wait_for_completion=False).execute({})
    task = OpenAIGetRunOperator(task_id="get", run_id=str(created["id"]), fail_on_unsuccessful=True)
    with pytest.raises(Exception, match="ended as failed"):
        task.execute({})
