"""Tool rounds on the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_openai_run.owned_runs.rounds import ROUNDS_KEY
from airflow_provider_openai_run.run_page.rounds import read_rounds
from airflow_provider_openai_run.run_page.view import RunView
from tests.run_page.pages import NOW, RUN, make_task, make_view

CALL = {"id": "call_1", "name": "f", "arguments": '{"a":1}', "output": "one", "by": "function"}
FIRST = {
    "run_id": "resp_1",
    "created_at": NOW - 200,
    "completed_at": NOW - 180,
    "requested_at": NOW - 180,
    "answered_at": NOW - 170,
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    "calls": [CALL],
}
APPROVAL = {"id": "call_2", "name": "roll", "server_label": "dice", "approved": False, "by": "person"}
SECOND = {**FIRST, "run_id": "resp_2", "created_at": NOW - 170, "usage": None, "calls": [APPROVAL]}


def view_of(*rounds: Any, state: str = "success", **values: Any) -> RunView:
    return make_view(
        {"return_value": {**RUN, "id": "resp_3", **values}, ROUNDS_KEY: [*rounds]},
        task=make_task(state=state),
    )


def test_a_round_has_its_calls_times_and_tokens() -> None:
    first, second = view_of(FIRST, SECOND).rounds
    assert (first.number, first.title, first.tokens) == (1, "f", "15")
    assert (first.duration, first.answer_duration) == ("30 s", "10 s")
    (call,) = first.calls
    assert (call.arguments, call.output, call.by_person) == ('{\n  "a": 1\n}', "one", False)
    (approval,) = second.calls
    assert (approval.name, approval.verdict, approval.by_person) == ("dice: roll", "Rejected", True)
    assert (second.number, second.tokens) == (2, None)


def test_the_headline_counts_the_time_and_tokens_of_all_rounds() -> None:
    view = view_of(FIRST)
    assert view.duration == "2 min 40 s"
    assert view.usage is not None
    assert (view.usage.total, view.usage.note) == ("1,015", "with 1 round of tool calls")
    assert {part.kind: part.tokens for part in view.usage.parts} == {"prompt": "910", "completion": "105"}


def test_rounds_of_the_same_run_count_its_tokens_once() -> None:
    again = {**FIRST, "requested_at": NOW - 150, "answered_at": NOW - 140}
    view = view_of(FIRST, again, id="resp_1")
    assert [entry.duration for entry in view.rounds] == ["30 s", "30 s"]
    assert view.usage is not None
    assert view.usage.total == "1,000"


def test_the_timeline_shows_the_model_and_its_calls() -> None:
    view = view_of(FIRST)
    assert view.timeline is not None
    model, calls = view.timeline.lanes
    assert (model.name, calls.name) == ("Model", "Tool calls")
    assert [bar.tooltip for bar in model.bars] == ["Round 1 · 20 s", "The latest run · 1 min 00 s"]
    assert [bar.tooltip for bar in calls.bars] == ["f · 10 s"]


def test_calls_that_were_answered_are_not_waited_for() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
    assert view_of({**FIRST, "run_id": "resp_3"}, required_action=action).required_action is None
    shown = view_of(FIRST, required_action=action).required_action
    assert shown is not None
    assert (shown.title, shown.severity) == ("Requested calls", "unknown")
    assert "does not say whether" in str(shown.note)


def test_the_model_has_paused_while_a_person_is_waited_for() -> None:
    view = view_of(FIRST, state="awaiting_input")
    assert (view.status, view.severity, view.run_status) == ("waits for a person", "waiting", "completed")
    assert (view.duration, view.running_since) == (None, NOW - 200)
    assert view.timeline is not None
    model, calls = view.timeline.lanes
    assert (model.bars[-1].x, model.bars[-1].width) == (50, 30)
    assert (calls.bars[-1].x, calls.bars[-1].width, calls.bars[-1].tooltip) == (80, 20, "Not answered yet")


def test_the_previous_response_of_a_round_links_to_the_round() -> None:
    view = view_of(FIRST, SECOND, previous_response_id="resp_2")
    assert {item.label: item.url for item in view.attributes}["Previous response"] == "#round-2"


def test_texts_that_are_not_kept_are_none() -> None:
    ((call,),) = [entry.calls for entry in read_rounds([{"calls": [{"name": "f"}], "left_out": True}])]
    assert (call.arguments, call.output, call.verdict) == (None, None, None)


@pytest.mark.parametrize("value", [None, "?", 7, {}, [None, 7, []], json.dumps([FIRST])])
def test_rounds_of_another_shape_are_read_as_far_as_possible(value: Any) -> None:
    assert len(read_rounds(value)) == (1 if isinstance(value, str) and value.startswith("[") else 0)
