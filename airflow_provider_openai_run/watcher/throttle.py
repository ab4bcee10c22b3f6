"""One view of the API's mood, shared by all runs that are watched over one connection.

Pure decisions, like :mod:`airflow_provider_openai_run.waiting`: ``now`` is handed in, in seconds of any
steady clock.
"""

from __future__ import annotations

import math
import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How much of the rate that brought a 429 is kept.
_KEPT = 0.85
#: How fast the rate grows back: doubling below the rate known to be borne, by a little a second above it.
_DOUBLED_IN = 2.0
_GROWTH_PART = 0.01
_GROWTH_LEAST = 0.2
_SLOWEST = 1.0

#: Requests in a row that fail before it counts as an outage, and how far apart it is probed then, in seconds.
_FAILURES_OF_AN_OUTAGE = 3
_LONGEST_PROBE_INTERVAL = 30.0

#: The part of the API's own limit at which to slow down.
_LITTLE_LEFT = 0.1

_WINDOW = 5.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Throttle:
    """Says when the next request may go, from what became of those before."""

    def __init__(self) -> None:
        self._rate = math.inf
        self._borne_rate = math.inf
        self._grown_at = 0.0
        self._cut_at = -math.inf
        self._budget = (math.inf, -math.inf)
        self._next_at = -math.inf
        self._answered: deque[float] = deque()
        self._failures = 0

    @property
    def in_outage(self) -> bool:
        """Whether so many requests failed in a row that one probe at a time is enough."""
        return self._failures >= _FAILURES_OF_AN_OUTAGE

    def ready_at(self) -> float:
        """Give the time before which no request should go."""
        return self._next_at

    def sent(self, now: float) -> None:
        """Take note of a request that goes now."""
        self._grow(now)
        budget, until = self._budget
        rate = min(self._rate, budget) if now < until else self._rate
        if rate < math.inf:
            self._next_at = max(self._next_at, now) + 1 / rate

    def answered(self, headers: Mapping[str, str], now: float) -> None:
        """Take note of an answer, and of what the API says is left of its limit."""
        self._failures = 0
        self._answered.append(now)
        while self._answered[0] < now - _WINDOW:
            self._answered.popleft()
        left = _number(headers.get("x-ratelimit-remaining-requests"))
        limit = _number(headers.get("x-ratelimit-limit-requests"))
        reset = _duration(headers.get("x-ratelimit-reset-requests"))
        if left is not None and limit and reset and left <= limit * _LITTLE_LEFT:
            self._budget = (max(left, 1.0) / reset, now + reset)

    def limited(self, retry_after: float | None, now: float) -> None:
        """
        Take note of a 429.

        :param retry_after: how long the API asks to be left alone, in seconds.
        :param now: the time.
        """
        self._failures = 0
        if now - self._cut_at >= 1.0:
            borne = self._rate_seen(now)
            self._borne_rate = _KEPT * min(self._rate, borne) if borne >= _SLOWEST else math.inf
            self._rate = self._borne_rate if borne >= _SLOWEST else _SLOWEST
            self._cut_at = self._grown_at = now
        self._next_at = max(self._next_at, now + (retry_after or 0.0))

    def failed(self, retry_after: float | None, now: float) -> None:
        """
        Take note of a request without a good answer.

        :param retry_after: how long the API asks to be left alone, in seconds.
        :param now: the time.
        """
        self._failures += 1
        wait = retry_after or 0.0
        if self.in_outage:
            doubled = 2.0 ** min(self._failures - _FAILURES_OF_AN_OUTAGE, 10)
            wait = max(wait, min(doubled, _LONGEST_PROBE_INTERVAL))
        self._next_at = max(self._next_at, now + wait)

    def _rate_seen(self, now: float) -> float:
        """Give how many requests a second were answered of late."""
        recent = sum(1 for moment in self._answered if moment >= now - _WINDOW)
        since = now - self._answered[0] if self._answered else _WINDOW
        return recent / min(max(since, 1.0), _WINDOW)

    def _grow(self, now: float) -> None:
        """Let a cut rate recover; far above what is asked for it is none any more."""
        if self._rate == math.inf:
            return
        passed = now - self._grown_at
        self._grown_at = now
        if self._rate < self._borne_rate:
            self._rate = min(self._rate * 2.0 ** (passed / _DOUBLED_IN), self._borne_rate)
        else:
            self._rate += passed * max(_GROWTH_LEAST, _GROWTH_PART * self._rate)
        if self._rate > 2 * max(self._rate_seen(now), _SLOWEST) and now - self._cut_at > _WINDOW:
            self._rate = math.inf


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _duration(text: str | None) -> float | None:
    """Read a duration as the API writes it: ``6m0s``, ``1s``, ``20ms``."""
    parts = _DURATION.findall(text or "")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None
