"""Cancelling a run by an operator."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.operators.openai_run import OpenAICancelRunOperator
from airflow_provider_openai_run.sandbox import Sandbox


@pytest.fixture
def endless(sandbox: Sandbox) -> Sandbox:
    sandbox.set_default_script("in_progress")
    return sandbox


def cancel_task(**arguments: Any) -> Any:
    return OpenAICancelRunOperator(task_id="cancel", **arguments).execute({})


def test_it_cancels_the_run(endless: Sandbox) -> None:
    run = endless.create_run()
    result = cancel_task(run_id=run["id"], thread_id=run["thread_id"])
    assert result == {
        "api": "assistants",
        "run_id": run["id"],
        "thread_id": run["thread_id"],
        "status": "cancelling",
    }


def test_cancelling_a_run_that_has_ended_returns_its_status(sandbox: Sandbox) -> None:
    done = sandbox.create_response(script="instant")
    assert cancel_task(run_id=done["id"])["status"] == "completed"


def test_it_fails_if_the_run_cannot_be_cancelled(endless: Sandbox) -> None:
    waiting = endless.create_response()
    endless.faults.add("reply", path="/cancel", status=400)
    with pytest.raises(RunRequestError):
        cancel_task(run_id=waiting["id"])


def test_it_can_wait_until_the_run_has_ended(endless: Sandbox) -> None:
    run = endless.create_run()
    task = OpenAICancelRunOperator(
        task_id="cancel",
        run_id=run["id"],
        thread_id=run["thread_id"],
        wait_for_completion=True,
        deferrable=True,
        do_xcom_push=False,
    )
    with pytest.raises(TaskDeferred):
        task.execute({})
    result = task.execute_complete(
        {},
        {"run_id": run["id"], "thread_id": run["thread_id"], "status": "cancelled"},
    )
    assert result["status"] == "cancelled"
