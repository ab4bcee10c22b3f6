"""Whole waits, drawn at random and played against a model that says in a few lines how a wait is to go."""

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
#: What a float of epoch seconds cannot tell apart.
ROUNDING = 1e-5

ENDS = ("completed", "failed", "cancelled", "expired", "incomplete")
CALL = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [{"id": "c", "function": {}}]}}


@dataclass(frozen=True)
class Sighting:
    """The run was seen, ``latency`` seconds after it was asked for."""

    status: str | None
    retry_after_seconds: float | None
    latency: float


@dataclass(frozen=True)
class Failure:
    """The request failed."""

    error: type[RunRequestError]
    is_retryable: bool
    retry_after: float | None
    latency: float


hints = st.none() | st.floats(0, 500)
latencies = st.floats(0, 40)
sightings = st.builds(
    Sighting,
    st.sampled_from(
        [*["queued", "in_progress", "requires_action", "cancelling", "odd", "odder", None] * 3, *ENDS]
    ),
    hints,
    latencies,
)
failures = st.one_of(
    st.builds(Failure, st.just(RunRequestError), st.sampled_from([True] * 9 + [False]), hints, latencies),
    st.builds(Failure, st.just(RunNotFoundError), st.just(value=False), hints, latencies),
    st.builds(Failure, st.just(RunAuthenticationError), st.just(value=False), hints, latencies),
)
happenings = st.lists(sightings | sightings | failures, min_size=1, max_size=40)
options = st.builds(
    lambda budget, interval, more, on_requires_action, most_failures: PollOptions(
        started_at=START,
        deadline=None if budget is None else START + budget,
        poll_interval=interval,
        max_poll_interval=interval + more,
        on_requires_action=on_requires_action,
        max_consecutive_failures=most_failures,
    ),
    st.none() | st.floats(0, 600),
    st.floats(0.5, 60),
    st.floats(0, 120),
    st.sampled_from(["wait", "fail", "return"]),
    st.integers(1, 4),
)


class Model:
    """The rules of a wait, each said once."""

    def __init__(self, chosen: PollOptions) -> None:
        self.chosen = chosen
        self.failures = 0
        self.status: str | None = None

    def after(self, happening: Sighting | Failure, now: float) -> str | type[Exception] | None:
        """The status or the error that the wait ends with; None if it goes on."""
        late = self.chosen.deadline is not None and now >= self.chosen.deadline
        if isinstance(happening, Sighting):
            self.failures, self.status = 0, happening.status
            if happening.status in ENDS:
                return happening.status
            if happening.status == "requires_action":
                by_choice: dict[RequiresActionPolicy, str | type[Exception] | None]
                by_choice = {"return": "requires_action", "fail": RunRequiresActionError, "wait": None}
                if self.chosen.on_requires_action != "wait":
                    return by_choice[self.chosen.on_requires_action]
            return RunWaitTimeoutError if late else None
        self.failures += 1
        in_grace = happening.error is RunNotFoundError and now - START <= 30
        if not (happening.is_retryable or in_grace) or self.failures >= self.chosen.max_consecutive_failures:
            return happening.error
        return RunWaitTimeoutError if late else None


def told(waiting: RunPoller, happening: Sighting | Failure, now: float) -> Decision:
    if isinstance(happening, Failure):
        error = happening.error(
            "It failed.", is_retryable=happening.is_retryable, retry_after=happening.retry_after
        )
        return waiting.on_error(error, now)
    action = CALL if happening.status == "requires_action" else None
    body = json.dumps({"id": "r", "status": happening.status, "required_action": action}).encode()
    after = happening.retry_after_seconds
    headers = {} if after is None else {"openai-poll-after-ms": f"{1000 * after:.6f}"}
    return waiting.on_response(ApiResponse(200, headers, body), now)


def ended_with(outcome: Outcome) -> str | type[Exception] | None:
    return outcome.status if outcome.error is None else type(outcome.error)


@quick
@given(options, happenings, st.randoms(use_true_random=False))
def test_a_wait_ends_when_and_as_the_model_says(
    chosen: PollOptions, happenings: list[Sighting | Failure], chance: Random
) -> None:
    waiting, model = RunPoller(RunRef("assistants", "r", "t"), chosen, chance.random), Model(chosen)
    now = START
    for happening in happenings:
        now += happening.latency
        expected = model.after(happening, now)
        decision = told(waiting, happening, now)
        if isinstance(decision, Outcome):
            assert ended_with(decision) == expected
            assert decision.status == model.status
            return
        assert expected is None
        now = decision.at


@quick
@given(options, happenings, st.floats(0, 1, exclude_max=True))
def test_the_next_question_comes_when_it_may_and_never_after_the_deadline(
    chosen: PollOptions, happenings: list[Sighting | Failure], draw: float
) -> None:
    waiting, now = RunPoller(RunRef("assistants", "r", "t"), chosen, lambda: draw), START
    assert chosen.max_poll_interval is not None
    for happening in happenings:
        now += happening.latency
        decision = told(waiting, happening, now)
        if isinstance(decision, Outcome):
            return
        left = float("inf") if chosen.deadline is None else chosen.deadline - now
        hint = (
            happening.retry_after_seconds if isinstance(happening, Sighting) else happening.retry_after
        ) or 0.0
        delay = decision.at - now
        assert delay <= min(max(chosen.max_poll_interval, hint), left) + ROUNDING
        assert delay >= min(max(0.9 * chosen.poll_interval, hint), left) - ROUNDING
        now = decision.at


def expected_notes(
    happening: Sighting | Failure, model: Model, before: tuple[int, str | None], said: set[str]
) -> int:
    """How many lines the log gets after a happening that the model has taken in."""
    if isinstance(happening, Failure):
        return 1
    failures_before, status_before = before
    topic = (
        happening.status
        if happening.status not in ("queued", "in_progress", "cancelling", *ENDS)
        else "nothing"
    )
    is_news = topic != "nothing" and str(topic) not in said
    said.add(str(topic))
    return (failures_before > 0) + (model.status != status_before) + is_news


@quick
@given(options, happenings)
def test_the_log_tells_changes_and_failures_and_no_mere_look(
    chosen: PollOptions, happenings: list[Sighting | Failure]
) -> None:
    waiting, model, now = RunPoller(RunRef("assistants", "r", "t"), chosen, lambda: 0.0), Model(chosen), START
    said: set[str] = set()
    for happening in happenings:
        now += happening.latency
        before = (model.failures, model.status)
        model.after(happening, now)
        decision = told(waiting, happening, now)
        if not isinstance(decision, PollAgain):
            return
        assert len(decision.notes) == expected_notes(happening, model, before, said)
        assert all(note.level in (logging.INFO, logging.WARNING) for note in decision.notes)
        now = decision.at


@quick
@given(st.lists(st.sampled_from(["odd", "odder", None]), min_size=1, max_size=30), st.floats(1, 600))
def test_statuses_nobody_knows_never_end_a_wait_before_its_deadline(
    statuses: list[str | None], budget: float
) -> None:
    chosen = PollOptions(started_at=START, deadline=START + budget)
    waiting, now = RunPoller(RunRef("assistants", "r", "t"), chosen, lambda: 0.0), START
    for status in statuses:
        decision = told(waiting, Sighting(status, None, 0.0), now)
        if isinstance(decision, Outcome):
            assert now >= START + budget
            assert isinstance(decision.error, RunWaitTimeoutError)
            return
        now = decision.at
