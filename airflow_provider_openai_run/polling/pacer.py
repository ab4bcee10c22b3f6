"""Spreading the polls of a connection over their intervals.

Pure decisions, like :mod:`airflow_provider_openai_run.polling.policy`: times are arguments, in seconds of any
steady clock.
"""

from __future__ import annotations

import math

#: How much faster than in the steady state polls may be sent, and how many a second in any case. Waits that
#: became due together are so spread over most of an interval, and stay apart, since each is due again an
#: interval later. More would leave them in bunches; less would delay polls that are due by chance together.
_HEADROOM = 1.25
_MIN_RATE = 5.0

#: For how many seconds unused polls are kept, to make up for a late timer.
_BURST_SECONDS = 0.25


class Pacer:
    """
    Decides when the next poll may be sent, from the intervals of all waits: a token bucket.

    After an outage or a restart all waits are overdue. Their polls are spread as they were before.
    """

    def __init__(self) -> None:
        self._demand = 0.0
        self._next_at = -math.inf

    def change_demand(self, polls_per_second: float) -> None:
        """Add a wait that is polled so often; a negative number removes one."""
        self._demand += polls_per_second

    def ready_at(self) -> float:
        """Return the time before which no poll may be sent."""
        return self._next_at - _BURST_SECONDS

    def on_sent(self, now: float) -> None:
        """Record that a poll is sent now."""
        self._next_at = max(self._next_at, now) + 1 / max(_HEADROOM * self._demand, _MIN_RATE)
