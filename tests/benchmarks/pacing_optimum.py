"""Polling that knows how long runs last: the best schedule there is, and one learned from ended runs."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Runs of one sort: their share of the mix, and a lognormal duration.

    :param share: between 0 and 1.
    :param median: seconds.
    :param spread: standard deviation of the duration's natural logarithm. At 0.8 nine runs in ten last
        0.27 to 3.7 times the median.
    """

    share: float
    median: float
    spread: float = 0.8

    def survival(self, age: float) -> float:
        """Give the share of runs of this kind that last longer than ``age`` seconds."""
        if age <= 0:
            return 1.0
        return 0.5 * math.erfc(math.log(age / self.median) / (self.spread * math.sqrt(2)))


Mix = tuple[Kind, ...]


class Optimum:
    """The best moments to poll for one who knows the distribution, on a grid finer than any interval."""

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

    def moments(self, price: float) -> list[float]:
        """Give the ages to poll at that make requests plus ``price`` times the delay least.

        A poll at age ``u`` after one at age ``t`` happens to the runs that outlive ``t``. It costs ``S(t)``
        requests and ``(u - t) * S(t) - R(t) + R(u)`` seconds of delay; ``S`` is the survival and ``R`` its
        integral from an age on. What hangs on ``u`` is a straight line in ``S(t)``: the best ``u`` for each
        ``t`` is read off the lower envelope of these lines, built from the oldest age to the youngest.
        """
        ages, survivals, remaining = self._ages, self._survivals, self._remaining
        last = len(ages) - 1
        following = [last] * len(ages)
        envelope = deque([(price * ages[last], price * remaining[last], last)])
        for at in reversed(range(last)):
            share = survivals[at]
            while len(envelope) > 1 and _height(envelope[1], share) <= _height(envelope[0], share):
                envelope.popleft()
            following[at] = envelope[0][2]
            cost = share + _height(envelope[0], share) - price * (ages[at] * share + remaining[at])
            line = (price * ages[at], cost + price * remaining[at], at)
            while len(envelope) > 1 and _hidden(envelope[-1], envelope[-2], line):
                envelope.pop()
            envelope.append(line)
        polled, at = [], 0
        while at < last:
            at = following[at]
            polled.append(ages[at])
        return polled


_Line = tuple[float, float, int]


def _height(line: _Line, at: float) -> float:
    return line[0] * at + line[1]


def _hidden(line: _Line, steeper: _Line, flatter: _Line) -> bool:
    meeting = (flatter[1] - steeper[1]) * (steeper[0] - line[0])
    return meeting <= (line[1] - steeper[1]) * (steeper[0] - flatter[0])


class Learned:
    """The rule of the hazard, with the hazard of the runs that ended lately.

    The window over which a hazard is taken grows with the age. A few imagined ends, whose hazard falls like
    one over the age, stand in where nothing was seen yet: until it knows better, it is the square root.

    :param price: requests that a second of delay is worth.
    :param shortest: least interval in seconds.
    :param longest: greatest interval in seconds.
    :param memory: how many ended runs are remembered.
    """

    WINDOW = 1.5
    RELEARN = 50
    PRIOR_ENDS = 2.0
    PRIOR_SLOPE = 0.7

    def __init__(self, price: float, *, shortest: float, longest: float, memory: int = 500) -> None:
        self._price = price
        self._shortest, self._longest = shortest, longest
        self._memory = memory
        self._seen: deque[float] = deque()
        self._sorted: list[float] = []
        self._ages = [1.2**step for step in range(80)]
        self._until_relearning = 0
        self._learn()

    def interval(self, waited: float, fraction: float) -> float:
        """Give the interval that suits the age in its own middle, nearly: the hazard is tabled by age."""
        ahead = self._intervals[min(bisect_left(self._ages, waited), len(self._ages) - 1)]
        middle = bisect_left(self._ages, waited + ahead / 2)
        return self._intervals[min(middle, len(self._ages) - 1)]

    def ended(self, duration: float) -> None:
        """Learn from a run that ended."""
        self._seen.append(duration)
        insort(self._sorted, duration)
        if len(self._seen) > self._memory:
            del self._sorted[bisect_left(self._sorted, self._seen.popleft())]
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
        first, beyond = bisect_right(self._sorted, start), bisect_right(self._sorted, stop)
        ends = beyond - first
        lived = sum(self._sorted[first:beyond]) - ends * start + (len(self._sorted) - beyond) * (stop - start)
        prior = self.PRIOR_SLOPE / math.sqrt(start * stop)
        return (ends + self.PRIOR_ENDS) / (lived + self.PRIOR_ENDS / prior)
