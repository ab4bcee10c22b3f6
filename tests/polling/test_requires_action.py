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
from tests.polling.decisions import (
    REQUIRED_ACTION,
    START,
    MakePoller,
    assert_names,
    error_of,
    logged,
    outcome_of,
    poll_again,
    run,
)


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "incomplete"])
@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return", "answer"])
def test_a_failed_run_keeps_its_status_despite_an_action(
    make_poller: MakePoller, status: str, on_requires_action: str
) -> None:
    outcome = outcome_of(
        make_poller(on_requires_action=on_requires_action).on_run(
            run(status, required_action=REQUIRED_ACTION), START
        )
    )
    assert (outcome.status, outcome.error) == (status, None)


@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return", "answer"])
def test_an_empty_required_action_does_not_change_a_completed_run(
    make_poller: MakePoller, on_requires_action: str
) -> None:
    outcome = outcome_of(
        make_poller(on_requires_action=on_requires_action).on_run(run("completed", required_action={}), START)
    )
    assert (outcome.status, outcome.error) == ("completed", None)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling"])
@pytest.mark.parametrize("on_requires_action", ["wait", "fail", "return", "answer"])
@pytest.mark.parametrize("leftover", [None, REQUIRED_ACTION])
def test_an_active_run_is_polled_again_despite_a_leftover_action(
    make_poller: MakePoller, status: str, on_requires_action: str, leftover: dict[str, Any] | None
) -> None:
    poll_again(
        make_poller(on_requires_action=on_requires_action).on_run(
            run(status, required_action=leftover), START
        )
    )


@pytest.mark.parametrize("action", [REQUIRED_ACTION, None, {}])
def test_waiting_for_a_required_action_is_logged_once(
    make_poller: MakePoller, action: dict[str, Any] | None
) -> None:
    poller = make_poller()
    first = poll_again(poller.on_run(run("requires_action", required_action=action), START))
    assert [message.level for message in first.log_messages] == [logging.INFO, logging.WARNING]
    assert logged(poller.on_run(run("requires_action", required_action=action), START + 5)) == []


def test_pending_calls_are_named_without_their_arguments(make_poller: MakePoller) -> None:
    text = " ".join(
        logged(make_poller().on_run(run("requires_action", required_action=REQUIRED_ACTION), START))
    )
    assert "get_rain" in text
    assert "call_1" in text
    assert "sk-hidden" not in text


@pytest.mark.parametrize("action", [REQUIRED_ACTION, None, {}])
def test_the_fail_policy_fails_a_wait_for_a_run_that_requires_action(
    make_poller: MakePoller, action: dict[str, Any] | None
) -> None:
    poller = make_poller(on_requires_action="fail")
    error = error_of(poller.on_run(run("requires_action", required_action=action), START, request_id="req_1"))
    assert isinstance(error, RunRequiresActionError)
    assert_names(error, "on_requires_action", "left as it is")
    assert (error.status, error.request_id) == ("requires_action", "req_1")
    assert error.run_left_running is True
    assert ("get_rain" in str(error)) is (action == REQUIRED_ACTION)


@pytest.mark.parametrize("on_requires_action", ["return", "answer"])
@pytest.mark.parametrize("action", [REQUIRED_ACTION, None, {}])
def test_return_and_answer_return_a_run_that_requires_action(
    make_poller: MakePoller, on_requires_action: str, action: dict[str, Any] | None
) -> None:
    outcome = outcome_of(
        make_poller(on_requires_action=on_requires_action).on_run(
            run("requires_action", required_action=action), START
        )
    )
    assert (outcome.status, outcome.error) == ("requires_action", None)
    outcome.raise_unless_accepted(("completed",))


def test_a_completed_response_with_open_calls_fails_only_by_the_policy(make_poller: MakePoller) -> None:
    response = run("completed", required_action=REQUIRED_ACTION)
    assert outcome_of(make_poller().on_run(response, START)).error is None
    assert outcome_of(make_poller(on_requires_action="return").on_run(response, START)).status == "completed"
    error = error_of(make_poller(on_requires_action="fail").on_run(response, START))
    assert isinstance(error, RunRequiresActionError)
    assert error.run_left_running is False
    assert "may still be running" not in str(error)


@quick
@given(json_values, st.sampled_from(["wait", "fail", "return", "answer"]))
def test_a_required_action_of_any_shape_leads_to_a_decision(
    make_poller: MakePoller, value: Any, on_requires_action: RequiresActionPolicy
) -> None:
    for action in (
        {"type": value, "submit_tool_outputs": value},
        {"submit_tool_outputs": {"tool_calls": value}, "submit_tool_approval": {"tool_calls": [value]}},
        {
            "submit_tool_approval": {
                "tool_calls": [{"id": value, "function": value, "name": value, "type": value}]
            }
        },
    ):
        make_poller(on_requires_action=on_requires_action).on_run(
            run("requires_action", required_action=action), START
        )


def test_the_event_of_a_run_with_many_pending_calls_stays_small(make_poller: MakePoller) -> None:
    calls = [{"id": f"call_{n}", "function": {"name": "n" * 64}} for n in range(500)]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    outcome = outcome_of(
        make_poller(on_requires_action="fail").on_run(run("requires_action", required_action=action), START)
    )
    assert len(json.dumps(outcome.to_event())) < 8_000
