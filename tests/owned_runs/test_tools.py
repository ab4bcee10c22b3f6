"""The functions that perform the calls of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.exceptions import ToolCallError
from airflow_provider_openai_run.owned_runs.tools import (
    ToolRunner,
    check_handlers,
    function_tools,
    pending_calls,
)
from airflow_provider_openai_run.types.required_action import PendingCall
from airflow_provider_openai_run.types.run import Run
from tests.json_strategies import json_values, quick

CALL = PendingCall(id="call_1", kind="function", name="look", arguments='{"at": "x"}')


def run_waiting_for(**action: Any) -> Run:
    return Run(id="run_1", required_action=action)


def test_only_calls_with_an_id_can_be_answered() -> None:
    calls = pending_calls(
        run_waiting_for(
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
    assert calls[2].server_label == "dice"


@quick
@given(json_values)
def test_no_shape_of_a_required_action_stops_the_reading(value: Any) -> None:
    pending_calls(Run(id="run_1", required_action=value if isinstance(value, dict) else None))
    pending_calls(run_waiting_for(submit_tool_outputs=value, submit_tool_approval={"tool_calls": value}))
    function_tools(value)


def output(handler: Any, arguments: str = '{"at": "x"}', on_tool_error: Any = "submit") -> str:
    call = PendingCall(id="call_1", kind="function", name="look", arguments=arguments)
    return ToolRunner({"look": handler}, None, on_tool_error).output(call)


@pytest.mark.parametrize(
    ("returned", "text"),
    [("plain", "plain"), ({"é": [1, None]}, '{"é": [1, null]}'), (None, "null"), (True, "true")],
)
def test_the_return_value_of_a_function_becomes_text(returned: Any, text: str) -> None:
    assert output(lambda at: returned) == text


@pytest.mark.parametrize("returned", [{1, 2}, object(), float("nan"), b"bytes"])
@pytest.mark.parametrize("on_tool_error", ["submit", "fail"])
def test_a_return_value_that_is_not_json_always_fails_the_task(returned: Any, on_tool_error: str) -> None:
    with pytest.raises(ToolCallError, match="returned a value that is not JSON"):
        output(lambda at: returned, on_tool_error=on_tool_error)


@pytest.mark.parametrize("arguments", ["no JSON", "[]", '{"other": 1}', '{"at": 1, "and": 2}'])
def test_invalid_arguments_are_reported_or_fail_the_task(arguments: str) -> None:
    assert json.loads(output(lambda at: at, arguments))["error"]
    with pytest.raises(ToolCallError, match="look"):
        output(lambda at: at, arguments, on_tool_error="fail")


def test_a_function_with_any_keyword_gets_all_arguments() -> None:
    assert json.loads(output(lambda **all_of_it: all_of_it)) == {"at": "x"}


def test_handlers_for_tools_of_the_assistant_need_no_definition() -> None:
    check_handlers({"look": lambda at: at}, None, on_tool_error="submit", human_tools=())


def test_a_tool_is_answered_by_a_function_or_a_person_not_both() -> None:
    with pytest.raises(ValueError, match="both in tool_handlers and in human_tools"):
        check_handlers({"look": str}, None, on_tool_error="submit", human_tools=("look",))
