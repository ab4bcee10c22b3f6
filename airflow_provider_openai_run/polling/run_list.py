"""When a wait for many runs is over.

Pure decisions, like :mod:`airflow_provider_openai_run.polling.policy`, whose decisions about each run come in
here. What a run costs here is a few dozen bytes.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_openai_run.exceptions import (
    ConnectionLookupError,
    OpenAIRunError,
    RunAuthenticationError,
    RunStalledError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.polling.backoff import DEFAULT_MAX_POLL_INTERVAL
from airflow_provider_openai_run.polling.wording import in_words, sentence
from airflow_provider_openai_run.types.outcome import Outcome, ended_error_for
from airflow_provider_openai_run.types.run_list_outcome import MAX_FAILURES, RunListOutcome
from airflow_provider_openai_run.types.status import RunState, classify_status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airflow_provider_openai_run.polling.options import PollOptions
    from airflow_provider_openai_run.polling.policy import Decision

#: How many polls a second one list makes at most: beyond 1,000 runs the intervals grow with their number.
MAX_POLLS_PER_SECOND = 200.0

#: Of how many runs the reason of the failure is kept.
_MAX_REASONS = 200
_LEFT_RUNNING = "Runs that have not ended were left as they are: they may still be running and use tokens."

# What is known of a run.
_OPEN, _ACCEPTED, _NOT_ACCEPTED, _GIVEN_UP, _TIMED_OUT = range(5)


def options_for_list(options: PollOptions, runs: int) -> PollOptions:
    """
    Return the options for each of many runs: with intervals that a single list may use.

    :param options: as for one run.
    :param runs: how many there are.
    """
    shortest = runs / MAX_POLLS_PER_SECOND
    if shortest <= options.poll_interval:
        return options
    longest = max(shortest, options.max_poll_interval or DEFAULT_MAX_POLL_INTERVAL)
    return replace(options, poll_interval=shortest, max_poll_interval=longest)


class RunListState:
    """
    Decides when a wait for many runs is over, and how it has ended.

    It is over when ``wait_for`` runs have ended in an accepted status, or no longer can; when the deadline
    has passed; or when the connection cannot be used, which concerns all runs.

    :param run_ids: the ids of the runs.
    :param wait_for: how many must end in an accepted status.
    :param accepted_statuses: the terminal statuses that count; None counts every end, and a run that was
        given up too.
    """

    def __init__(
        self, run_ids: Sequence[str], *, wait_for: int, accepted_statuses: Collection[str] | None
    ) -> None:
        self.run_ids = run_ids
        self.wait_for = wait_for
        #: The last known status of each run.
        self.statuses: list[str | None] = [None] * len(run_ids)
        #: When each was first read, in epoch seconds; 0 if none is known.
        self.changed_at = array("d", bytes(8 * len(run_ids)))
        #: Grows with each change.
        self.changes = 0
        #: How many tokens the runs that have ended used; None if no run has any.
        self.tokens: int | None = None
        self._accepted_statuses = None if accepted_statuses is None else frozenset(accepted_statuses)
        self._ends = bytearray(len(run_ids))
        self._numbers = [len(run_ids), 0, 0, 0, 0]
        self._failures: list[Outcome] = []
        self._reasons: dict[int, str] = {}
        self._timeout: OpenAIRunError | None = None
        self._connection_error: OpenAIRunError | None = None

    @property
    def ended(self) -> int:
        """How many runs have ended or were given up."""
        return self._numbers[_ACCEPTED] + self._numbers[_NOT_ACCEPTED] + self._numbers[_GIVEN_UP]

    @property
    def counts(self) -> Counter[str | None]:
        """How many runs have each status."""
        return Counter(self.statuses)

    @property
    def is_over(self) -> bool:
        """Whether the wait is over."""
        accepted, still_open = self._accepted, self._numbers[_OPEN]
        if accepted >= self.wait_for or self._connection_error is not None or not still_open:
            return True
        # At the deadline each run is polled once more: the last one to reply may be the one that counts.
        return accepted + still_open + self._numbers[_TIMED_OUT] < self.wait_for

    def is_open(self, index: int) -> bool:
        """Return whether a run must still be polled."""
        return self._ends[index] == _OPEN

    def reason(self, index: int) -> str | None:
        """Return why a run failed or was given up; None if it did not, or too many others did before."""
        return self._reasons.get(index)

    def on_decision(self, index: int, decision: Decision, now: float) -> None:
        """
        Take note of the decision after a poll.

        :param index: the position of the run.
        :param decision: the decision.
        :param now: epoch seconds.
        """
        if not isinstance(decision, Outcome):
            if decision.run is not None:
                self.set_status(index, decision.run.status, now)
            return
        if self._ends[index] != _OPEN:
            return
        self.set_status(index, decision.status, now)
        if decision.run is not None and decision.run.usage is not None:
            self.tokens = (self.tokens or 0) + (decision.run.usage.total_tokens or 0)
        end = self._end_of(decision)
        self._numbers[_OPEN] -= 1
        self._numbers[end] += 1
        self._ends[index] = end
        self.changes += 1
        if end == _TIMED_OUT:
            self._timeout = self._timeout or decision.error
        else:
            self._keep_reason(index, decision, is_failure=end != _ACCEPTED)

    def set_status(self, index: int, status: str | None, now: float) -> None:
        """
        Take note of the status of a run.

        :param index: the position of the run.
        :param status: its status; None if none is known.
        :param now: epoch seconds.
        """
        if status != self.statuses[index]:
            self.statuses[index] = None if status is None else sys.intern(status)
            self.changed_at[index] = now
            self.changes += 1

    def outcome(self, options: PollOptions, now: float) -> RunListOutcome:
        """
        Return the outcome; of a wait that is not over, as if its deadline had passed.

        :param options: how the runs were waited for.
        :param now: epoch seconds.
        """
        return RunListOutcome(
            statuses=tuple(self.statuses),
            given_up=tuple(self._positions(_GIVEN_UP)),
            failures=tuple(self._failures),
            error=self._error(options, now),
        )

    @property
    def _accepted(self) -> int:
        """How many runs count for ``wait_for``."""
        given_up = self._numbers[_GIVEN_UP] if self._accepted_statuses is None else 0
        return self._numbers[_ACCEPTED] + given_up

    def describe(self) -> str:
        """Return how many runs have which status, as ``2 completed, 1 in_progress``."""
        texts = [f"{count:,} {status or 'not polled yet'}" for status, count in self.counts.most_common(9)]
        return ", ".join(texts)

    def _positions(self, end: int) -> Iterator[int]:
        return (index for index, value in enumerate(self._ends) if value == end)

    def _end_of(self, outcome: Outcome) -> int:
        error = outcome.error
        if error is None:
            needs_action = classify_status(outcome.status) is RunState.NEEDS_ACTION
            is_accepted = self._accepted_statuses is None or outcome.status in self._accepted_statuses
            return _ACCEPTED if is_accepted or needs_action else _NOT_ACCEPTED
        if isinstance(error, RunWaitTimeoutError) and not isinstance(error, RunStalledError):
            return _TIMED_OUT
        if _concerns_all(error):
            self._connection_error = error
        return _GIVEN_UP

    def _keep_reason(self, index: int, outcome: Outcome, *, is_failure: bool) -> None:
        if is_failure and len(self._failures) < MAX_FAILURES:
            self._failures.append(replace(outcome, run=None, log_messages=()))
        reason = outcome.reason if outcome.error is None else outcome.error.summary
        if reason and len(self._reasons) < _MAX_REASONS:
            self._reasons[index] = reason

    def _error(self, options: PollOptions, now: float) -> OpenAIRunError | None:
        if self._accepted >= self.wait_for:
            return None
        if (error := self._connection_error) is not None:
            fields = {name: getattr(error, name) for name in ("api", "code", "request_id", "http_status")}
            message = f"Gave up waiting for {len(self.run_ids):,} runs: {sentence(error.summary)}"
            return type(error)(f"{message} {_LEFT_RUNNING}", **fields)
        if self._numbers[_OPEN] + self._numbers[_TIMED_OUT] + self._accepted >= self.wait_for:
            return self._timeout_error(options, now)
        return self._failure_error()

    def _timeout_error(self, options: PollOptions, now: float) -> OpenAIRunError:
        deadline = now if options.deadline is None else options.deadline
        waited = f"{in_words(deadline - options.started_at)}, the {options.limit}"
        message = f"Gave up waiting for {self._goal} after {waited}: {self.describe()}."
        if (timeout := self._timeout) is None:
            return RunWaitTimeoutError(f"{message} {_LEFT_RUNNING}")
        example = f"The first of those that have not ended: {sentence(timeout.summary)}"
        fields = {name: getattr(timeout, name) for name in ("api", "code", "request_id", "http_status")}
        return RunWaitTimeoutError(f"{message} {example} {_LEFT_RUNNING}", **fields)

    def _failure_error(self) -> OpenAIRunError:
        first, count = self._failures[0], self._numbers[_NOT_ACCEPTED] + self._numbers[_GIVEN_UP]
        named = " ".join(map(_describe_failure, self._failures))
        more = f" And {count - len(self._failures):,} more." if count > len(self._failures) else ""
        left = f" {_LEFT_RUNNING}" if self._numbers[_OPEN] else ""
        message = (
            f"Gave up waiting for {self._goal}: {count:,} cannot end in an accepted status any more "
            f"({self.describe()}). {named}{more}{left}"
        )
        error = ended_error_for(first.status)(first.status or "") if first.error is None else first.error
        fields: dict[str, Any] = {**first.ref.ids, "status": first.status}
        fields |= {name: getattr(error, name) for name in ("code", "request_id", "http_status")}
        if first.error is None:
            fields |= {"code": first.code, "request_id": first.request_id}
        return type(error)(message, **fields)

    @property
    def _goal(self) -> str:
        total = len(self.run_ids)
        return f"all of {total:,} runs" if self.wait_for == total else f"{self.wait_for:,} of {total:,} runs"


def _describe_failure(outcome: Outcome) -> str:
    error = outcome.ended_error("-") if outcome.error is None else outcome.error
    return sentence(error.summary.removesuffix(" -"))


def _concerns_all(error: OpenAIRunError) -> bool:
    """Return whether no run can be polled: 403 may be about one run, 401 is about the credentials."""
    is_refused = isinstance(error, RunAuthenticationError) and error.http_status != HTTPStatus.FORBIDDEN
    return is_refused or isinstance(error, ConnectionLookupError)
