"""What a wait was asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias, get_args

from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL, PollBackoff

#: What to do about a run that waits for tool outputs or an approval.
RequiresActionPolicy: TypeAlias = Literal["wait", "fail", "return"]

#: The arguments of a task that limit how long it waits.
TimeLimit: TypeAlias = Literal["timeout", "execution_timeout"]

DEFAULT_MAX_CONSECUTIVE_FAILURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOptions:
    """
    What a wait was asked to do.

    :param started_at: when the task first started to wait, in epoch seconds; kept over restarts.
    :param deadline: when to give up, in epoch seconds; None waits as long as it takes.
    :param limit: the argument of the task that the deadline comes from, for the error.
    :param poll_interval: the shortest interval between two questions, in seconds.
    :param max_poll_interval: the longest, in seconds; the same as ``poll_interval`` for a fixed interval.
        None means the default, or ``poll_interval`` if that is more.
    :param on_requires_action: what to do about a run that needs tool outputs or an approval: ``"wait"`` until
        somebody has answered it, ``"fail"``, or ``"return"`` with that status.
    :param max_consecutive_failures: how many requests may fail in a row before the wait is given up.
    :raises ValueError: for a value out of its range, naming it.
    """

    started_at: float
    deadline: float | None = None
    limit: TimeLimit = "timeout"
    poll_interval: float = DEFAULT_POLL_INTERVAL
    max_poll_interval: float | None = None
    on_requires_action: RequiresActionPolicy = "wait"
    max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES

    def __post_init__(self) -> None:
        for name in ("started_at", "deadline"):
            value = getattr(self, name)
            if name == "deadline" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name} must be epoch seconds, not {value!r}")
        known = get_args(RequiresActionPolicy)
        if self.on_requires_action not in known:
            msg = f"on_requires_action must be one of {known}, not {self.on_requires_action!r}"
            raise ValueError(msg)
        failures: object = self.max_consecutive_failures
        if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
            msg = f"max_consecutive_failures must be a whole number of 1 or more, not {failures!r}"
            raise ValueError(msg)
        PollBackoff.between(self.poll_interval, self.max_poll_interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """
    What a wait has learned before it is handed on, from the worker to the triggerer.

    :param status: the last status seen.
    :param failures: how many requests have failed in a row.
    :param not_before: when to ask next, in epoch seconds.
    """

    status: str | None = None
    failures: int = 0
    not_before: float = 0.0


INITIAL_POLL_STATE = PollState()


def to_seconds(name: str, value: timedelta | float | None) -> float | None:
    """
    Return a duration in seconds; None stays None.

    :param name: the argument, for the error.
    :param value: seconds, or a timedelta.
    :raises ValueError: for anything but None and a positive, finite duration, naming the argument.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds is None:
        return None
    given: object = seconds
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise ValueError(f"{name} must be more than 0 seconds, as a number or a timedelta, not {value!r}")
    return float(seconds)
