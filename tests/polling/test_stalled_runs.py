"""A run whose status and output do not change for ``stalled_after`` is named once, or ends the wait."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.exceptions import RunStalledError, RunWaitTimeoutError
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import PollAgain, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.polling.decisions import START, error_of, logged, poll_again, retryable_error

REF = RunRef("responses", "resp_1")


def make_poller(**options: Any) -> RunPoller:
    return RunPoller(REF, PollOptions(started_at=START, **options), random_fraction=lambda: 0.0)


def response(status: str = "in_progress", text: str = "", **fields: Any) -> ApiResponse:
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}] if text else []
    body = {"id": "resp_1", "status": status, "output": output, **fields}
    return ApiResponse(200, {"x-request-id": "req_1"}, json.dumps(body).encode())


def polls(poller: RunPoller, *responses: tuple[float, ApiResponse]) -> list[bool]:
    """Return after which polls the run was found to be stalled."""
    return [poll_again(poller.on_response(one, START + at)).has_stalled for at, one in responses]


def test_a_stalled_run_is_named_once() -> None:
    poller = make_poller(stalled_after=timedelta(minutes=1))
    same = response()
    assert polls(poller, (0, same), (59, same), (60, same), (120, same)) == [False, False, True, False]
    decision = make_poller(stalled_after=60)
    decision.on_response(same, START)
    (line,) = logged(decision.on_response(same, START + 90))
    assert line == f"{REF} is in_progress and has not changed for 1 minute 30 seconds (stalled_after)"


def test_output_counts_as_a_change_and_other_fields_do_not() -> None:
    poller = make_poller(stalled_after=60)
    assert polls(
        poller,
        (0, response()),
        (50, response(text="Once")),
        (70, response(text="Once upon")),
        (129, response(text="Once upon", server_time=1)),
        (130, response(text="Once upon", server_time=2)),
    ) == [False, False, False, False, True]


def test_a_run_that_changes_again_can_stall_again() -> None:
    poller = make_poller(stalled_after=60)
    one, other = response(), response(text="Once")
    assert polls(poller, (0, one), (60, one), (70, other), (130, other)) == [False, True, False, True]


def test_a_run_that_waits_for_an_action_has_not_stalled() -> None:
    poller = make_poller(stalled_after=60)
    waiting = response("requires_action")
    assert polls(poller, (0, waiting), (600, waiting)) == [False, False]


def test_failed_requests_are_no_change() -> None:
    poller = make_poller(stalled_after=60)
    assert polls(poller, (0, response())) == [False]
    assert isinstance(poller.on_error(retryable_error(), START + 70), PollAgain)
    assert polls(poller, (80, response())) == [True]


def test_a_stalled_run_can_end_the_wait() -> None:
    poller = make_poller(stalled_after=60, on_stalled="fail")
    poller.on_response(response(), START)
    decision = poller.on_response(response(), START + 61)
    error = error_of(decision)
    assert isinstance(decision, Outcome)
    assert decision.has_stalled
    assert type(error) is RunStalledError
    assert isinstance(error, RunWaitTimeoutError)
    assert (error.run_id, error.status, error.request_id) == ("resp_1", "in_progress", "req_1")
    assert error.run_left_running
    assert "has not changed for 1 minute 1 second. The run itself was left" in str(error)
    assert type(Outcome.from_event(decision.to_event(), REF).error) is RunStalledError


def test_a_deadline_comes_first() -> None:
    poller = make_poller(stalled_after=60, on_stalled="fail", deadline=START + 60)
    poller.on_response(response(), START)
    assert type(error_of(poller.on_response(response(), START + 61))) is RunWaitTimeoutError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stalled_after": 0}, "stalled_after must be more than 0 seconds"),
        ({"stalled_after": "60"}, "stalled_after must be more than 0 seconds"),
        ({"on_stalled": "cancel"}, "on_stalled must be one of"),
    ],
)
def test_an_option_out_of_its_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_poller(**options)
