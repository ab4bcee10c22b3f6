"""How long to wait between two polls of the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

DEFAULT_POLL_INTERVAL = 5.0
DEFAULT_MAX_POLL_INTERVAL = 120.0
DEFAULT_GROWTH = 1.5

_JITTER = 0.1
_MIN_INTERVAL = 0.01


@dataclass(frozen=True, slots=True)
class PollBackoff:
    """
    How long to wait between two polls of the same run.

    The interval grows with the square root of the time waited: a run that has taken long is likely to take
    longer still, and a delay that is short compared with the whole wait matters little. The defaults come
    from the simulation ``tests/benchmarks/pacing.py``.

    :param poll_interval: the shortest interval in seconds, 0.01 or more.
    :param max_poll_interval: the longest interval in seconds; the same as ``poll_interval`` for a fixed one.
    :param growth: the interval is this times the square root of the seconds waited.
    :raises ValueError: for a value that is not a number of 0.01 or more, or a longest interval below the
        shortest.
    """

    poll_interval: float = DEFAULT_POLL_INTERVAL
    max_poll_interval: float = DEFAULT_MAX_POLL_INTERVAL
    growth: float = DEFAULT_GROWTH

    def __post_init__(self) -> None:
        for name in ("poll_interval", "max_poll_interval", "growth"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not _MIN_INTERVAL <= value < math.inf:
                raise ValueError(
                    f"{name} must be a number of seconds of {_MIN_INTERVAL} or more, not {value!r}"
                )
        if self.max_poll_interval < self.poll_interval:
            raise ValueError(
                f"max_poll_interval ({self.max_poll_interval:g} s) is below poll_interval "
                f"({self.poll_interval:g} s); raise it, or give both the same value for a fixed interval"
            )

    @classmethod
    def between(
        cls,
        poll_interval: float,
        max_poll_interval: float | None,
        default_max: float = DEFAULT_MAX_POLL_INTERVAL,
    ) -> Self:
        """
        Return the backoff for the two intervals that a user can set.

        :param poll_interval: the shortest interval in seconds.
        :param max_poll_interval: the longest interval in seconds; None means ``default_max``, or
            ``poll_interval`` if that is longer.
        :param default_max: the longest interval of the run's API, in seconds.
        :raises ValueError: as for the class.
        """
        if max_poll_interval is None and isinstance(poll_interval, int | float):
            max_poll_interval = max(poll_interval, default_max)
        return cls(poll_interval, max_poll_interval)

    def interval(self, waited: float, random_fraction: float) -> float:
        """
        Return the seconds until the next poll after a successful one.

        :param waited: the seconds since the wait began.
        :param random_fraction: a random number from [0, 1). It shortens the interval by up to a tenth, so
            that runs whose waits began together are not polled together.
        """
        grown = self.growth * math.sqrt(max(waited, 0.0))
        interval = min(max(grown, self.poll_interval), self.max_poll_interval)
        return interval * (1 - _JITTER * random_fraction)

    def backoff(self, failures: int, random_fraction: float) -> float:
        """
        Return the seconds until the next poll after a failed one: the interval doubles with each failure.

        :param failures: how many polls have failed in a row, 1 or more.
        :param random_fraction: a random number from [0, 1), as for :meth:`interval`.
        """
        doubled = self.poll_interval * 2.0 ** min(failures - 1, 30)
        return min(doubled, self.max_poll_interval) * (1 - _JITTER * random_fraction)
