"""When to ask about a run again, what to bear, and when to give up.

Pure decisions: nothing here does I/O or reads a clock. The hook's loop, the sensor and the triggerer's
watcher feed a :class:`Wait` with what they saw and do as it says, so all of them wait alike.
"""

from __future__ import annotations

import logging
import random
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise, retry_after_seconds
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunNotFoundError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.backoff import PollBackoff
from airflow_provider_openai_run.polling.options import INITIAL_POLL_STATE, PollState
from airflow_provider_openai_run.types.outcome import LogMessage, Outcome
from airflow_provider_openai_run.types.required_action import RequiredAction
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_openai_run.polling.options import PollOptions
    from airflow_provider_openai_run.types.run import Json, Run
    from airflow_provider_openai_run.types.run_ref import RunRef

# Thousands of waits have these in common.
_NOTHING_SAID: frozenset[str] = frozenset()
_shared_pace = lru_cache(maxsize=64)(PollBackoff.between)

#: How long after the start of the wait a 404 may be the API's own delay, in seconds.
NOT_FOUND_GRACE = 30.0


@dataclass(frozen=True, slots=True)
class PollAgain:
    """
    The wait goes on.

    :param at: when to ask next, in epoch seconds.
    :param notes: what to log now.
    :param run: the run, if its status is another one than before.
    """

    at: float
    notes: tuple[LogMessage, ...] = ()
    run: Run | None = None


Decision: TypeAlias = PollAgain | Outcome


class RunPoller:
    """
    One wait for one run: is told what was seen, and says what to do next.

    :param ref: the run.
    :param options: what the wait was asked to do.
    :param draw: gives random numbers from [0, 1), for the jitter.
    :param so_far: what was learned before by whoever waited first.
    """

    __slots__ = (
        "_draw",
        "_failures",
        "_last_error",
        "_pace",
        "_request_id",
        "_said",
        "_seen",
        "not_before",
        "options",
        "ref",
        "status",
    )

    def __init__(
        self,
        ref: RunRef,
        options: PollOptions,
        draw: Callable[[], float] = random.random,
        *,
        poll_state: PollState = INITIAL_POLL_STATE,
    ) -> None:
        self.ref = ref
        self.options = options
        self.status = poll_state.status
        self.not_before = poll_state.not_before
        self._draw = draw
        self._pace = _shared_pace(options.poll_interval, options.max_poll_interval)
        self._failures = poll_state.failures
        self._request_id: str | None = None
        self._last_error: RunRequestError | None = None
        self._said = _NOTHING_SAID
        self._seen: int | None = None

    @property
    def poll_state(self) -> PollState:
        """What whoever goes on with the wait has to know."""
        return PollState(status=self.status, failures=self._failures, not_before=self.not_before)

    @property
    def is_failing(self) -> bool:
        """Whether the last request failed."""
        return self._failures > 0

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed, at ``now`` in epoch seconds."""
        return self.options.deadline is not None and now >= self.options.deadline

    def on_response(self, answer: ApiResponse, now: float, *, base_url: str = "") -> Decision:
        """
        Decide after the API answered.

        :param answer: its answer to the request for the run.
        :param now: epoch seconds.
        :param base_url: where it was asked.
        """
        after = retry_after_seconds(answer.headers, now)
        # A run that has not moved is most often described by the very same bytes: no need to read them again.
        seen = hash(answer.body) if answer.http_status == HTTPStatus.OK else None
        if seen is not None and seen == self._seen:
            return self._saw_the_same(now, after, answer.request_id)
        api = api_of(self.ref)
        try:
            body = parse_or_raise(answer, api.retrieve(self.ref), self.ref, now=now, base_url=base_url)
        except RunRequestError as error:
            return self.on_error(error, now)
        run = api.with_ref(api.read_run(body), self.ref)
        decision = self.on_run(run, now, retry_after_seconds=after, request_id=answer.request_id)
        self._seen = seen if isinstance(decision, PollAgain) else None
        return decision

    def _saw_the_same(
        self, now: float, retry_after_seconds: float | None, request_id: str | None
    ) -> Decision:
        self._request_id = request_id
        notes = self._note_recovery()
        if self.is_late(now):
            return replace(self.expire(now), notes=tuple(notes))
        return self._ask_on(now, retry_after_seconds, notes)

    def on_run(
        self, run: Run, now: float, *, retry_after_seconds: float | None = None, request_id: str | None = None
    ) -> Decision:
        """
        Decide after the run was retrieved.

        :param run: as it is now; its steps are not looked at.
        :param now: epoch seconds.
        :param poll_after: how many seconds the API asks to be left alone.
        :param request_id: of the answer.
        """
        notes = [*self._note_recovery(), *self._note_status(run.status, now)]
        has_changed = run.status != self.status
        self.status = run.status if run.status is None else sys.intern(run.status[:200])
        self._request_id = request_id
        outcome = self._end(run, request_id)
        if outcome is None and self.is_late(now):
            outcome = self.expire(now)
        if outcome is not None:
            return replace(outcome, notes=tuple(notes))
        if run.state is RunState.NEEDS_ACTION:
            said = f"{self.ref} waits for {_pending(run)}; waiting until somebody has answered it"
            notes += self._note_once(said)
        elif run.state is RunState.UNKNOWN:
            said = f"{self.ref} has the unknown status {run.status!r}; waiting for one that is documented"
            notes += self._note_once(said)
        decision = self._ask_on(now, retry_after_seconds, notes)
        return replace(decision, run=run) if has_changed else decision

    def on_error(self, error: RunRequestError, now: float) -> Decision:
        """
        Decide after a request that failed.

        :param error: what came of it.
        :param now: epoch seconds.
        """
        self._failures += 1
        # Its traceback would keep every frame of the request.
        self._last_error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None
        just_started = now - self.options.started_at <= NOT_FOUND_GRACE
        is_retryable = error.is_retryable or (isinstance(error, RunNotFoundError) and just_started)
        if not is_retryable or self._failures >= self.options.max_consecutive_failures:
            return self._give_up(error, now)
        if self.is_late(now):
            return self.expire(now)
        delay = max(self._pace.backoff(self._failures, self._draw()), error.retry_after or 0.0)
        again = f"Failure {self._failures} in a row; asking again in {in_words(delay)}"
        text = f"{_sentence(error.message)} {again}"
        return self._ask_in(delay, now, [LogMessage(logging.WARNING, text)])

    def expire(self, now: float, *, trouble: RunRequestError | None = None) -> Outcome:
        """
        Give the outcome of a wait whose deadline has passed.

        :param now: epoch seconds.
        :param trouble: what keeps the API from being asked, if anything does.
        """
        trouble = self._last_error or trouble
        if self.status is None:
            seen = "no status was seen"
        elif classify_status(self.status) is RunState.UNKNOWN:
            seen = f"its last status was {self.status!r}, which no API documents"
        else:
            seen = f"its last status was {self.status}"
        if trouble is not None:
            seen += f", and the last request failed: {trouble.message}"
        deadline = now if self.options.deadline is None else self.options.deadline
        budget = in_words(deadline - self.options.started_at)
        message = f"Gave up waiting for {self.ref} after {budget}, the {self.options.limit}: "
        message += f"{_sentence(seen)} {_LEFT}"
        facts = self._facts(trouble)
        facts["request_id"] = facts["request_id"] or self._request_id
        return self._without_end(RunWaitTimeoutError(message, **facts))

    def _end(self, run: Run, request_id: str | None) -> Outcome | None:
        """Give the outcome of a run that ended or waits for somebody; None if that is to be borne."""
        on_requires_action = self.options.on_requires_action
        asks = run.state is RunState.NEEDS_ACTION or (run.is_successful and bool(run.required_action))
        if asks and on_requires_action == "fail":
            left = "It has ended; its calls are unanswered." if run.is_terminal else _LEFT
            told = f"{self.ref} is {run.status} and waits for {_pending(run)}"
            message = f"{told}, and on_requires_action is 'fail' (request id {request_id}). {left}"
            facts = self._facts(None) | {"request_id": request_id}
            return self._without_end(RunRequiresActionError(message, **facts))
        if not run.is_terminal and not (asks and on_requires_action == "return"):
            return None
        return Outcome.from_run(run, self.ref, request_id)

    def _give_up(self, error: RunRequestError, now: float) -> Outcome:
        waited = in_words(now - self.options.started_at)
        count = f"{self._failures} failed requests in a row" if self._failures > 1 else "a failed request"
        seen = f"its last status was {self.status}" if self.status else "no status was seen"
        message = f"Gave up waiting for {self.ref} after {waited} and {count}: {_sentence(error.message)} "
        message += f"Before that {seen}."
        if not isinstance(error, RunNotFoundError):
            message += f" {_LEFT}"
        return self._without_end(type(error)(message, **self._facts(error)))

    def _without_end(self, error: OpenAIRunError) -> Outcome:
        return Outcome(ref=self.ref, status=self.status, request_id=error.request_id, error=error)

    def _facts(self, error: OpenAIRunError | None) -> dict[str, Json]:
        answer = {name: getattr(error, name, None) for name in ("code", "request_id", "http_status")}
        return {**self.ref.ids, "status": self.status, **answer}

    def _ask_on(self, now: float, retry_after_seconds: float | None, notes: list[LogMessage]) -> PollAgain:
        interval = self._pace.interval(now - self.options.started_at, self._draw())
        return self._ask_in(max(interval, retry_after_seconds or 0.0), now, notes)

    def _ask_in(self, delay: float, now: float, notes: list[LogMessage]) -> PollAgain:
        at = now + delay
        self.not_before = at if self.options.deadline is None else min(at, self.options.deadline)
        return PollAgain(self.not_before, tuple(notes))

    def _note_recovery(self) -> list[LogMessage]:
        failures, self._failures, self._last_error = self._failures, 0, None
        if not failures:
            return []
        count = "a failed request" if failures == 1 else f"{failures} failed requests"
        return [LogMessage(logging.INFO, f"{self.ref} answers again after {count}")]

    def _note_status(self, status: str | None, now: float) -> list[LogMessage]:
        if status == self.status:
            return []
        waited = in_words(now - self.options.started_at)
        before = f" (was {self.status})" if self.status else ""
        return [LogMessage(logging.INFO, f"{self.ref} is {status}{before} after {waited}")]

    def _note_once(self, text: str) -> list[LogMessage]:
        if text in self._said:
            return []
        self._said |= {text}
        return [LogMessage(logging.WARNING, text)]


_LONGEST_IN_WORDS = 1e9
_MOST_CALLS_NAMED = 5
_LEFT = "The run itself was left as it is: it may still go on and use tokens."


def in_words(seconds: float) -> str:
    """
    Give a duration as a person says it.

    :param seconds: of any sign; a negative one counts as none.
    """
    if seconds < 0.95:
        return f"{max(seconds, 0.0):.1f} seconds"
    if seconds > _LONGEST_IN_WORDS:
        return "more than 30 years"
    from pendulum import duration

    return duration(seconds=round(seconds)).in_words()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def _pending(run: Run) -> str:
    """Name the calls that a run waits for, without their arguments."""
    action = RequiredAction.from_json(run.required_action)
    names = [f"{call.name[:100]} ({call.id[:100]})" for call in action.calls[:_MOST_CALLS_NAMED]]
    if not names:
        return "an action it does not name"
    more = f" and {len(action.calls) - len(names)} more" if len(action.calls) > len(names) else ""
    return f"{(action.type or 'an action')[:100]}: {', '.join(names)}{more}"
