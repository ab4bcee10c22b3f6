"""How to wait for a run: the options that users set, and the state that a wait carries between processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, TypeAlias, get_args

from airflow_provider_openai_run.polling.backoff import DEFAULT_POLL_INTERVAL, PollBackoff

#: What to do about a run that needs tool outputs or an approval. ``"answer"`` is for the operators that
#: create runs: they submit what the run needs. ``"wait"`` waits until another system has submitted it,
#: ``"fail"`` fails the task, and ``"return"`` takes the run as it is.
RequiresActionPolicy: TypeAlias = Literal["answer", "wait", "fail", "return"]

#: What to do about a run that has not changed for ``stalled_after`` seconds: ``"wait"`` logs it once and goes
#: on waiting, ``"fail"`` ends the wait with a ``RunStalledError``.
StalledPolicy: TypeAlias = Literal["wait", "fail"]

#: The arguments of a task that limit how long it waits.
TimeLimit: TypeAlias = Literal["timeout", "execution_timeout"]

DEFAULT_MAX_CONSECUTIVE_FAILURES = 20

#: The shortest time between the moment a task releases its worker and the moment it resumes, in seconds.
#: Airflow's scheduler must have read by then that the first worker has ended. Otherwise it takes that end for
#: the end of the resumed task, and fails the task as "state changed externally".
MIN_RESUME_DELAY = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOptions:
    """
    How to wait for a run.

    :param started_at: when the task first began to wait, in epoch seconds; kept over restarts.
    :param deadline: when to stop waiting, in epoch seconds; None waits without a limit.
    :param limit: the argument of the task that the deadline comes from, for the error.
    :param poll_interval: the shortest interval between two polls, in seconds or as a timedelta; 0.01 s or
        more.
    :param max_poll_interval: the longest interval, in seconds or as a timedelta; the same as
        ``poll_interval`` for a fixed one. None means 120 s, 300 s for a batch,
        or ``poll_interval`` if that is longer.
    :param on_requires_action: what to do about a run that needs tool outputs or an approval, see
        :data:`RequiresActionPolicy`. A poller returns such a run for ``"answer"`` as for ``"return"``: the
        caller answers.
    :param max_consecutive_failures: after how many failed requests in a row the wait fails, 1 or more.
    :param stalled_after: after how long without a change a run is stalled, in seconds or as a timedelta; None
        means never. See :class:`~airflow_provider_openai_run.polling.stall.StallMonitor`.
    :param on_stalled: what to do about it, see :data:`StalledPolicy`.
    :param include: names of further output to poll, in the API's words, so that a kept run has it.
    :raises ValueError: for a value out of its range, naming the argument.
    """

    started_at: float
    deadline: float | None = None
    limit: TimeLimit = "timeout"
    poll_interval: float = DEFAULT_POLL_INTERVAL
    max_poll_interval: float | None = None
    on_requires_action: RequiresActionPolicy = "wait"
    max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES
    stalled_after: float | None = None
    on_stalled: StalledPolicy = "wait"
    include: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("started_at", "deadline"):
            value = getattr(self, name)
            if name == "deadline" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name} must be epoch seconds, not {value!r}")
        for name in ("poll_interval", "max_poll_interval", "stalled_after"):
            object.__setattr__(self, name, to_seconds(name, getattr(self, name)))
        known = get_args(RequiresActionPolicy)
        if self.on_requires_action not in known:
            raise ValueError(f"on_requires_action must be one of {known}, not {self.on_requires_action!r}")
        if self.on_stalled not in get_args(StalledPolicy):
            raise ValueError(f"on_stalled must be one of {get_args(StalledPolicy)}, not {self.on_stalled!r}")
        failures: object = self.max_consecutive_failures
        if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
            raise ValueError(
                f"max_consecutive_failures must be a whole number of 1 or more, not {failures!r}"
            )
        PollBackoff.between(self.poll_interval, self.max_poll_interval)
        object.__setattr__(self, "include", included_names(self.include))


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """
    The state of a wait that one process hands to the next, such as the worker to the triggerer.

    :param status: the last known status of the run.
    :param failures: how many requests have failed in a row.
    :param not_before: when to poll next, in epoch seconds.
    """

    status: str | None = None
    failures: int = 0
    not_before: float = 0.0


INITIAL_POLL_STATE = PollState()


def shift_to_clock(
    options: PollOptions, poll_state: PollState, now: float
) -> tuple[PollOptions, PollState, float]:
    """
    Return a wait's times as the clock of this process shows them.

    A wait that began in the future was started on a machine whose clock is ahead, or the clock was set back
    since. Without this it would not poll until the clock shows the time of its start.

    :param options: how to wait.
    :param poll_state: what the process that started the wait knows of it.
    :param now: epoch seconds.
    :return: both with the wait beginning now at the latest, and the shift in seconds; 0 if there was none.
    """
    shift = options.started_at - now
    if shift <= 0:
        return options, poll_state, 0.0
    deadline = None if options.deadline is None else options.deadline - shift
    return (
        replace(options, started_at=now, deadline=deadline),
        replace(poll_state, not_before=poll_state.not_before - shift),
        shift,
    )


def to_seconds(name: str, value: timedelta | float | None) -> float | None:
    """
    Return a duration in seconds; None stays None.

    :param name: the argument's name, for the error.
    :param value: seconds, or a timedelta.
    :raises ValueError: for anything but None and a positive, finite duration.
    """
    seconds: object = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(f"{name} must be more than 0 seconds, as a number or a timedelta, not {value!r}")
    return float(seconds)


def included_names(include: object) -> tuple[str, ...]:
    """
    Return the names of further output that an ``include`` argument has.

    :param include: a list of names, or None for none.
    :raises ValueError: for anything else, such as a text.
    """
    names = () if include is None else include
    if not isinstance(names, list | tuple) or not all(name and isinstance(name, str) for name in names):
        raise ValueError(
            f"include must be a list of names such as ['code_interpreter_call.outputs'], not {include!r}"
        )
    return tuple(names)


def check_unowned_policy(policy: RequiresActionPolicy) -> None:
    """
    Refuse ``"answer"`` for a wait for a run that the waiting task did not create.

    :param policy: the ``on_requires_action`` of a sensor, a get operator or ``wait_for_run``.
    :raises ValueError: naming the way out.
    """
    if policy == "answer":
        raise ValueError(
            "on_requires_action='answer' is for the operators that create runs; here use 'wait', 'fail' or "
            "'return', and submit tool outputs with OpenAISubmitToolOutputsOperator"
        )
