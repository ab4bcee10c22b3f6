"""Whole waits, drawn at random and compared with a model of a few lines."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.http import ApiResponse
from airflow_provider_openai_run.exceptions import (
    RunAuthenticationError,
    RunNotFoundError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.options import PollOptions, RequiresActionPolicy
from airflow_provider_openai_run.polling.policy import Decision, PollAgain, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import quick

START = 1_795_000_000.0
#: The precision of epoch seconds in a float.
ROUNDING = 1e-5
REF = RunRef("assistants", "r", "t")

ENDS = ("completed", "failed", "cancelled", "expired", "incomplete")
CALL = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [{"id": "c", "function": {}}]}}


@dataclass(frozen=True)
class Success:
    """The run was retrieved, ``latency`` seconds after the request."""

    status: str | None
    retry_after: float | None
    latency: float


@dataclass(frozen=True)
class Failure:
    """The request failed."""

    error: type[RunRequestError]
    is_retryable: bool
    retry_after: float | None
    latency: float


retry_afters = st.none() | st.floats(0, 500)
latencies = st.floats(0, 40)
successes = st.builds(
    Success,
    st.sampled_from(
        [*["queued", "in_progress", "requires_action", "cancelling", "odd", "odder", None] * 3, *ENDS]
    ),
    retry_afters,
    latencies,
)
failures = st.one_of(
    st.builds(
        Failure, st.just(RunRequestError), st.sampled_from([True] * 9 + [False]), retry_afters, latencies
    ),
    st.builds(Failure, st.just(RunNotFoundError), st.just(value=False), retry_afters, latencies),
    st.builds(Failure, st.just(RunAuthenticationError), st.just(value=False), retry_afters, latencies),
)
poll_results = st.lists(successes | successes | failures, min_size=1, max_size=40)
any_options = st.builds(
    lambda budget, interval, more, on_requires_action, max_failures: PollOptions(
        started_at=START,
        deadline=None if budget is None else START + budget,
        poll_interval=interval,
        max_poll_interval=interval + more,
        on_requires_action=on_requires_action,
        max_consecutive_failures=max_failures,
    ),
    st.none() | st.floats(0, 600),
    st.floats(0.5, 60),
    st.floats(0, 120),
    st.sampled_from(["wait", "fail", "return", "answer"]),
    st.integers(1, 4),
)


class Model:
    """The rules of a wait, in their shortest form."""

    def __init__(self, poll_options: PollOptions) -> None:
        self.poll_options = poll_options
        self.failures = 0
        self.status: str | None = None

    def after(self, result: Success | Failure, now: float) -> str | type[Exception] | None:
        """The status or the error that the wait ends with; None if it goes on."""
        late = self.poll_options.deadline is not None and now >= self.poll_options.deadline
        if isinstance(result, Success):
            self.failures, self.status = 0, result.status
            if result.status in ENDS:
                return result.status
            if result.status == "requires_action":
                by_policy: dict[RequiresActionPolicy, str | type[Exception] | None]
                by_policy = {
                    "return": "requires_action",
                    "answer": "requires_action",
                    "fail": RunRequiresActionError,
                    "wait": None,
                }
                if self.poll_options.on_requires_action != "wait":
                    return by_policy[self.poll_options.on_requires_action]
            return RunWaitTimeoutError if late else None
        self.failures += 1
        in_grace = result.error is RunNotFoundError and now - START <= 30
        if (
            not (result.is_retryable or in_grace)
            or self.failures >= self.poll_options.max_consecutive_failures
        ):
            return result.error
        return RunWaitTimeoutError if late else None


def decide(poller: RunPoller, result: Success | Failure, now: float) -> Decision:
    if isinstance(result, Failure):
        error = result.error("It failed.", is_retryable=result.is_retryable, retry_after=result.retry_after)
        return poller.on_error(error, now)
    action = CALL if result.status == "requires_action" else None
    body = json.dumps({"id": "r", "status": result.status, "required_action": action}).encode()
    retry_after = result.retry_after
    headers = {} if retry_after is None else {"openai-poll-after-ms": f"{1000 * retry_after:.6f}"}
    return poller.on_response(ApiResponse(200, headers, body), now)


def ended_with(outcome: Outcome) -> str | type[Exception] | None:
    return outcome.status if outcome.error is None else type(outcome.error)


@quick
@given(any_options, poll_results, st.randoms(use_true_random=False))
def test_a_wait_ends_when_and_how_the_model_says(
    poll_options: PollOptions, poll_results: list[Success | Failure], random: Random
) -> None:
    poller, model = (
        RunPoller(REF, poll_options, random.random),
        Model(poll_options),
    )
    now = START
    for result in poll_results:
        now += result.latency
        expected = model.after(result, now)
        decision = decide(poller, result, now)
        if isinstance(decision, Outcome):
            assert ended_with(decision) == expected
            assert decision.status == model.status
            return
        assert expected is None
        now = decision.at


@quick
@given(any_options, poll_results, st.floats(0, 1, exclude_max=True))
def test_the_next_poll_obeys_intervals_retry_after_and_deadline(
    poll_options: PollOptions, poll_results: list[Success | Failure], fraction: float
) -> None:
    poller, now = RunPoller(REF, poll_options, lambda: fraction), START
    assert poll_options.max_poll_interval is not None
    for result in poll_results:
        now += result.latency
        decision = decide(poller, result, now)
        if isinstance(decision, Outcome):
            return
        time_left = float("inf") if poll_options.deadline is None else poll_options.deadline - now
        retry_after = result.retry_after or 0.0
        delay = decision.at - now
        assert delay <= min(max(poll_options.max_poll_interval, retry_after), time_left) + ROUNDING
        assert delay >= min(max(0.9 * poll_options.poll_interval, retry_after), time_left) - ROUNDING
        now = decision.at


def expected_message_count(
    result: Success | Failure, model: Model, before: tuple[int, str | None], logged: set[str]
) -> int:
    """Return how many lines the log gets after a poll."""
    if isinstance(result, Failure):
        return 1
    failures_before, status_before = before
    warning = (
        result.status if result.status not in ("queued", "in_progress", "cancelling", *ENDS) else "nothing"
    )
    is_new = warning != "nothing" and str(warning) not in logged
    logged.add(str(warning))
    return (failures_before > 0) + (model.status != status_before) + is_new


@quick
@given(any_options, poll_results)
def test_the_log_has_changes_and_failures_only(
    poll_options: PollOptions, poll_results: list[Success | Failure]
) -> None:
    poller, model, now = (
        RunPoller(REF, poll_options, lambda: 0.0),
        Model(poll_options),
        START,
    )
    logged: set[str] = set()
    for result in poll_results:
        now += result.latency
        before = (model.failures, model.status)
        model.after(result, now)
        decision = decide(poller, result, now)
        if not isinstance(decision, PollAgain):
            return
        assert len(decision.log_messages) == expected_message_count(result, model, before, logged)
        assert all(message.level in (logging.INFO, logging.WARNING) for message in decision.log_messages)
        now = decision.at


@quick
@given(st.lists(st.sampled_from(["odd", "odder", None]), min_size=1, max_size=30), st.floats(1, 600))
def test_unknown_statuses_never_end_a_wait_before_its_deadline(
    statuses: list[str | None], budget: float
) -> None:
    poll_options = PollOptions(started_at=START, deadline=START + budget)
    poller, now = RunPoller(REF, poll_options, lambda: 0.0), START
    for status in statuses:
        decision = decide(poller, Success(status, None, 0.0), now)
        if isinstance(decision, Outcome):
            assert now >= START + budget
            assert isinstance(decision.error, RunWaitTimeoutError)
            return
        now = decision.at
