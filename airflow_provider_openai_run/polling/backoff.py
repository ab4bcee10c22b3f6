"""How long to leave the API alone between two questions about the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

DEFAULT_POLL_INTERVAL = 5.0
DEFAULT_MAX_POLL_INTERVAL = 120.0
DEFAULT_GROWTH = 1.5

_JITTER = 0.1
_LEAST = 0.01


@dataclass(frozen=True, slots=True)
class PollBackoff:
    """
    How long to leave the API alone between two questions about the same run.

    The interval grows with the square root of the time waited: a run that has taken long is likely to take
    longer, and being late by a little of a long wait hurts nobody. ``tests/benchmarks/pacing.py`` is the
    simulation that the defaults come from.

    :param poll_interval: the shortest interval, in seconds.
    :param max_poll_interval: the longest, in seconds; the same as ``poll_interval`` for a fixed interval.
    :param growth: the interval is this times the square root of the seconds waited.
    :raises ValueError: for an interval that is no number of 0.01 or more, or a longest below the shortest.
    """

    poll_interval: float = DEFAULT_POLL_INTERVAL
    max_poll_interval: float = DEFAULT_MAX_POLL_INTERVAL
    growth: float = DEFAULT_GROWTH

    def __post_init__(self) -> None:
        for name in ("poll_interval", "max_poll_interval", "growth"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not _LEAST <= value < math.inf
            ):
                msg = f"{name} must be a number of seconds of {_LEAST} or more, not {value!r}"
                raise ValueError(msg)
        if self.max_poll_interval < self.poll_interval:
            msg = (
                f"max_poll_interval ({self.max_poll_interval:g} s) is below poll_interval "
                f"({self.poll_interval:g} s); raise it, or give both the same value for a fixed interval"
            )
            raise ValueError(msg)

    @classmethod
    def between(cls, poll_interval: float, max_poll_interval: float | None) -> Self:
        """
        Give the pace for the two intervals a user may set.

        :param poll_interval: the shortest interval, in seconds.
        :param max_poll_interval: the longest; None means the default, or ``poll_interval`` if that is more.
        """
        if max_poll_interval is None and isinstance(poll_interval, int | float):
            max_poll_interval = max(poll_interval, DEFAULT_MAX_POLL_INTERVAL)
        return cls(poll_interval, max_poll_interval)

    def interval(self, waited: float, fraction: float) -> float:
        """
        Give the seconds until the next question.

        :param waited: seconds waited so far.
        :param fraction: a random draw from [0, 1): it takes up to a tenth off, so that runs that started
            together are not asked about together.
        """
        grown = self.growth * math.sqrt(max(waited, 0.0))
        return min(max(grown, self.poll_interval), self.max_poll_interval) * (1 - _JITTER * fraction)

    def backoff(self, failures: int, fraction: float) -> float:
        """
        Give the seconds to wait after a failed request.

        :param failures: how many failed in a row, 1 or more.
        :param fraction: a random draw from [0, 1).
        """
        doubled = self.poll_interval * 2.0 ** min(failures - 1, 30)
        return min(doubled, max(self.max_poll_interval, self.poll_interval)) * (1 - _JITTER * fraction)
