from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.progress import PROGRESS_KEY
from tests.run_page.pages import NOW, RUN, task, view

SENSOR = task(operator="OpenAIRunSensor")


def published(*statuses: tuple[str, float], **more: Any) -> dict[str, Any]:
    seen = [{"status": status, "at": at} for status, at in statuses]
    run = {**RUN, "status": statuses[-1][0], "completed_at": None, "usage": None, "steps": None}
    return {PROGRESS_KEY: {"run": run, "statuses": seen, "seen_at": statuses[-1][1], **more}}


def test_a_run_is_shown_with_what_it_is_known_by() -> None:
    shown = view()
    assert (shown.status, shown.tone, shown.took) == ("completed", "good", "1 min 00 s")
    assert [(fact.label, fact.text) for fact in shown.facts] == [
        ("Model", "gpt-5.2"),
        ("Run", "run_1"),
        ("Thread", "thread_1"),
        ("Assistant", "asst_1"),
    ]
    assert [moment.label for moment in shown.moments] == ["Created", "Started", "Completed"]
    assert shown.missing == ("The run has no steps.",)


def test_attributes_under_keys_of_their_own_are_as_good_as_the_return_value() -> None:
    assert view(RUN).told.attributes == view().told.attributes


def test_what_a_sensor_published_is_shown_while_it_is_deferred() -> None:
    waiting = task(operator="OpenAIRunSensor", state="deferred")
    shown = view(published(("queued", NOW - 90), ("in_progress", NOW - 60)), facts=waiting)
    assert (shown.status, shown.tone, shown.since) == ("in_progress", "active", NOW - 100)
    assert shown.timeline is not None
    (lane,) = shown.timeline.lanes
    assert [bar.label for bar in lane.bars] == ["queued · 30 s", "in_progress"]
    assert [(bar.x, bar.width) for bar in lane.bars] == [(10, 30), (40, 60)]
    assert (shown.moments[-1].label, shown.moments[-1].at) == ("Status seen", NOW - 60)
    assert shown.missing == ()


def test_what_a_sensor_returned_counts_for_more_than_what_it_published() -> None:
    returned = {"run_id": "run_1", "thread_id": "thread_1", "status": "completed"}
    shown = view({**published(("in_progress", NOW - 60)), "return_value": returned}, facts=SENSOR)
    assert (shown.status, shown.tone) == ("completed", "good")
    assert "A sensor leaves the steps and the answer alone" in shown.missing[0]


def test_what_was_published_of_another_run_is_not_taken_for_this_one() -> None:
    shown = view({**published(("in_progress", NOW - 60)), "run_id": "run_2", "thread_id": None})
    assert shown.told.attributes["id"] == "run_2"
    assert (shown.status, shown.usage) == (None, None)


def test_the_end_of_a_wait_is_told_in_full_with_its_request_id() -> None:
    error = {"type": "RunWaitTimeoutError", "message": "Gave up waiting for run run_1"}
    failed = task(operator="OpenAIRunSensor", state="failed")
    shown = view(published(("in_progress", NOW - 60), error=error, request_id="req_1"), facts=failed)
    (trouble,) = shown.troubles
    assert (trouble.title, trouble.message) == ("RunWaitTimeoutError", "Gave up waiting for run run_1")
    assert trouble.request_id == "req_1"
    assert "its log says why" in shown.missing[0]


def test_the_last_error_is_told_with_all_that_the_api_said() -> None:
    error = {"code": "rate_limit_exceeded", "message": "Too fast.", "param": "model"}
    (trouble,) = view(status="failed", last_error=error).troubles
    assert (trouble.title, trouble.message) == ("rate_limit_exceeded", "Too fast.")
    assert trouble.details == '{\n  "param": "model"\n}'


def test_an_incomplete_run_tells_why() -> None:
    (trouble,) = view(status="incomplete", incomplete_details={"reason": "max_output_tokens"}).troubles
    assert (trouble.title, trouble.message) == ("Incomplete", "max_output_tokens")


def test_pending_calls_are_named_with_their_arguments() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
    pending = view(status="requires_action", required_action=action).pending
    assert pending is not None
    assert pending.title == "Waits for tool outputs"
    assert [(one.name, one.id, one.arguments) for one in pending.calls] == [("f", "call_1", '{\n  "a": 1\n}')]


def test_an_action_that_the_api_does_not_name_is_still_one() -> None:
    pending = view(status="requires_action").pending
    assert pending is not None
    assert "does not name" in pending.title


def test_usage_of_either_api_is_a_bar_of_its_parts() -> None:
    usage = {
        "prompt_tokens": 80,
        "completion_tokens": 20,
        "total_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    shown = view(usage=usage).usage
    assert shown is not None
    assert [(part.tone, part.x, part.width) for part in shown.parts] == [
        ("cached", 0, 60),
        ("prompt", 60, 20),
        ("reasoning", 80, 5),
        ("completion", 85, 15),
    ]


def test_tokens_of_several_rounds_are_told_together() -> None:
    spent = {"rounds": 2, "total_tokens_of_all_rounds": 2500}
    shown = view({"return_value": RUN, "token_usage": spent}).usage
    assert shown is not None
    assert shown.more == "2,500 tokens after 2 rounds of tool calls"


@pytest.mark.parametrize("usage", ["many", [], {"prompt_tokens": "12"}, {"total_tokens": -1}, {}])
def test_usage_of_no_known_shape_is_left_out(usage: Any) -> None:
    assert view(usage=usage).usage is None


def test_an_answer_is_text_or_laid_out_json() -> None:
    told = {**RUN, "answer": "42"}
    assert view({"return_value": told}).answer.text == "42"  # type: ignore[union-attr]
    told["answer"] = {"city": "Oslo"}
    assert view({"return_value": told}).answer.text == '{\n  "city": "Oslo"\n}'  # type: ignore[union-attr]


def test_the_last_message_of_a_response_is_its_answer() -> None:
    details = '{"type": "message", "content": [{"type": "output_text", "text": "The answer is 42."}]}'
    answer = view(steps=[{"id": "msg_1", "type": "message", "details": details}]).answer
    assert answer is not None
    assert answer.text == "The answer is 42."


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "not started"),
        ("queued", "not started"),
        ("running", "in XCom yet"),
        ("deferred", "in XCom yet"),
        ("success", "told to push none"),
        ("failed", "log says why"),
    ],
)
def test_a_task_without_xcoms_says_why(state: str | None, says: str) -> None:
    shown = view({}, facts=task(state=state))
    assert shown.is_ours
    assert says in shown.missing[0]


@pytest.mark.parametrize(
    "xcoms",
    [
        {},
        {"return_value": {"status": "fine", "id": 7}},
        {"return_value": "run_1", "model": "T", "status": "completed"},
        {"run_id": "manual__1"},
        {"return_value": [1, 2], "usage": {"total_tokens": 1}},
    ],
)
def test_a_task_of_another_provider_is_told_from_ours(xcoms: dict[str, Any]) -> None:
    assert not view(xcoms, facts=task(operator="PythonOperator")).is_ours


def test_what_an_xcom_backend_keeps_elsewhere_is_named() -> None:
    kept = {**RUN, "steps": "s3://bucket/steps.json", "return_value": "s3://bucket/run.json"}
    shown = view(kept)
    assert shown.steps is None
    assert ["s3://bucket/run.json" in shown.missing[0], "s3://bucket/steps.json" in shown.missing[1]] == [
        True
    ] * 2


@pytest.mark.parametrize("steps", ["not there", 7, {"data": []}])
def test_steps_of_an_unknown_shape_are_said_to_be(steps: Any) -> None:
    shown = view(steps=steps)
    assert shown.steps is None
    assert shown.missing


def test_a_run_of_a_task_that_has_ended_has_no_running_clock() -> None:
    assert view(status="in_progress", completed_at=None).since is None
