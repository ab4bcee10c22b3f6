"""Calls and approvals that a person answers."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import RunRequiresActionError, RunWaitTimeoutError
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.owned_runs import human_input
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, bodies, watched

Requests = list[dict[str, Any]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """Record the requests to people; none is answered."""
    hitl = pytest.importorskip("airflow.sdk.execution_time.hitl")
    if not human_input.is_available():
        pytest.skip("this Airflow cannot park a task")
    requests: Requests = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **request: requests.append(request))
    return requests


def run_task(sandbox: Sandbox, **arguments: Any) -> OwnedRunOperator:
    thread = sandbox.create_thread()["id"]
    return OpenAICreateRunOperator(
        task_id="task", assistant_id="asst_1", thread_id=thread, deferrable=True, **arguments
    )


def run_until_parked(attempts: TaskAttempts, sandbox: Sandbox) -> Any:
    """Run until the task is parked, and give what it was parked with."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    with pytest.raises(TaskAwaitingInput) as parked:
        attempts.resume(deferred, {**ref.ids, "status": "requires_action"})
    return parked.value


def chosen(option: str, **fields: str) -> dict[str, Any]:
    return {"chosen_options": [option], "params_input": fields}


def test_a_person_sees_the_call_that_needs_approval(sandbox: Sandbox, requests: Requests) -> None:
    sandbox.set_default_script("requires_approval")
    parked = run_until_parked(TaskAttempts(run_task(sandbox, timeout=60)), sandbox)
    assert requests[0]["options"] == ["Approve", "Reject"]
    assert requests[0]["subject"] == "May the model use roll of dice?"
    assert '{"dice": "2d6"}' in requests[0]["body"]
    assert parked.method_name == "execute_answered"
    assert 0 < parked.timeout.total_seconds() <= 60


@pytest.mark.parametrize(("option", "approve"), [("Approve", True), ("Reject", False)])
def test_the_approval_is_submitted_to_the_run(
    sandbox: Sandbox, requests: Requests, option: str, approve: bool
) -> None:
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(run_task(sandbox))
    parked = run_until_parked(attempts, sandbox)
    attempts.resume(parked, chosen(option))
    sent = bodies(sandbox, "/submit_tool_outputs")
    assert sent == [{"tool_approvals": [{"tool_call_id": "call_roll", "approve": approve}]}]


def test_an_approval_of_a_response_creates_the_one_that_follows(sandbox: Sandbox, requests: Requests) -> None:
    sandbox.set_default_script("requires_approval")
    task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi", deferrable=True)
    attempts = TaskAttempts(task)
    parked = run_until_parked(attempts, sandbox)
    attempts.resume(parked, chosen("Approve"))
    item = bodies(sandbox, "/responses")[1]["input"][0]
    assert (item["type"], item["approve"]) == ("mcp_approval_response", True)


def test_calls_are_answered_in_turn_and_submitted_together(sandbox: Sandbox, requests: Requests) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(run_task(sandbox, human_tools=("get_weather",)))
    first = run_until_parked(attempts, sandbox)
    with pytest.raises(TaskAwaitingInput) as second:
        attempts.resume(first, chosen("Submit", output="rain"))
    assert sandbox.count("POST", "submit") == 0
    attempts.resume(second.value, chosen("Submit", output="sun"))
    outputs = bodies(sandbox, "/submit_tool_outputs")[0]["tool_outputs"]
    assert [one["output"] for one in outputs] == ["rain", "sun"]
    assert [request["options"] for request in requests] == [["Submit"], ["Submit"]]


def test_a_request_without_response_in_time_cancels_the_run(sandbox: Sandbox, requests: Requests) -> None:
    sandbox.set_default_script({"base": "requires_action", "cancel_seconds": 0})
    attempts = TaskAttempts(run_task(sandbox, human_tools=("get_weather",), timeout=30))
    parked = run_until_parked(attempts, sandbox)
    with pytest.raises(RunWaitTimeoutError, match="No person responded"):
        attempts.resume(parked, {"error": "The response timeout has passed.", "error_type": "timeout"})
    assert set(sandbox.state()["runs"].values()) == {"cancelled"}
    assert attempts.pushed["cancel_reason"] == "no_human_input"


def test_an_airflow_without_human_input_fails_and_names_the_call(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(human_input, "is_available", lambda: False)
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(run_task(sandbox))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    with pytest.raises(RunRequiresActionError, match="roll"):
        attempts.resume(deferred, {**ref.ids, "status": "requires_action"})
