"""How fast to send requests: an adaptive rate limiter shared by all polls of a connection.

Pure decisions, like :mod:`airflow_provider_openai_run.polling.policy`: times are arguments, in seconds of any
steady clock.
"""

from __future__ import annotations

import math
import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: After a 429 the rate is cut to this share, and follows a cubic curve as the congestion window of TCP CUBIC
#: does: it rises fast to the old rate, stays near it, is there again after this many seconds, and then rises
#: faster and faster if no further 429 comes.
_RATE_AFTER_429 = 0.87
_RECOVERY_SECONDS = 30.0
_CURVE: float = (1 - _RATE_AFTER_429) ** (1 / 3)
_MIN_RATE = 0.05

#: How long a 429 without ``retry-after`` stops all requests, in seconds.
_DEFAULT_PAUSE = 1.0

#: How long a rate-limit header stops or slows all requests at most, in seconds. Limits are per minute, so a
#: longer reset time is a broken header; and a request too many costs no more than a 429.
_MAX_RESET = 60.0

#: Concurrent requests: usually, and at most. Between them, the number rises with each second that polls are
#: late because the API is slow, and slowly enough that a short delay does not open many connections.
_MIN_CONCURRENCY = 12.0
_MAX_CONCURRENCY = 64.0
_LATE_SECONDS = 0.2
_CONCURRENCY_STEP = 2.0

#: After this many consecutive failures the API counts as down; it is then probed at growing intervals, up to
#: this many seconds.
_OUTAGE_FAILURES = 3
_MAX_PROBE_INTERVAL = 30.0

#: Over how many seconds the rate of responses is measured.
_WINDOW = 5.0
_MIN_WINDOW = 1.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class AdaptiveRateLimiter:
    """Decides when the next request may be sent, from the results of the requests before."""

    def __init__(self) -> None:
        self._sustained_rate = math.inf
        self._cut_at = -math.inf
        self._recovering_since = -math.inf
        self._budget = (math.inf, -math.inf)
        self._next_at = -math.inf
        self._response_times: deque[float] = deque()
        self._concurrency = _MIN_CONCURRENCY
        self._concurrency_set_at = -math.inf
        self._failures = 0
        self._failed_at = -math.inf
        self._probe_at = -math.inf

    @property
    def in_outage(self) -> bool:
        """Whether the API counts as down, and one probe at a time is sent."""
        return self._failures >= _OUTAGE_FAILURES

    def ready_at(self) -> float:
        """Return the time before which no request may be sent."""
        return max(self._next_at, self._probe_at)

    def max_concurrency(self, due: float, now: float) -> int:
        """
        Return how many requests may run concurrently.

        :param due: when the next request was due.
        :param now: the current time.
        """
        step = _CONCURRENCY_STEP * min(now - self._concurrency_set_at, 1.0)
        self._concurrency_set_at = now
        concurrency = self._concurrency + (step if now - due > _LATE_SECONDS else -step)
        self._concurrency = min(max(concurrency, _MIN_CONCURRENCY), _MAX_CONCURRENCY)
        return 1 if self.in_outage else int(self._concurrency)

    def on_sent(self, now: float) -> None:
        """Record that a request is sent now."""
        rate = self._rate(now)
        is_unlimited = rate == math.inf
        if not is_unlimited and self._recovered_for(now) > _WINDOW:
            # Far above the demand, it is not a limit any more.
            is_unlimited = rate > 2 * max(self._response_rate(now), 1.0)
        if is_unlimited:
            self._sustained_rate = rate = math.inf
        budget, until = self._budget
        if now < until:
            rate = min(rate, budget)
        if rate < math.inf:
            self._next_at = max(self._next_at, now) + 1 / rate

    def on_response(self, headers: Mapping[str, str], now: float) -> None:
        """
        Record a response that is not an error, and what its headers say is left of the limit.

        :param headers: the response's headers; ``x-ratelimit-remaining-requests`` and
            ``x-ratelimit-reset-requests`` are read, the latter up to 60 s.
        :param now: the current time.
        """
        self._failures = 0
        self._probe_at = -math.inf
        self._response_times.append(now)
        while self._response_times[0] < now - _WINDOW:
            self._response_times.popleft()
        remaining = _parse_number(headers.get("x-ratelimit-remaining-requests"))
        reset = _parse_duration(headers.get("x-ratelimit-reset-requests"))
        if remaining is None or reset is None or not reset > 0:
            return
        reset = min(reset, _MAX_RESET)
        if remaining < 1:
            self._hold_until(now + reset)
        else:
            self._budget = (remaining / reset, now + reset)

    def on_rate_limited(self, retry_after: float | None, now: float, sent_at: float) -> None:
        """
        Record a 429.

        :param retry_after: how many seconds the API wants no further request; None if it does not say.
        :param now: the current time.
        :param sent_at: when the request was sent. A request sent before the last cut does not cut again.
        """
        self._failures = 0
        self._probe_at = -math.inf
        if sent_at > self._cut_at:
            rate = min(self._rate(now), self._response_rate(now))
            self._sustained_rate = max(rate, _MIN_RATE)
            self._cut_at = now
        self._hold_until(now + (_DEFAULT_PAUSE if retry_after is None else retry_after))

    def on_error(self, retry_after: float | None, now: float, sent_at: float) -> None:
        """
        Record a request without a response, or with a server error.

        :param retry_after: how many seconds the API wants no further request; None if it does not say.
        :param now: the current time.
        :param sent_at: when the request was sent. A request sent before the outage does not prolong it.
        """
        if not self.in_outage or sent_at > self._failed_at:
            self._failures += 1
            self._failed_at = now
        if self.in_outage:
            interval = 2.0 ** min(self._failures - _OUTAGE_FAILURES, 10)
            self._probe_at = self._failed_at + min(interval, _MAX_PROBE_INTERVAL)
        if retry_after is not None:
            self._hold_until(now + retry_after)

    def _hold_until(self, time: float) -> None:
        self._next_at = max(self._next_at, time)
        self._recovering_since = max(self._recovering_since, time)

    def _rate(self, now: float) -> float:
        """Return how many requests a second may be sent."""
        bend = _CURVE * (self._recovered_for(now) / _RECOVERY_SECONDS - 1)
        return self._sustained_rate * (1 + bend * bend * bend)

    def _recovered_for(self, now: float) -> float:
        return max(now - self._recovering_since, 0.0)

    def _response_rate(self, now: float) -> float:
        """Return the recent number of responses a second, not counting the time of a pause."""
        since = now - _WINDOW
        if since < self._recovering_since < now - _MIN_WINDOW:
            since = self._recovering_since
        recent = [time for time in self._response_times if time >= since]
        return len(recent) / max(now - max(since, recent[0]), _MIN_WINDOW) if recent else 0.0


def _parse_number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _parse_duration(text: str | None) -> float | None:
    """Return the seconds of a duration such as ``6m0s``, ``1s`` or ``20ms``, or of a plain number."""
    parts = _DURATION.findall(text or "")
    if not parts:
        return _parse_number(text)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
