"""When to poll a run again, which failures to tolerate, and when to stop waiting.

Pure decisions: nothing here does I/O or reads a clock. The hook's loop, the sensor and the triggerer pass
each result to a :class:`RunPoller` and do what it decides, so all of them wait in the same way.
"""

from __future__ import annotations

import logging
import random
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_openai_run.api.http import ApiResponse, parse_or_raise, parse_retry_after
from airflow_provider_openai_run.api.registry import api_of
from airflow_provider_openai_run.api.retries import NOT_FOUND_GRACE
from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    OpenAIRunError,
    RunNotFoundError,
    RunRequestError,
    RunRequiresActionError,
    RunStalledError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.backoff import PollBackoff
from airflow_provider_openai_run.polling.options import INITIAL_POLL_STATE, PollState
from airflow_provider_openai_run.polling.stall import StallMonitor
from airflow_provider_openai_run.polling.wording import in_words, mask_error, pending_calls_in_words, sentence
from airflow_provider_openai_run.types.outcome import LogMessage, Outcome
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_openai_run.api.base import Request
    from airflow_provider_openai_run.polling.options import PollOptions
    from airflow_provider_openai_run.types.run import Run
    from airflow_provider_openai_run.types.run_ref import RunRef

# Shared by thousands of pollers, to save memory.
_NO_TEXTS: frozenset[str] = frozenset()
_shared_backoff = lru_cache(maxsize=64)(PollBackoff.between)

#: For how many seconds a wait goes on without its connection, and how many pass between two polls meanwhile.
LOOKUP_PATIENCE = 300.0
LOOKUP_INTERVAL = 10.0


@dataclass(frozen=True, slots=True)
class PollAgain:
    """
    The decision to poll the run again.

    :param at: when, in epoch seconds.
    :param log_messages: lines for the task's log.
    :param run: the run, if its status has changed; else None.
    :param has_stalled: whether this poll found that the run is stalled.
    """

    at: float
    log_messages: tuple[LogMessage, ...] = ()
    run: Run | None = None
    has_stalled: bool = False


Decision: TypeAlias = PollAgain | Outcome


class RunPoller:
    """
    Decides, after each poll of one run, whether to poll again and when, or how the wait has ended.

    :param ref: the run.
    :param options: how to wait.
    :param random_fraction: returns random numbers from [0, 1), for the jitter of the intervals.
    :param poll_state: the state of an earlier poller of the same wait, such as the worker's.
    """

    __slots__ = (
        "_backoff",
        "_failures",
        "_last_body_hash",
        "_last_error",
        "_logged_once",
        "_lookup_failing_since",
        "_random_fraction",
        "_request_id",
        "_stall_monitor",
        "not_before",
        "options",
        "ref",
        "status",
    )

    def __init__(
        self,
        ref: RunRef,
        options: PollOptions,
        random_fraction: Callable[[], float] = random.random,
        *,
        poll_state: PollState = INITIAL_POLL_STATE,
    ) -> None:
        self.ref = ref
        self.options = options
        self.status = poll_state.status
        self.not_before = poll_state.not_before
        self._random_fraction = random_fraction
        self._backoff = _shared_backoff(
            options.poll_interval, options.max_poll_interval, api_of(ref).max_poll_interval
        )
        self._failures = poll_state.failures
        self._request_id: str | None = None
        self._last_error: RunRequestError | None = None
        self._logged_once = _NO_TEXTS
        self._lookup_failing_since: float | None = None
        self._last_body_hash: int | None = None
        stalled_after = options.stalled_after
        self._stall_monitor = None if stalled_after is None else StallMonitor(stalled_after)

    @property
    def poll_state(self) -> PollState:
        """The state with which another process can continue the wait."""
        return PollState(status=self.status, failures=self._failures, not_before=self.not_before)

    @property
    def request(self) -> Request:
        """The request of a poll."""
        return api_of(self.ref).retrieve(self.ref, self.options.include)

    @property
    def is_failing(self) -> bool:
        """Whether the last request failed."""
        return self._failures > 0

    @property
    def is_last_poll(self) -> bool:
        """Whether the next poll is the one at the deadline."""
        return self.options.deadline is not None and self.not_before >= self.options.deadline

    def is_late(self, now: float) -> bool:
        """Return whether the deadline has passed at ``now``, in epoch seconds."""
        return self.options.deadline is not None and now >= self.options.deadline

    def poll_interval(self, now: float) -> float:
        """Return the seconds between two polls at ``now``, in epoch seconds, without jitter."""
        return self._backoff.interval(now - self.options.started_at, 0.0)

    def on_response(self, response: ApiResponse, now: float, *, base_url: str = "") -> Decision:
        """
        Decide after an HTTP response.

        :param response: the response to the request for the run.
        :param now: epoch seconds.
        :param base_url: the connection's base URL.
        """
        retry_after = parse_retry_after(response.headers, now)
        # An unchanged run mostly comes as the same bytes, which need not be parsed again.
        body_hash = hash(response.body) if response.http_status == HTTPStatus.OK else None
        if body_hash is not None and body_hash == self._last_body_hash:
            return self._on_unchanged_body(now, retry_after, response.request_id)
        api = api_of(self.ref)
        try:
            body = parse_or_raise(response, self.request, self.ref, now=now, base_url=base_url)
        except RunRequestError as error:
            return self.on_error(error, now)
        run = mask_error(api.with_ref(api.read_run(body), self.ref), response.secrets)
        decision = self.on_run(
            run, now, retry_after=retry_after, request_id=response.request_id, secrets=response.secrets
        )
        self._last_body_hash = body_hash if isinstance(decision, PollAgain) else None
        return decision

    def _on_unchanged_body(self, now: float, retry_after: float | None, request_id: str | None) -> Decision:
        self._request_id = request_id
        messages = self._reset_failures()
        if self.is_late(now):
            return replace(self.expire(now), log_messages=tuple(messages))
        return self._poll_unless_stalled(now, retry_after, messages)

    def on_run(
        self,
        run: Run,
        now: float,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
        secrets: Collection[str] = (),
    ) -> Decision:
        """
        Decide after the run was retrieved.

        :param run: the run as it is now; its steps are not used.
        :param now: epoch seconds.
        :param retry_after: how many seconds the API wants no further request; None if it does not say.
        :param request_id: the request id of the response.
        :param secrets: the credentials of the connection, to mask in the reason.
        """
        messages = [*self._reset_failures(), *self._status_messages(run.status, now)]
        has_changed = run.status != self.status
        self.status = run.status if run.status is None else sys.intern(run.status)
        self._request_id = request_id
        outcome = self._outcome_of(run, request_id, secrets)
        if outcome is None and self.is_late(now):
            outcome = self.expire(now)
        if outcome is not None:
            return replace(outcome, log_messages=tuple(messages))
        if run.state is RunState.NEEDS_ACTION:
            messages += self._once(
                f"{self.ref} waits for {pending_calls_in_words(run, secrets)}; waiting until it is answered"
            )
        elif run.state is RunState.UNKNOWN:
            messages += self._once(
                f"{self.ref} has the unknown status {run.status!r}; waiting for a documented one"
            )
        if self._stall_monitor is not None:
            self._stall_monitor.on_run(run, now)
        decision = self._poll_unless_stalled(now, retry_after, messages)
        return replace(decision, run=run) if has_changed and isinstance(decision, PollAgain) else decision

    def on_error(self, error: RunRequestError, now: float) -> Decision:
        """
        Decide after a failed request.

        :param error: the error.
        :param now: epoch seconds.
        """
        # Its traceback would keep every frame of the request in memory.
        self._last_error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None
        if isinstance(error, ConnectionLookupError):
            return self._on_failed_lookup(error, now)
        self._failures += 1
        has_just_started = now - self.options.started_at <= NOT_FOUND_GRACE
        is_retryable = error.is_retryable or (isinstance(error, RunNotFoundError) and has_just_started)
        if not is_retryable or self._failures >= self.options.max_consecutive_failures:
            return self._give_up(error, now)
        if self.is_late(now):
            return self.expire(now)
        delay = max(self._backoff.backoff(self._failures, self._random_fraction()), error.retry_after or 0.0)
        plan = f"Failure {self._failures} in a row; polling again in {in_words(delay)}"
        text = f"{sentence(error.message)} {plan}"
        return self._poll_after(delay, now, [LogMessage(logging.WARNING, text)])

    def _on_failed_lookup(self, error: ConnectionLookupError, now: float) -> Decision:
        """Decide after Airflow did not return the connection: a matter of time, not of failures in a row."""
        is_first = self._lookup_failing_since is None
        if self._lookup_failing_since is None:
            self._lookup_failing_since = now
        if now - self._lookup_failing_since >= LOOKUP_PATIENCE:
            return self._give_up(error, now)
        if self.is_late(now):
            return self.expire(now)
        delay = LOOKUP_INTERVAL * (1 - self._random_fraction() / 2)
        text = f"{sentence(error.message)} Looking it up again for {in_words(LOOKUP_PATIENCE)}"
        return self._poll_after(delay, now, [LogMessage(logging.WARNING, text)] if is_first else [])

    def expire(self, now: float, *, connection_error: RunRequestError | None = None) -> Outcome:
        """
        Return the outcome of a wait whose deadline has passed.

        :param now: epoch seconds.
        :param connection_error: what keeps all requests of the connection from succeeding, if that is known.
        """
        last_error = self._last_error or connection_error
        if self.status is None:
            status = "its status is not known"
        elif classify_status(self.status) is RunState.UNKNOWN:
            status = f"its last status was {self.status!r}, which no API documents"
        else:
            status = f"its last status was {self.status}"
        if last_error is not None:
            status += f", and the last request failed: {last_error.message}"
        deadline = now if self.options.deadline is None else self.options.deadline
        timeout = in_words(deadline - self.options.started_at)
        limit = f"{timeout}, the {self.options.limit}"
        message = f"Gave up waiting for {self.ref} after {limit}: {sentence(status)}"
        fields = self._error_fields(last_error)
        fields["request_id"] = fields["request_id"] or self._request_id
        return self._failed_outcome(RunWaitTimeoutError(message, **fields, run_left_running=True))

    def _outcome_of(self, run: Run, request_id: str | None, secrets: Collection[str]) -> Outcome | None:
        """Return the outcome of a run that ended, or needs action that the policy does not wait for."""
        policy = self.options.on_requires_action
        needs_action = run.state is RunState.NEEDS_ACTION or (run.is_successful and bool(run.required_action))
        if needs_action and policy == "fail":
            message = (
                f"{self.ref} is {run.status} and waits for {pending_calls_in_words(run, secrets)}, "
                f"and on_requires_action is 'fail' (request id {request_id})."
            )
            if run.is_terminal:
                message += " It has ended; its calls are unanswered."
            fields = self._error_fields(None) | {"request_id": request_id}
            return self._failed_outcome(
                RunRequiresActionError(message, **fields, run_left_running=not run.is_terminal)
            )
        if run.is_terminal or (needs_action and policy in ("return", "answer")):
            return Outcome.from_run(run, self.ref, request_id, secrets=secrets)
        return None

    def _give_up(self, error: RunRequestError, now: float) -> Outcome:
        waited = in_words(now - self.options.started_at)
        count = f"{self._failures} failed requests in a row" if self._failures > 1 else "a failed request"
        if isinstance(error, ConnectionLookupError):
            count = f"{in_words(LOOKUP_PATIENCE)} without its connection"
        status = f"Its last status was {self.status}." if self.status else "Its status is not known."
        message = (
            f"Gave up waiting for {self.ref} after {waited} and {count}: {sentence(error.message)} {status}"
        )
        may_run = None if isinstance(error, RunNotFoundError) else True
        fields = self._error_fields(error)
        return self._failed_outcome(type(error)(message, **fields, run_left_running=may_run))

    def _failed_outcome(self, error: OpenAIRunError) -> Outcome:
        return Outcome(ref=self.ref, status=self.status, request_id=error.request_id, error=error)

    def _error_fields(self, error: OpenAIRunError | None) -> dict[str, Any]:
        fields = {name: getattr(error, name, None) for name in ("code", "request_id", "http_status")}
        return {**self.ref.ids, "status": self.status, **fields}

    def _poll_unless_stalled(
        self, now: float, retry_after: float | None, messages: list[LogMessage]
    ) -> Decision:
        """Poll again; name a run that has stalled, or end the wait for it."""
        monitor = self._stall_monitor
        has_stalled = monitor is not None and monitor.has_just_stalled(now)
        if monitor is not None and has_stalled:
            stalled = (
                f"{self.ref} is {self.status} and has not changed for {in_words(monitor.unchanged_for(now))}"
            )
            if self.options.on_stalled == "fail":
                fields = self._error_fields(None) | {"request_id": self._request_id}
                error = RunStalledError(f"Gave up waiting: {stalled}.", **fields, run_left_running=True)
                return replace(self._failed_outcome(error), log_messages=tuple(messages))
            messages.append(LogMessage(logging.WARNING, f"{stalled} (stalled_after)"))
        decision = self._poll_after_interval(now, retry_after, messages)
        return replace(decision, has_stalled=True) if has_stalled else decision

    def _poll_after_interval(
        self, now: float, retry_after: float | None, messages: list[LogMessage]
    ) -> PollAgain:
        interval = self._backoff.interval(now - self.options.started_at, self._random_fraction())
        return self._poll_after(max(interval, retry_after or 0.0), now, messages)

    def _poll_after(self, delay: float, now: float, messages: list[LogMessage]) -> PollAgain:
        at = now + delay
        self.not_before = at if self.options.deadline is None else min(at, self.options.deadline)
        return PollAgain(self.not_before, tuple(messages))

    def _reset_failures(self) -> list[LogMessage]:
        failures, self._failures, self._last_error = self._failures, 0, None
        lookup_failed, self._lookup_failing_since = self._lookup_failing_since is not None, None
        if lookup_failed:
            return [LogMessage(logging.INFO, f"{self.ref} can be polled: Airflow returned the connection")]
        if not failures:
            return []
        count = "a failed request" if failures == 1 else f"{failures} failed requests"
        return [LogMessage(logging.INFO, f"{self.ref} can be polled again after {count}")]

    def _status_messages(self, status: str | None, now: float) -> list[LogMessage]:
        if status == self.status:
            return []
        waited = in_words(now - self.options.started_at)
        before = f" (was {self.status})" if self.status else ""
        return [LogMessage(logging.INFO, f"{self.ref} is {status}{before} after {waited}")]

    def _once(self, text: str) -> list[LogMessage]:
        """Return a warning, unless it was logged before."""
        if text in self._logged_once:
            return []
        self._logged_once |= {text}
        return [LogMessage(logging.WARNING, text)]
