"""How fast to send requests: an adaptive rate limiter shared by all requests of a connection.

Pure decisions, like :mod:`airflow_provider_openai_run.polling.policy`: times are arguments, in seconds of any
steady clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from airflow_provider_openai_run.polling.request_budget import RequestBudget

if TYPE_CHECKING:
    from collections.abc import Mapping

#: After a 429 the rate is cut to this share, and follows a cubic curve as the congestion window of TCP CUBIC
#: does: it rises fast to the old rate, stays near it, is there again after this many seconds, and then rises
#: faster and faster if no further 429 comes: by the gain, twofold after as many seconds again. One cut takes
#: half at most, because a burst of 429s is a poor measurement.
_RATE_AFTER_429 = 0.87
_RECOVERY_SECONDS = 30.0
_PROBING_GAIN = 1.0
_MAX_CUT = 0.5
_MIN_RATE = 0.5

#: The first pause without ``retry-after``, and the longest of those that double with each failed probe, in
#: seconds: while the API refuses requests, and while it is down.
_FIRST_PAUSE = 1.0
_MAX_REFUSED_PAUSE = 15.0
_MAX_OUTAGE_PAUSE = 30.0

#: After this many consecutive failures the API counts as down.
_OUTAGE_FAILURES = 3

#: The slow start of TCP: the rate doubles each second, up to the one that is remembered. It begins at this
#: many requests a second once an API that refused or failed a probe responds again; and from the rate after
#: several cuts once so many seconds have passed without a 429. A 429 in it reduces what is remembered to this
#: share.
_SLOW_START_RATE = 2.0
_SLOW_START_SECONDS = 10.0
_QUIET_SECONDS = 5.0
_FORGETTING = 0.7
#: A 429 from this share of the remembered rate on is a new limit, and one below it may have other causes.
_NEAR_REMEMBERED = 0.8

#: Concurrent requests: usually, and at most. Between them, the number rises with each second that polls are
#: late because the API is slow, and slowly enough that a short delay does not open many connections.
_MIN_CONCURRENCY = 12.0
_MAX_CONCURRENCY = 64.0
_LATE_SECONDS = 0.2
_CONCURRENCY_STEP = 2.0

#: Over how many seconds the rate of responses is measured.
_WINDOW = 5.0
_MIN_WINDOW = 1.0


class AdaptiveRateLimiter:
    """
    Decides when the next request may be sent, from the results of the requests before.

    After a 429, and in an outage, it works as a circuit breaker: it pauses, sends one request as a probe, and
    pauses for longer if that fails. A probe that is refused changes nothing about the remembered rate, which
    is that before the first 429: an API that refuses everything says nothing about its limit.
    """

    def __init__(self) -> None:
        self._budget = RequestBudget()
        self._next_at = -math.inf
        self._no_request_before = -math.inf
        self._sustained_rate = math.inf
        self._remembered_rate = math.inf
        self._remembered_if_refused = math.inf
        self._recovering_since = -math.inf
        self._slow_start_at = math.inf
        self._slow_started_at = -math.inf
        self._response_times: deque[float] = deque()
        self._concurrency = _MIN_CONCURRENCY
        self._concurrency_set_at = -math.inf
        self._failures = 0
        self._is_probing = False
        self._failed_probes = 0
        self._paused_at = -math.inf
        self._probe_at = -math.inf

    @property
    def is_probing(self) -> bool:
        """Whether the API refuses requests or is down, and one probe at a time is sent."""
        return self._is_probing

    @property
    def paused_at(self) -> float:
        """When the last pause began. Requests sent before it are no probes."""
        return self._paused_at

    def ready_at(self) -> float:
        """Return the time before which no request may be sent."""
        return max(self._next_at, self._no_request_before, self._probe_at)

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
        return 1 if self._is_probing else int(self._concurrency)

    def on_sent(self, now: float) -> None:
        """Record that a request is sent now."""
        self._end_slow_start(now)
        rate = self._rate(now)
        # Above the rate of the last 429, and far above the demand, it is not a limit any more.
        if self._recovered_for(now) > _RECOVERY_SECONDS and rate > 2 * max(self._response_rate(now), 1.0):
            self._sustained_rate = self._remembered_rate = rate = math.inf
        rate = min(rate, self._budget.rate(now))
        if 0 < rate < math.inf and not self._is_probing:
            self._next_at = max(self._next_at, now) + 1 / rate

    def on_response(self, headers: Mapping[str, str], now: float) -> None:
        """
        Record a response that is not an error, and what its headers say is left of the limit.

        :param headers: the response's headers, see :meth:`RequestBudget.update`.
        :param now: the current time.
        """
        self._failures = 0
        self._probe_at = -math.inf
        # One that arrives in a pause was sent before it.
        if self._is_probing and now >= self._no_request_before:
            self._resume(now)
        self._response_times.append(now)
        while self._response_times[0] < now - _WINDOW:
            self._response_times.popleft()
        self._budget.update(headers, now)
        self._hold_until(self._budget.used_up_until(now))

    def on_rate_limited(self, retry_after: float | None, now: float, sent_at: float) -> None:
        """
        Record a 429.

        :param retry_after: how many seconds the API wants no further request; None if it does not say.
        :param now: the current time.
        :param sent_at: when the request was sent. A request sent before the last pause does not cut the rate.
        """
        self._failures = 0
        pause = _FIRST_PAUSE if retry_after is None else retry_after
        if sent_at >= self._paused_at:
            if self._is_probing:
                self._failed_probes += 1
                self._remembered_rate = self._remembered_if_refused
                pause = max(pause, self._backoff(_MAX_REFUSED_PAUSE))
            else:
                self._cut_rate(now)
            self._is_probing, self._paused_at = True, now
        self._hold_until(now + pause)

    def on_error(self, retry_after: float | None, now: float, sent_at: float) -> None:
        """
        Record a request without a response, or with a server error.

        :param retry_after: how many seconds the API wants no further request; None if it does not say.
        :param now: the current time.
        :param sent_at: when the request was sent. A request sent before the last pause does not prolong it.
        """
        if retry_after is not None:
            self._hold_until(now + retry_after)
        if sent_at < self._paused_at:
            return
        if self._is_probing:
            self._failed_probes += 1
        else:
            self._failures += 1
            if self._failures < _OUTAGE_FAILURES:
                return
            self._remembered_if_refused = self._remembered_rate
        self._is_probing, self._paused_at = True, now
        self._probe_at = now + self._backoff(_MAX_OUTAGE_PAUSE)

    def _cut_rate(self, now: float) -> None:
        before, rate, measured = self._sustained_rate, self._rate(now), self._response_rate(now)
        remembered = self._remembered_rate
        if before == math.inf:
            # Requests that came all at once were sent faster than the average.
            measured = max(measured, self._response_rate(now, _MIN_WINDOW))
        if measured:
            least = max(_MAX_CUT * before if before < math.inf else 0.0, _MIN_RATE)
            self._sustained_rate = cut = max(min(rate, measured), least)
            if remembered == math.inf:
                self._remembered_rate = max(cut, rate) if rate < math.inf else cut
            elif self._is_slow_start(now):
                self._remembered_rate = max(cut, _FORGETTING * remembered)
            elif rate >= _NEAR_REMEMBERED * remembered:
                self._remembered_rate = max(cut, rate)
        has_just_started = now - self._slow_started_at < _SLOW_START_SECONDS
        self._remembered_if_refused = remembered if has_just_started else self._remembered_rate

    def _resume(self, now: float) -> None:
        """Send at a rate again, because a probe got through."""
        self._slow_start_at = math.inf
        if self._failed_probes:
            self._sustained_rate = min(_SLOW_START_RATE, self._remembered_rate)
            self._slow_start_at = self._slow_started_at = now
        elif self._sustained_rate < _RATE_AFTER_429 * self._remembered_rate:
            self._slow_start_at = now + _QUIET_SECONDS
        self._is_probing, self._failed_probes = False, 0
        self._recovering_since = now
        self._next_at = now + 1 / self._rate(now)

    def _end_slow_start(self, now: float) -> None:
        """Go on with the cubic curve if the remembered rate is reached."""
        if not self._is_slow_start(now):
            return
        is_back = self._slow_start_rate(now) >= _RATE_AFTER_429 * self._remembered_rate
        if is_back or now - self._slow_start_at > _SLOW_START_SECONDS:
            self._sustained_rate = self._remembered_rate
            self._recovering_since, self._slow_start_at = now, math.inf

    def _backoff(self, longest: float) -> float:
        return min(_FIRST_PAUSE * 2.0 ** min(self._failed_probes, 10), longest)

    def _hold_until(self, time: float) -> None:
        self._no_request_before = max(self._no_request_before, time)
        self._recovering_since = max(self._recovering_since, time)

    def _rate(self, now: float) -> float:
        """Return how many requests a second may be sent."""
        bend: float = (self._recovered_for(now) / _RECOVERY_SECONDS - 1) ** 3
        rate: float = self._sustained_rate * (1 + bend * (1 - _RATE_AFTER_429 if bend < 0 else _PROBING_GAIN))
        if self._is_slow_start(now):
            rate = max(rate, min(self._slow_start_rate(now), _RATE_AFTER_429 * self._remembered_rate))
        return rate

    def _is_slow_start(self, now: float) -> bool:
        return now > self._slow_start_at

    def _slow_start_rate(self, now: float) -> float:
        doublings: float = min(now - self._slow_start_at, _SLOW_START_SECONDS)
        return self._sustained_rate * math.exp2(doublings)

    def _recovered_for(self, now: float) -> float:
        return max(now - self._recovering_since, 0.0)

    def _response_rate(self, now: float, window: float = _WINDOW) -> float:
        """Return the recent number of responses a second, not counting the time of a pause."""
        since = now - window
        if since < self._recovering_since < now - _MIN_WINDOW:
            since = self._recovering_since
        recent = [time for time in self._response_times if time >= since]
        return len(recent) / max(now - max(since, recent[0]), _MIN_WINDOW) if recent else 0.0
