from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.exceptions import RunRequiresActionError
from airflow_provider_openai_run.polling.options import RequiresActionPolicy
from tests.json_strategies import json_values, quick
from tests.polling.single_poller import CALLS, START, assert_names, ends, fails, goes_on, run, texts, wait


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "incomplete"])
@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return"])
def test_a_run_that_ended_badly_ends_as_that_though_its_action_is_still_there(
    status: str, on_requires_action: str
) -> None:
    outcome = ends(
        wait(on_requires_action=on_requires_action).on_run(run(status, required_action=CALLS), START)
    )
    assert (outcome.status, outcome.error) == (status, None)


@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return"])
def test_an_empty_required_action_does_not_keep_a_run_from_having_completed(on_requires_action: str) -> None:
    outcome = ends(
        wait(on_requires_action=on_requires_action).on_run(run("completed", required_action={}), START)
    )
    assert (outcome.status, outcome.error) == ("completed", None)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling"])
@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return"])
@pytest.mark.parametrize("left_over", [None, CALLS])
def test_an_active_run_is_waited_for_though_an_answered_action_is_still_there(
    status: str, on_requires_action: str, left_over: dict[str, Any] | None
) -> None:
    goes_on(wait(on_requires_action=on_requires_action).on_run(run(status, required_action=left_over), START))


@pytest.mark.parametrize("action", [CALLS, None, {}])
def test_a_run_that_requires_action_is_waited_for_and_said_so_once(action: dict[str, Any] | None) -> None:
    waiting = wait()
    first = goes_on(waiting.on_run(run("requires_action", required_action=action), START))
    assert [note.level for note in first.notes] == [logging.INFO, logging.WARNING]
    assert texts(waiting.on_run(run("requires_action", required_action=action), START + 5)) == []


def test_the_calls_a_run_waits_for_are_named_without_their_arguments() -> None:
    text = " ".join(texts(wait().on_run(run("requires_action", required_action=CALLS), START)))
    assert "get_rain" in text
    assert "call_1" in text
    assert "sk-hidden" not in text


@pytest.mark.parametrize("action", [CALLS, None, {}])
def test_a_run_that_requires_action_fails_the_wait_if_told_so(action: dict[str, Any] | None) -> None:
    waiting = wait(on_requires_action="fail")
    error = fails(waiting.on_run(run("requires_action", required_action=action), START, request_id="req_1"))
    assert isinstance(error, RunRequiresActionError)
    assert_names(error, "on_requires_action", "left as it is")
    assert (error.status, error.request_id) == ("requires_action", "req_1")
    assert ("get_rain" in str(error)) is (action == CALLS)


@pytest.mark.parametrize("action", [CALLS, None, {}])
def test_a_run_that_requires_action_is_returned_if_told_so(action: dict[str, Any] | None) -> None:
    outcome = ends(
        wait(on_requires_action="return").on_run(run("requires_action", required_action=action), START)
    )
    assert (outcome.status, outcome.error) == ("requires_action", None)
    outcome.raise_unless_accepted(("completed",))


def test_a_completed_response_with_calls_left_open_fails_only_if_told_so() -> None:
    response = run("completed", required_action=CALLS)
    assert ends(wait().on_run(response, START)).error is None
    assert ends(wait(on_requires_action="return").on_run(response, START)).status == "completed"
    error = fails(wait(on_requires_action="fail").on_run(response, START))
    assert isinstance(error, RunRequiresActionError)
    assert "may still go on" not in str(error)


@quick
@given(json_values, st.sampled_from(["wait", "fail", "return"]))
def test_no_shape_of_a_required_action_stops_the_wait_from_deciding(
    held: Any, on_requires_action: RequiresActionPolicy
) -> None:
    for action in (
        {"type": held, "submit_tool_outputs": held},
        {"submit_tool_outputs": {"tool_calls": held}, "submit_tool_approval": {"tool_calls": [held]}},
        {
            "submit_tool_approval": {
                "tool_calls": [{"id": held, "function": held, "name": held, "type": held}]
            }
        },
    ):
        wait(on_requires_action=on_requires_action).on_run(
            run("requires_action", required_action=action), START
        )


def test_the_event_of_a_run_that_waits_for_many_calls_stays_small() -> None:
    calls = [{"id": f"call_{n}", "function": {"name": "n" * 64}} for n in range(500)]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    outcome = ends(
        wait(on_requires_action="fail").on_run(run("requires_action", required_action=action), START)
    )
    assert len(json.dumps(outcome.to_event())) < 8_000
