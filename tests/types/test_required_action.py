"""Reading what a run waits for."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from airflow_provider_openai_run.types.required_action import RequiredAction
from tests.json_strategies import json_values, quick

FUNCTION: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_rain", "arguments": "{}"},
}
COMPUTER: dict[str, Any] = {"id": "call_2", "type": "computer_call", "computer_call": {}}
APPROVAL: dict[str, Any] = {
    "id": "appr_1",
    "name": "roll",
    "arguments": {"dice": "2d6"},
    "server_label": "dice",
}
ACTION: dict[str, Any] = {
    "type": "submit_tool_outputs",
    "submit_tool_outputs": {"tool_calls": [FUNCTION, COMPUTER]},
    "submit_tool_approval": {"tool_calls": [APPROVAL]},
}


def test_functions_approvals_and_other_calls_are_distinguished() -> None:
    action = RequiredAction.from_json(ACTION)
    assert action.type == "submit_tool_outputs"
    assert [(call.id, call.kind, call.name) for call in action.calls] == [
        ("call_1", "function", "get_rain"),
        ("call_2", "other", "computer_call"),
        ("appr_1", "approval", "roll"),
    ]
    assert action.calls[2].server_label == "dice"
    assert [call.raw for call in action.calls] == [FUNCTION, COMPUTER, APPROVAL]


def test_arguments_are_always_text() -> None:
    calls = RequiredAction.from_json(ACTION).calls
    assert [call.arguments_text for call in calls] == ["{}", "{}", '{"dice": "2d6"}']
    assert [call.arguments for call in calls] == ["{}", None, {"dice": "2d6"}]


def test_a_call_without_an_id_is_kept_with_an_empty_one() -> None:
    action: dict[str, Any] = {
        "submit_tool_outputs": {"tool_calls": [{"function": {"name": "get_rain"}}, "nonsense"]}
    }
    assert [(call.id, call.name) for call in RequiredAction.from_json(action).calls] == [("", "get_rain")]


def test_nothing_required_is_an_empty_action() -> None:
    assert RequiredAction.from_json(None) == RequiredAction.from_json({}) == RequiredAction()


@quick
@given(json_values)
def test_a_required_action_of_any_shape_can_be_read(value: Any) -> None:
    RequiredAction.from_json(value)
    part = {"tool_calls": value}
    RequiredAction.from_json({"type": value, "submit_tool_outputs": part, "submit_tool_approval": part})
    call = {"id": value, "name": value, "type": value, "function": value, "server_label": value}
    RequiredAction.from_json({"submit_tool_outputs": {"tool_calls": [call, {"function": call}]}})
