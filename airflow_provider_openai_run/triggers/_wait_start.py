"""How a trigger begins to wait: with the times of its task on the clock of its triggerer."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from airflow_provider_openai_run.polling.options import (
    MIN_RESUME_DELAY,
    PollOptions,
    PollState,
    shift_to_clock,
)

#: Clocks of different machines may differ by so many seconds without a word in the log.
_NORMAL_CLOCK_SKEW = 5.0


def begin_wait(
    options: PollOptions, poll_state: PollState, earliest_resume_at: float, logger: Any
) -> tuple[PollOptions, PollState, float]:
    """
    Return the times of a wait as the clock of this process shows them; a larger shift is logged.

    :param options: how to wait.
    :param poll_state: what the worker knows of the run already.
    :param earliest_resume_at: before this time, in epoch seconds, the task must not resume.
    :param logger: the trigger's logger.
    :return: both, with no poll before the time of the third value: ``earliest_resume_at``, or sooner if the
        worker's clock is ahead.
    """
    now = time.time()
    options, poll_state, shift = shift_to_clock(options, poll_state, now)
    if shift > _NORMAL_CLOCK_SKEW:
        message = (
            "The task was deferred %s s in the future: the clocks of two machines differ, or one was set"
        )
        logger.warning(message, round(shift))
    earliest = min(earliest_resume_at, now + MIN_RESUME_DELAY)
    return options, dataclasses.replace(poll_state, not_before=max(poll_state.not_before, earliest)), earliest
