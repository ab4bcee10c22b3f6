from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    InvalidConnectionError,
    RunAuthenticationError,
    RunFailedError,
    RunNotFoundError,
    RunStalledError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import PollAgain
from airflow_provider_openai_run.polling.run_list import RunListState, options_for_list
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run, Usage
from airflow_provider_openai_run.types.run_list_outcome import RunListOutcome
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import quick

NOW = 1_795_000_000.0
OPTIONS = PollOptions(started_at=NOW, deadline=NOW + 60)
COMPLETED = ("completed",)
LEFT = "Runs that have not ended were left as they are: they may still be running and use tokens."
NOT_FOUND = RunNotFoundError("The API does not know the run.", http_status=404)
TIMEOUT = RunWaitTimeoutError("Gave up waiting for run resp_0: its last status was queued.")


def ref(index: int) -> RunRef:
    return RunRef("responses", f"resp_{index}")


def ended(index: int, status: str = "completed", **fields: Any) -> Outcome:
    return Outcome(ref=ref(index), status=status, **fields)


def state_of(total: int, wait_for: int | None = None, accepted: Any = COMPLETED) -> RunListState:
    run_ids = [f"resp_{index}" for index in range(total)]
    return RunListState(run_ids, wait_for=total if wait_for is None else wait_for, accepted_statuses=accepted)


def after(state: RunListState, *outcomes: Outcome) -> RunListState:
    for outcome in outcomes:
        state.on_decision(int(outcome.ref.run_id.rpartition("_")[2]), outcome, NOW)
    return state


def error_of(state: RunListState) -> Any:
    return state.outcome(OPTIONS, NOW + 60).error


KINDS = st.sampled_from(["completed", "failed", "incomplete", "given_up", "timed_out", "open"])


@quick
@given(st.data())
def test_it_is_over_when_the_goal_is_reached_or_cannot_be(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(KINDS, max_size=6))
    wait_for = data.draw(st.integers(min_value=0, max_value=len(kinds)))
    accepted = data.draw(st.sampled_from([None, ("completed",), ("completed", "incomplete")]))
    state = state_of(len(kinds), wait_for, accepted)
    for index in data.draw(st.permutations(range(len(kinds)))):
        if kinds[index] == "given_up":
            after(state, ended(index, "queued", error=NOT_FOUND))
        elif kinds[index] == "timed_out":
            after(state, ended(index, "queued", error=TIMEOUT))
        elif kinds[index] != "open":
            after(state, ended(index, kinds[index]))
    counting = {"given_up", "completed", "failed", "incomplete"} if accepted is None else set(accepted)
    reached = sum(kind in counting for kind in kinds) >= wait_for
    reachable = sum(kind in counting | {"open", "timed_out"} for kind in kinds) >= wait_for
    assert state.is_over == (reached or not reachable or "open" not in kinds)
    outcome = state.outcome(OPTIONS, NOW)
    assert (outcome.error is None) == reached
    assert isinstance(outcome.error, RunWaitTimeoutError) == (not reached and reachable)
    event = json.loads(json.dumps(outcome.to_event()))
    assert RunListOutcome.from_event(event, "responses").to_event() == event


@pytest.mark.parametrize(
    "error",
    [
        RunAuthenticationError("Refused.", http_status=401),
        InvalidConnectionError("The password is missing."),
        ConnectionLookupError("Not found."),
    ],
)
def test_what_concerns_the_connection_ends_the_wait(error: Any) -> None:
    state = after(state_of(3, 1), ended(1, "queued", error=error))
    assert state.is_over
    assert type(error_of(state)) is type(error)


def test_a_run_of_another_project_is_given_up_alone() -> None:
    forbidden = RunAuthenticationError("Not yours.", http_status=403)
    assert not after(state_of(3, 2), ended(1, "queued", error=forbidden)).is_over


def test_the_error_names_how_many_and_the_first_failed_runs() -> None:
    state = after(state_of(9), *(ended(index, "failed", reason="Sorry.") for index in range(2, 9)))
    error = error_of(state)
    assert isinstance(error, RunFailedError)
    assert (error.run_id, error.status) == ("resp_2", "failed")
    named = " ".join(f"run resp_{index} ended as failed: Sorry." for index in range(2, 7))
    assert error.message == (
        "Gave up waiting for all of 9 runs: 7 cannot end in an accepted status any more "
        f"(7 failed, 2 not polled yet). {named} And 2 more. {LEFT}"
    )


def test_a_stalled_run_is_given_up() -> None:
    state = after(state_of(2, 1), ended(0, "in_progress", error=RunStalledError("It has not changed.")))
    assert not state.is_over
    assert state.outcome(OPTIONS, NOW).given_up == (0,)


def test_the_error_of_a_deadline_has_the_counts_and_an_example() -> None:
    state = after(state_of(2), ended(1), ended(0, "queued", error=TIMEOUT))
    error = error_of(state)
    assert isinstance(error, RunWaitTimeoutError)
    assert error.message == (
        "Gave up waiting for all of 2 runs after 1 minute, the timeout: 1 queued, 1 completed. The first of "
        f"those that have not ended: {TIMEOUT.message} {LEFT}"
    )


def test_a_required_action_that_is_returned_is_accepted() -> None:
    assert error_of(after(state_of(1), ended(0, "requires_action"))) is None


def test_tokens_are_added_up() -> None:
    state = state_of(3)
    assert state.tokens is None
    run = Run(id="resp_0", status="completed", usage=Usage(total_tokens=7))
    after(state, ended(0, run=run), ended(1), ended(2, run=run))
    assert state.tokens == 14


def test_changes_are_noted_with_their_time() -> None:
    state = state_of(2)
    state.on_decision(1, PollAgain(NOW + 5, run=Run(id="resp_1", status="queued")), NOW)
    state.on_decision(1, PollAgain(NOW + 9, run=None), NOW + 5)
    assert (state.statuses, list(state.changed_at), state.changes) == ([None, "queued"], [0.0, NOW], 1)


def test_one_list_sends_at_most_200_polls_a_second() -> None:
    assert options_for_list(OPTIONS, 1000) is OPTIONS
    many = options_for_list(OPTIONS, 10_000)
    assert (many.poll_interval, many.max_poll_interval) == (50.0, 120.0)
    assert options_for_list(OPTIONS, 100_000).max_poll_interval == 500.0
