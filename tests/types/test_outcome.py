from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.registry import ref_from_json
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunCancelledError,
    RunEndedError,
    RunExpiredError,
    RunFailedError,
    RunIncompleteError,
    RunNotFoundError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run, RunError
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import STATUSES
from tests.json_strategies import json_objects, json_values, quick
from tests.run_strategies import refs, runs

REF = RunRef("assistants", "run_1", "thread_1")
ENDED: dict[str, type[RunEndedError]] = {
    "completed": RunEndedError,
    "failed": RunFailedError,
    "cancelled": RunCancelledError,
    "expired": RunExpiredError,
    "incomplete": RunIncompleteError,
}
#: An event is written whole into the task's log.
SMALL = 8_000

texts = st.none() | st.text()
wait_errors = st.builds(
    lambda kind, message, fields: kind(message, **fields),
    st.sampled_from([RunWaitTimeoutError, RunRequiresActionError, RunRequestError, RunNotFoundError]),
    st.text(),
    st.fixed_dictionaries(
        {}, optional={"run_id": texts, "status": texts, "code": texts, "http_status": st.integers(400, 599)}
    ),
)
outcomes = st.builds(
    Outcome,
    ref=refs,
    status=st.sampled_from([*STATUSES, None, "brand_new"]),
    reason=texts,
    code=texts,
    request_id=texts,
    error=st.none() | wait_errors,
)


@pytest.mark.parametrize("accepted", [(status,) for status in ENDED])
@pytest.mark.parametrize("status", ENDED)
def test_a_final_status_raises_its_error_unless_accepted(status: str, accepted: tuple[str]) -> None:
    outcome = Outcome(ref=REF, status=status, reason="out of luck", code="bad_luck", request_id="req_1")
    if status in accepted:
        outcome.raise_unless_accepted(accepted)
        return
    with pytest.raises(RunEndedError) as caught:
        outcome.raise_unless_accepted(accepted)
    error = caught.value
    assert type(error) is ENDED[status]
    assert (error.run_id, error.thread_id, error.status) == ("run_1", "thread_1", status)
    assert (error.code, error.request_id) == ("bad_luck", "req_1")
    for word in ("run_1", "thread_1", status, "out of luck", "req_1", "Its status is final."):
        assert word in str(error)


@pytest.mark.parametrize("accepted", [("completed",), ("failed", "expired")])
def test_a_run_returned_for_its_required_action_raises_nothing(accepted: tuple[str, ...]) -> None:
    Outcome(ref=REF, status="requires_action").raise_unless_accepted(accepted)


@pytest.mark.parametrize("status", ["completed", "requires_action", "failed", None])
def test_the_error_of_the_wait_takes_precedence_over_the_status(status: str | None) -> None:
    error = RunWaitTimeoutError("Gave up.")
    with pytest.raises(RunWaitTimeoutError) as caught:
        Outcome(ref=REF, status=status, error=error).raise_unless_accepted(("completed",))
    assert caught.value is error


def test_an_error_without_a_reason_says_so() -> None:
    message = str(Outcome(ref=REF, status="failed").ended_error())
    assert "no reason" in message
    assert "None" not in message


def test_advice_is_part_of_the_error_of_a_final_status() -> None:
    assert "The last step failed." in str(
        Outcome(ref=REF, status="failed").ended_error("The last step failed.")
    )


def test_the_outcome_of_a_run_has_its_status_and_reason() -> None:
    run = Run(id="r", status="failed", last_error=RunError(code="server_error", message="Sorry."))
    outcome = Outcome.from_run(run, REF, "req_1")
    assert (outcome.ref, outcome.status, outcome.code, outcome.request_id) == (
        REF,
        "failed",
        "server_error",
        "req_1",
    )
    assert outcome.error is None
    assert outcome.reason is not None
    assert "Sorry." in outcome.reason


def test_the_error_of_an_incomplete_run_names_the_reason() -> None:
    run = Run(id="r", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert "max_output_tokens" in str(Outcome.from_run(run, REF).ended_error())


@pytest.mark.parametrize("secret", ["sk-proj-abcdEFGH1234", "Bearer abcdEFGH1234"])
def test_a_key_in_the_reason_of_a_failed_run_is_masked(secret: str) -> None:
    run = Run(
        id="r",
        status="failed",
        last_error=RunError(code="tool_error", message=f"MCP said: {secret} is wrong"),
    )
    outcome = Outcome.from_run(run, REF)
    assert "abcdEFGH1234" not in json.dumps(outcome.to_event())
    assert "abcdEFGH1234" not in str(outcome.ended_error())


@quick
@given(runs)
def test_the_event_of_any_run_is_small_json(run: Run) -> None:
    event = Outcome.from_run(run, REF, "req_1").to_event()
    assert json.loads(json.dumps(event)) == event
    assert (event["run_id"], event["parent_id"], event["status"]) == ("run_1", "thread_1", run.status)
    assert len(json.dumps(event)) < SMALL


@pytest.mark.parametrize(
    "run",
    [
        Run(id="r", status="failed", last_error=RunError(code="c", message="long " * 20_000)),
        Run(id="r", status="failed", last_error=RunError(code="long" * 20_000, message="m")),
        Run(id="r", status="incomplete", incomplete_details={"reason": "long" * 20_000}),
        Run(id="r", status="completed", instructions="long" * 20_000, required_action={"a": "long" * 20_000}),
    ],
    ids=["message", "code", "incomplete", "payload"],
)
def test_an_event_stays_small_for_a_very_long_payload(run: Run) -> None:
    assert len(json.dumps(Outcome.from_run(run, REF).to_event())) < SMALL


@quick
@given(outcomes)
def test_an_outcome_survives_an_event(outcome: Outcome) -> None:
    event = json.loads(json.dumps(outcome.to_event()))
    result = Outcome.from_event(event, ref_from_json(event))
    assert result.to_event() == event
    assert (result.ref, result.status, type(result.error)) == (
        outcome.ref,
        outcome.status,
        type(outcome.error),
    )
    assert (result.reason, result.code, result.request_id) == (
        outcome.reason,
        outcome.code,
        outcome.request_id,
    )


@quick
@given(
    outcomes, st.dictionaries(st.text().map(lambda key: f"x_{key}"), json_values, max_size=3), json_objects
)
def test_unknown_keys_of_an_event_are_ignored(
    outcome: Outcome, added: dict[str, Any], added_to_error: dict[str, Any]
) -> None:
    event = outcome.to_event()
    if "error" in event:
        event["error"] = {**{f"x_{key}": value for key, value in added_to_error.items()}, **event["error"]}
    assert Outcome.from_event({**added, **event}, outcome.ref).to_event() == outcome.to_event()


def test_an_unknown_error_type_fails_the_wait() -> None:
    error = {"type": "RunPausedError", "message": "Paused."}
    event = {"run_id": "run_1", "status": "completed", "error": error}
    outcome = Outcome.from_event(event, ref_from_json(event))
    with pytest.raises(OpenAIRunError, match="Paused"):
        outcome.raise_unless_accepted(("completed",))


def test_an_event_needs_only_the_id_of_the_run() -> None:
    event = {"run_id": "run_1"}
    outcome = Outcome.from_event(event, ref_from_json(event))
    assert (outcome.ref, outcome.status, outcome.error) == (RunRef("responses", "run_1"), None, None)


def test_an_unknown_status_is_not_a_success() -> None:
    with pytest.raises(RunEndedError, match="brand_new"):
        Outcome(ref=REF, status="brand_new").raise_unless_accepted(("completed",))
