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

ReceivedRequest = list[dict[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> ReceivedRequest:
    """What people were asked; nobody answers by himself."""
    hitl = pytest.importorskip("airflow.sdk.execution_time.hitl")
    if not human_input.can_be_asked():
        pytest.skip("this Airflow cannot park a task")
    questions: ReceivedRequest = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **question: questions.append(question))
    return questions


def run_task(sandbox: Sandbox, **arguments: Any) -> OwnedRunOperator:
    thread = sandbox.create_thread()["id"]
    return OpenAICreateRunOperator(
        task_id="task", assistant_id="asst_1", thread_id=thread, deferrable=True, **arguments
    )


def until_asked(tries: TaskAttempts, sandbox: Sandbox) -> Any:
    """Run until the task is parked, and give what it was parked with."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    deferred = tries.begin()
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    with pytest.raises(TaskAwaitingInput) as parked:
        tries.resume(deferred, {**ref.ids, "status": "requires_action"})
    return parked.value


def chosen(option: str, **fields: str) -> dict[str, Any]:
    return {"chosen_options": [option], "params_input": fields}


def test_an_approval_is_asked_of_a_person_with_what_it_is_about(
    sandbox: Sandbox, asked: ReceivedRequest
) -> None:
    sandbox.set_default_script("requires_approval")
    parked = until_asked(TaskAttempts(run_task(sandbox, timeout=60)), sandbox)
    assert asked[0]["options"] == ["Approve", "Reject"]
    assert asked[0]["subject"] == "May the model use roll of dice?"
    assert '{"dice": "2d6"}' in asked[0]["body"]
    assert parked.method_name == "execute_answered"
    assert 0 < parked.timeout.total_seconds() <= 60


@pytest.mark.parametrize(("option", "approve"), [("Approve", True), ("Reject", False)])
def test_the_answer_goes_to_the_run(
    sandbox: Sandbox, asked: ReceivedRequest, option: str, approve: bool
) -> None:
    sandbox.set_default_script("requires_approval")
    tries = TaskAttempts(run_task(sandbox))
    parked = until_asked(tries, sandbox)
    tries.resume(parked, chosen(option))
    sent = bodies(sandbox, "/submit_tool_outputs")
    assert sent == [{"tool_approvals": [{"tool_call_id": "call_roll", "approve": approve}]}]


def test_an_approval_of_a_response_goes_into_the_one_that_follows(
    sandbox: Sandbox, asked: ReceivedRequest
) -> None:
    sandbox.set_default_script("requires_approval")
    task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi", deferrable=True)
    tries = TaskAttempts(task)
    parked = until_asked(tries, sandbox)
    tries.resume(parked, chosen("Approve"))
    item = bodies(sandbox, "/responses")[1]["input"][0]
    assert (item["type"], item["approve"]) == ("mcp_approval_response", True)


def test_several_calls_are_asked_one_after_the_other_and_submitted_together(
    sandbox: Sandbox, asked: ReceivedRequest
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    sandbox.set_default_script("requires_action")
    tries = TaskAttempts(run_task(sandbox, human_tools=("get_weather",)))
    first = until_asked(tries, sandbox)
    with pytest.raises(TaskAwaitingInput) as second:
        tries.resume(first, chosen("Submit", output="rain"))
    assert sandbox.count("POST", "submit") == 0
    tries.resume(second.value, chosen("Submit", output="sun"))
    outputs = bodies(sandbox, "/submit_tool_outputs")[0]["tool_outputs"]
    assert [one["output"] for one in outputs] == ["rain", "sun"]
    assert [question["options"] for question in asked] == [["Submit"], ["Submit"]]


def test_nobody_answering_in_time_ends_the_run(sandbox: Sandbox, asked: ReceivedRequest) -> None:
    sandbox.set_default_script({"base": "requires_action", "cancel_seconds": 0})
    tries = TaskAttempts(run_task(sandbox, human_tools=("get_weather",), timeout=30))
    parked = until_asked(tries, sandbox)
    with pytest.raises(RunWaitTimeoutError, match="Nobody answered"):
        tries.resume(parked, {"error": "The response timeout has passed.", "error_type": "timeout"})
    assert set(sandbox.state()["runs"].values()) == {"cancelled"}


def test_an_airflow_that_cannot_park_a_task_fails_it_by_name(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(human_input, "can_be_asked", lambda: False)
    sandbox.set_default_script("requires_approval")
    tries = TaskAttempts(run_task(sandbox))
    deferred = tries.begin()
    sandbox.clock.advance(1.5)
    ref = watched(deferred).ref
    with pytest.raises(RunRequiresActionError, match="roll"):
        tries.resume(deferred, {**ref.ids, "status": "requires_action"})
