"""What a run asks for, and the functions that answer it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.exceptions import ToolCallError
from airflow_provider_openai_run.owned_runs.tools import (
    PendingToolCall,
    ToolRunner,
    check_handlers,
    function_tools,
    pending_calls,
)
from airflow_provider_openai_run.types.run import Run
from tests.json_strategies import json_values, quick

CALL = PendingToolCall(id="call_1", kind="function", name="look", arguments='{"at": "x"}')


def asking(**action: Any) -> Run:
    return Run(id="run_1", required_action=action)


def test_functions_approvals_and_what_nobody_here_does_are_told_apart() -> None:
    calls = pending_calls(
        asking(
            submit_tool_outputs={
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                    {"id": "call_2", "type": "computer_call", "computer_call": {}},
                ]
            },
            submit_tool_approval={
                "tool_calls": [{"id": "appr_1", "name": "roll", "arguments": "{}", "server_label": "dice"}]
            },
        )
    )
    assert [(call.id, call.kind, call.name) for call in calls] == [
        ("call_1", "function", "look"),
        ("call_2", "other", "computer_call"),
        ("appr_1", "approval", "roll"),
    ]
    assert calls[2].where == "dice"


@quick
@given(json_values)
def test_no_shape_of_a_required_action_stops_the_reading(value: Any) -> None:
    pending_calls(Run(id="run_1", required_action=value if isinstance(value, dict) else None))
    pending_calls(asking(submit_tool_outputs=value, submit_tool_approval={"tool_calls": value}))
    function_tools(value)


def output(handler: Any, arguments: str = '{"at": "x"}', on_error: Any = "submit") -> str:
    call = PendingToolCall(id="call_1", kind="function", name="look", arguments=arguments)
    return ToolRunner({"look": handler}, None, on_error).output(call)


@pytest.mark.parametrize(
    ("given_back", "text"),
    [("plain", "plain"), ({"é": [1, None]}, '{"é": [1, null]}'), (None, "null"), (True, "true")],
)
def test_what_a_function_returns_is_handed_over_as_text(given_back: Any, text: str) -> None:
    assert output(lambda at: given_back) == text


@pytest.mark.parametrize("given_back", [{1, 2}, object(), float("nan"), b"bytes"])
@pytest.mark.parametrize("on_error", ["submit", "fail"])
def test_what_json_cannot_hold_fails_the_task_in_any_case(given_back: Any, on_error: str) -> None:
    with pytest.raises(ToolCallError, match="returned what JSON cannot hold"):
        output(lambda at: given_back, on_error=on_error)


@pytest.mark.parametrize("arguments", ["no JSON", "[]", '{"other": 1}', '{"at": 1, "and": 2}'])
def test_arguments_that_do_not_fit_are_told_to_the_model_or_fail_the_task(arguments: str) -> None:
    assert json.loads(output(lambda at: at, arguments))["error"]
    with pytest.raises(ToolCallError, match="look"):
        output(lambda at: at, arguments, on_error="fail")


def test_a_function_that_takes_anything_is_given_everything() -> None:
    assert json.loads(output(lambda **all_of_it: all_of_it)) == {"at": "x"}


def test_handlers_for_tools_the_assistant_has_need_no_definition() -> None:
    check_handlers({"look": lambda at: at}, None, on_error="submit", also_known=())


def test_a_tool_is_answered_by_a_function_or_a_person_not_both() -> None:
    with pytest.raises(ValueError, match="both in tool_handlers and in human_tools"):
        check_handlers({"look": str}, None, on_error="submit", also_known=("look",))
