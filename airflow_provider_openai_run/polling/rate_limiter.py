"""One view of the API's mood, shared by all runs that are watched over one connection.

Pure decisions, like :mod:`airflow_provider_openai_run.polling.policy`: times are handed in, in seconds of any steady
clock.
"""

from __future__ import annotations

import math
import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How much is kept of a rate that brought a 429, and how many seconds later that rate is tried again. Between
#: them, and beyond, the rate follows a cubic curve, as that of TCP does: it is back soon, lingers where the
#: limit was, and if it is there no more leaves it behind the faster.
_KEPT = 0.87
_TRIED_AGAIN_AFTER = 30.0
_LINGERING: float = (1 - _KEPT) ** (1 / 3)
_SLOWEST = 0.05

#: How long a 429 without ``retry-after`` lets all rest, in seconds.
_REST = 1.0

#: Requests under way at once: usually, and at most, when polls get late because the API is slow. In between
#: some more go for each second that polls are late, so that a passing jam does not open many connections.
_USUALLY_AT_ONCE = 12.0
_MOST_AT_ONCE = 64.0
_LATE = 0.2
_MORE_EACH_SECOND = 2.0

#: Requests in a row that fail before it counts as an outage, and how far apart it is probed then, in seconds.
_FAILURES_OF_AN_OUTAGE = 3
_LONGEST_PROBE_INTERVAL = 30.0

#: What the rate of answers is taken over, in seconds.
_WINDOW = 5.0
_SHORTEST_WINDOW = 1.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class AdaptiveRateLimiter:
    """Says when the next request may go, from what became of those before."""

    def __init__(self) -> None:
        self._borne_rate = math.inf
        self._cut_at = -math.inf
        self._paced_from = -math.inf
        self._budget = (math.inf, -math.inf)
        self._next_at = -math.inf
        self._answered: deque[float] = deque()
        self._at_once = _USUALLY_AT_ONCE
        self._sized_at = -math.inf
        self._failures = 0
        self._failed_at = -math.inf
        self._probe_at = -math.inf

    @property
    def in_outage(self) -> bool:
        """Whether so many requests failed in a row that one probe at a time is enough."""
        return self._failures >= _FAILURES_OF_AN_OUTAGE

    def ready_at(self) -> float:
        """Give the time before which no request should go."""
        return max(self._next_at, self._probe_at)

    def at_once(self, due: float, now: float) -> int:
        """
        Give how many requests may be under way at once.

        :param due: when the next one was due.
        :param now: the time.
        """
        step = _MORE_EACH_SECOND * min(now - self._sized_at, 1.0)
        self._sized_at = now
        size = self._at_once + (step if now - due > _LATE else -step)
        self._at_once = min(max(size, _USUALLY_AT_ONCE), _MOST_AT_ONCE)
        return 1 if self.in_outage else int(self._at_once)

    def on_sent(self, now: float) -> None:
        """Take note of a request that goes now."""
        rate = self._rate(now)
        if rate < math.inf and self._paced_for(now) > _WINDOW and rate > 2 * max(self._rate_seen(now), 1.0):
            # Far above what is asked for it is no limit any more.
            self._borne_rate = rate = math.inf
        budget, until = self._budget
        if now < until:
            rate = min(rate, budget)
        if rate < math.inf:
            self._next_at = max(self._next_at, now) + 1 / rate

    def on_response(self, headers: Mapping[str, str], now: float) -> None:
        """Take note of an answer, and of what the API says is left of its limit."""
        self._failures = 0
        self._probe_at = -math.inf
        self._answered.append(now)
        while self._answered[0] < now - _WINDOW:
            self._answered.popleft()
        left = _number(headers.get("x-ratelimit-remaining-requests"))
        reset = _duration(headers.get("x-ratelimit-reset-requests"))
        if left is None or not reset:
            return
        if left < 1:
            self._hold_until(now + reset)
        else:
            self._budget = (left / reset, now + reset)

    def on_rate_limited(self, retry_after: float | None, now: float, asked_at: float) -> None:
        """
        Take note of a 429.

        :param retry_after: how long the API asks to be left alone, in seconds.
        :param now: the time.
        :param asked_at: when it was asked. What was under way when the rate was cut says nothing about it.
        """
        self._failures = 0
        self._probe_at = -math.inf
        if asked_at > self._cut_at:
            rate = min(self._rate(now), self._rate_seen(now))
            self._borne_rate = max(rate, _SLOWEST)
            self._cut_at = now
        self._hold_until(now + (_REST if retry_after is None else retry_after))

    def on_error(self, retry_after: float | None, now: float, asked_at: float) -> None:
        """
        Take note of a request without a good answer.

        :param retry_after: how long the API asks to be left alone, in seconds.
        :param now: the time.
        :param asked_at: when it was asked. What was under way when an outage showed says nothing new.
        """
        if not self.in_outage or asked_at > self._failed_at:
            self._failures += 1
            self._failed_at = now
        if self.in_outage:
            doubled = 2.0 ** min(self._failures - _FAILURES_OF_AN_OUTAGE, 10)
            self._probe_at = self._failed_at + min(doubled, _LONGEST_PROBE_INTERVAL)
        if retry_after is not None:
            self._hold_until(now + retry_after)

    def _hold_until(self, moment: float) -> None:
        self._next_at = max(self._next_at, moment)
        self._paced_from = max(self._paced_from, moment)

    def _rate(self, now: float) -> float:
        """Give how many requests a second are to go."""
        bend = _LINGERING * (self._paced_for(now) / _TRIED_AGAIN_AFTER - 1)
        return self._borne_rate * (1 + bend * bend * bend)

    def _paced_for(self, now: float) -> float:
        return max(now - self._paced_from, 0.0)

    def _rate_seen(self, now: float) -> float:
        """Give how many requests a second were answered of late, not counting the time all were held."""
        since = now - _WINDOW
        if since < self._paced_from < now - _SHORTEST_WINDOW:
            since = self._paced_from
        recent = [moment for moment in self._answered if moment >= since]
        return len(recent) / max(now - max(since, recent[0]), _SHORTEST_WINDOW) if recent else 0.0


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _duration(text: str | None) -> float | None:
    """Read a duration as the API writes it, ``6m0s``, ``1s``, ``20ms``, or in plain seconds."""
    parts = _DURATION.findall(text or "")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else _number(text)
