"""Polling schedules from durations: the optimum for a known mix, and one learned from ended runs."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of runs, with lognormal durations.

    :param share: share of the mix, 0 to 1.
    :param median: median duration in seconds.
    :param spread: standard deviation of the duration's natural logarithm. At 0.8 nine runs in ten last
        0.27 to 3.7 times the median.
    """

    share: float
    median: float
    spread: float = 0.8

    def survival(self, age: float) -> float:
        """Return the share of runs of this kind that last longer than ``age`` seconds."""
        if age <= 0:
            return 1.0
        return 0.5 * math.erfc(math.log(age / self.median) / (self.spread * math.sqrt(2)))


Mix = tuple[Kind, ...]


class Optimum:
    """The optimal times to poll for a known distribution, on a grid finer than any interval."""

    def __init__(self, mix: Mix) -> None:
        ages, survivals = [0.0], [1.0]
        while survivals[-1] > 1e-7:
            ages.append(ages[-1] + 0.15 + 0.025 * math.sqrt(ages[-1]))
            survivals.append(sum(kind.share * kind.survival(ages[-1]) for kind in mix))
        remaining = [0.0] * len(ages)
        for at in reversed(range(len(ages) - 1)):
            area = (survivals[at] + survivals[at + 1]) / 2 * (ages[at + 1] - ages[at])
            remaining[at] = remaining[at + 1] + area
        self._ages, self._survivals, self._remaining = ages, survivals, remaining

    def schedule(self, price: float) -> list[float]:
        """Return the ages to poll at that minimise requests plus ``price`` times the delay.

        A poll at age ``u`` after one at age ``t`` happens to the runs that outlive ``t``. It costs ``S(t)``
        requests and ``(u - t) * S(t) - R(t) + R(u)`` seconds of delay; ``S`` is the survival and ``R`` its
        integral from an age on. The part that depends on ``u`` is a straight line in ``S(t)``: the best ``u``
        for each ``t`` is read off the lower envelope of these lines, built from the oldest age to the
        youngest.
        """
        ages, survivals, remaining = self._ages, self._survivals, self._remaining
        last = len(ages) - 1
        next_index = [last] * len(ages)
        envelope = deque([(price * ages[last], price * remaining[last], last)])
        for at in reversed(range(last)):
            share = survivals[at]
            while len(envelope) > 1 and _height(envelope[1], share) <= _height(envelope[0], share):
                envelope.popleft()
            next_index[at] = envelope[0][2]
            cost = share + _height(envelope[0], share) - price * (ages[at] * share + remaining[at])
            line = (price * ages[at], cost + price * remaining[at], at)
            while len(envelope) > 1 and _hidden(envelope[-1], envelope[-2], line):
                envelope.pop()
            envelope.append(line)
        schedule, at = [], 0
        while at < last:
            at = next_index[at]
            schedule.append(ages[at])
        return schedule


_Line = tuple[float, float, int]


def _height(line: _Line, at: float) -> float:
    return line[0] * at + line[1]


def _hidden(line: _Line, steeper: _Line, flatter: _Line) -> bool:
    meeting = (flatter[1] - steeper[1]) * (steeper[0] - line[0])
    return meeting <= (line[1] - steeper[1]) * (steeper[0] - flatter[0])


class Learned:
    """The square-root rule with the hazard estimated from the last ended runs.

    The window of the estimate grows with the age. The prior is a few ends whose hazard falls like one over
    the age; with the prior alone the policy is the square-root policy.

    :param price: requests that a second of delay is worth.
    :param shortest: shortest interval in seconds.
    :param longest: longest interval in seconds.
    :param memory: number of ended runs to learn from.
    """

    WINDOW = 1.5
    RELEARN = 50
    PRIOR_ENDS = 2.0
    PRIOR_SLOPE = 0.7

    def __init__(self, price: float, *, shortest: float, longest: float, memory: int = 500) -> None:
        self._price = price
        self._shortest, self._longest = shortest, longest
        self._memory = memory
        self._durations: deque[float] = deque()
        self._sorted: list[float] = []
        self._ages = [1.2**step for step in range(80)]
        self._until_relearning = 0
        self._learn()

    def interval(self, waited: float, fraction: float) -> float:
        """Return about the interval for the age in its own middle, from a table by age."""
        ahead = self._intervals[min(bisect_left(self._ages, waited), len(self._ages) - 1)]
        middle = bisect_left(self._ages, waited + ahead / 2)
        return self._intervals[min(middle, len(self._ages) - 1)]

    def ended(self, duration: float) -> None:
        """Learn from the duration of an ended run."""
        self._durations.append(duration)
        insort(self._sorted, duration)
        if len(self._durations) > self._memory:
            del self._sorted[bisect_left(self._sorted, self._durations.popleft())]
        self._until_relearning -= 1
        if self._until_relearning <= 0:
            self._learn()

    def _learn(self) -> None:
        self._until_relearning = self.RELEARN
        self._intervals = []
        for age in self._ages:
            hazard = self._hazard(age / self.WINDOW, age * self.WINDOW)
            self._intervals.append(
                max(self._shortest, min(self._longest, math.sqrt(2 / (self._price * hazard))))
            )

    def _hazard(self, start: float, stop: float) -> float:
        first, after = bisect_right(self._sorted, start), bisect_right(self._sorted, stop)
        ends = after - first
        exposure = (
            sum(self._sorted[first:after]) - ends * start + (len(self._sorted) - after) * (stop - start)
        )
        prior = self.PRIOR_SLOPE / math.sqrt(start * stop)
        return (ends + self.PRIOR_ENDS) / (exposure + self.PRIOR_ENDS / prior)
