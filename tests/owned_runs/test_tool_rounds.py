"""Runs that wait for tool outputs, over several rounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_openai_run.exceptions import (
    RunFailedError,
    RunRequiresActionError,
    TokenBudgetSpentError,
    ToolCallError,
)
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, bodies, watched

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "parameters": CITY}
TIME = {"name": "get_time", "parameters": CITY}


def get_weather(city: str) -> dict[str, str]:
    return {"weather": f"rain in {city}"}


def get_time(city: str) -> str:
    return f"noon in {city}"


HANDLERS = {"get_weather": get_weather, "get_time": get_time}


def of_a_run(sandbox: Sandbox, **arguments: Any) -> OwnedRunOperator:
    tools = [{"type": "function", "function": one} for one in (WEATHER, TIME)]
    options = {"thread_id": sandbox.create_thread()["id"], "tools": tools, "tool_handlers": HANDLERS}
    return OpenAICreateRunOperator(
        task_id="task", assistant_id="asst_1", deferrable=True, **{**options, **arguments}
    )


def of_a_response(sandbox: Sandbox, **arguments: Any) -> OwnedRunOperator:
    del sandbox
    options = {"tools": [{"type": "function", **one} for one in (WEATHER, TIME)], "tool_handlers": HANDLERS}
    options |= {"model": "gpt-5.2", "input": "Hi", "tool_choice": "required"}
    return OpenAICreateResponseOperator(task_id="task", deferrable=True, **{**options, **arguments})


BOTH = pytest.mark.parametrize("new_task", [of_a_run, of_a_response])


def event_for(deferred: TaskDeferred, status: str = "requires_action") -> dict[str, Any]:
    ref = watched(deferred).ref
    return {**ref.ids, "status": status}


@BOTH
def test_two_rounds_complete_in_one_try_deferred_in_between(sandbox: Sandbox, new_task: Any) -> None:
    sandbox.set_default_script("requires_action_twice")
    attempts = TaskAttempts(new_task(sandbox))
    deferred = attempts.begin()
    for _ in range(2):
        sandbox.clock.advance(1.5)
        deferred = attempts.resume(deferred, event_for(deferred))
        assert isinstance(deferred, TaskDeferred)
    sandbox.clock.advance(3)
    result = attempts.resume(deferred, event_for(deferred, "completed"))
    assert result["status"] == "completed"
    assert attempts.pushed["token_usage"]["rounds"] == 2
    assert attempts.tries == 1


def test_the_outputs_are_submitted_to_the_run(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(of_a_run(sandbox))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    attempts.resume(deferred, event_for(deferred))
    outputs = [one["output"] for one in bodies(sandbox, "/submit_tool_outputs")[0]["tool_outputs"]]
    assert outputs == ['{"weather": "rain in Oslo"}', '{"weather": "rain in Lima"}']


def test_a_response_is_followed_by_one_that_continues_it(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "requires_action", "steps": [thought(120), time_call()]})
    attempts = TaskAttempts(of_a_response(sandbox))
    deferred = attempts.begin()
    first = watched(deferred).ref.run_id
    sandbox.clock.advance(1.5)
    following = attempts.resume(deferred, event_for(deferred, "completed"))
    assert watched(following).ref.run_id != first
    sent = bodies(sandbox, "/responses")[1]
    assert sent["previous_response_id"] == first
    assert "tool_choice" not in sent
    assert {item["type"] for item in sent["input"]} == {"function_call_output"}
    assert attempts.pushed["run_id"] == watched(following).ref.run_id
    sandbox.clock.advance(3)
    attempts.resume(following, event_for(following, "completed"))
    usage = attempts.pushed["token_usage"]
    assert usage["run_ids"] == [first, watched(following).ref.run_id]
    assert usage["total_tokens_of_all_rounds"] > usage["total_tokens"]


def test_a_conversation_continues_by_its_own_id(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(of_a_response(sandbox, conversation="conv_1"))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    attempts.resume(deferred, event_for(deferred, "completed"))
    sent = bodies(sandbox, "/responses")[1]
    assert sent["conversation"] == "conv_1"
    assert "previous_response_id" not in sent


@BOTH
def test_a_retry_between_rounds_continues_the_conversation(sandbox: Sandbox, new_task: Any) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(new_task(sandbox))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    following = attempts.resume(deferred, event_for(deferred))
    again = attempts.begin()
    assert watched(again).ref == watched(following).ref
    sandbox.clock.advance(3)
    assert attempts.resume(again, event_for(again, "completed"))["status"] == "completed"


def test_a_retry_with_another_run_counts_rounds_and_tokens_from_zero(sandbox: Sandbox) -> None:
    script = {
        "base": "requires_action",
        "steps": [thought(120), time_call()],
        "after_outputs": "failed_at_once",
    }
    sandbox.set_default_script(script)
    attempts = TaskAttempts(of_a_response(sandbox, token_budget=150))
    for _ in range(2):
        deferred = attempts.begin()
        sandbox.clock.advance(1.5)
        with pytest.raises(RunFailedError):
            attempts.resume(deferred, event_for(deferred, "completed"))


def test_the_error_of_a_function_is_submitted_to_the_model(sandbox: Sandbox) -> None:
    def breaks(city: str) -> str:
        raise LookupError(f"no such city: {city}")

    outputs = outputs_of(sandbox, breaks)
    assert outputs[0] == {"error": "LookupError: no such city: Oslo"}


def test_arguments_that_do_not_match_the_schema_are_reported(sandbox: Sandbox) -> None:
    strict = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": strict}}]
    assert "'Oslo' is not one of ['Rome']" in outputs_of(sandbox, get_weather, tools=tools)[0]["error"]


def test_arguments_the_function_does_not_accept_are_reported(sandbox: Sandbox) -> None:
    outputs = outputs_of(sandbox, lambda town: town, tools=None)
    assert "missing a required argument: 'town'" in outputs[0]["error"]


def outputs_of(sandbox: Sandbox, handler: Any, **arguments: Any) -> list[Any]:
    sandbox.set_default_script("requires_action")
    handlers = {"tool_handlers": {**HANDLERS, "get_weather": handler}}
    attempts = TaskAttempts(of_a_run(sandbox, **handlers, **arguments))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    attempts.resume(deferred, event_for(deferred))
    return [json.loads(one["output"]) for one in bodies(sandbox, "/submit_tool_outputs")[0]["tool_outputs"]]


def fails(city: str) -> str:
    raise LookupError(city)


def returns_a_set(city: str) -> object:
    return {city}


def skips(city: str) -> str:
    raise AirflowSkipException(city)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (
            {"on_tool_error": "fail", "tool_handlers": {**HANDLERS, "get_weather": fails}},
            ToolCallError,
            "tool_failed",
        ),
        ({"tool_handlers": {**HANDLERS, "get_weather": returns_a_set}}, ToolCallError, "tool_failed"),
        ({"tool_handlers": {**HANDLERS, "get_weather": skips}}, AirflowSkipException, "tool_ended_task"),
        (
            {"tool_handlers": {"get_time": get_time}, "tools": None},
            RunRequiresActionError,
            "unanswerable_request",
        ),
        ({"tool_handlers": None, "on_requires_action": "fail"}, RunRequiresActionError, "requires_action"),
    ],
)
def test_an_error_that_ends_the_conversation_cancels_the_run(
    sandbox: Sandbox, arguments: dict[str, Any], error: type[Exception], reason: str
) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(of_a_run(sandbox, **arguments))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    with pytest.raises(error) as caught:
        attempts.resume(deferred, event_for(deferred))
    sandbox.clock.advance(2)
    assert set(sandbox.state()["runs"].values()) == {"cancelled"}
    assert attempts.pushed["cancel_reason"] == reason
    assert getattr(caught.value, "run_left_running", False) is False
    assert getattr(caught.value, "run_id", watched(deferred).ref.run_id) == watched(deferred).ref.run_id


def test_a_run_that_could_not_be_cancelled_is_reported_as_running(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(of_a_run(sandbox, tool_handlers=None, on_requires_action="fail"))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    sandbox.faults.add("server_error", path="/cancel")
    with pytest.raises(RunRequiresActionError, match="may still be running") as caught:
        attempts.resume(deferred, event_for(deferred))
    assert caught.value.run_left_running is True
    assert "cancel_reason" not in attempts.pushed


@BOTH
def test_a_used_up_budget_ends_the_conversation_without_retry(sandbox: Sandbox, new_task: Any) -> None:
    sandbox.set_default_script({"base": "requires_action", "steps": [thought(120), time_call()]})
    attempts = TaskAttempts(new_task(sandbox, token_budget=100))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    with pytest.raises(TokenBudgetSpentError, match="token_budget of 100") as caught:
        attempts.resume(deferred, event_for(deferred))
    assert isinstance(caught.value, AirflowFailException)
    assert attempts.pushed["token_usage"]["try_number"] == 1
    assert attempts.pushed["token_usage"]["total_tokens_of_all_rounds"] == 120
    # A response has ended when it waits for outputs, so only a run is cancelled.
    reason = "token_budget" if new_task is of_a_run else None
    assert attempts.pushed.get("cancel_reason") == reason


def thought(tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    return {"type": "message_creation", "seconds": 0.1, "usage": usage}


def time_call() -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "get_time", "arguments": '{"city": "Oslo"}'}}
    return {"type": "tool_calls", "at": 0.5, "details": {"tool_calls": [call]}}


def test_max_tool_rounds_ends_the_conversation(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action_twice")
    attempts = TaskAttempts(of_a_run(sandbox, max_tool_rounds=1))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    deferred = attempts.resume(deferred, event_for(deferred))
    sandbox.clock.advance(1.5)
    with pytest.raises(ToolCallError, match="max_tool_rounds"):
        attempts.resume(deferred, event_for(deferred))
    assert attempts.pushed["cancel_reason"] == "max_tool_rounds"


def test_a_run_that_requires_action_can_be_returned(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(of_a_run(sandbox, tool_handlers=None, on_requires_action="return"))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    result = attempts.resume(deferred, event_for(deferred))
    assert result["status"] == "requires_action"
    assert len(result["required_action"]["submit_tool_outputs"]["tool_calls"]) == 2


def test_a_call_that_is_only_in_the_steps_is_answered(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action_without_details")
    attempts = TaskAttempts(of_a_run(sandbox))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    assert isinstance(attempts.resume(deferred, event_for(deferred)), TaskDeferred)


@pytest.mark.parametrize("handler", [lambda: "", lambda city, country: ""])
def test_a_handler_that_does_not_fit_its_tool_is_refused(sandbox: Sandbox, handler: Any) -> None:
    with pytest.raises(ValueError, match="does not accept the parameters of its tool"):
        of_a_run(sandbox, tool_handlers={**HANDLERS, "get_weather": handler})
