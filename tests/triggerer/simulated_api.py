"""Many runs polled through one rate limiter against an API with a limit, in virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from airflow_provider_openai_run.polling.rate_limiter import AdaptiveRateLimiter


class Limit(Protocol):
    """The rate limit of an API."""

    def takes(self, now: float) -> bool:
        """Accept or refuse one request."""

    def headers(self, now: float) -> Mapping[str, str]:
        """Return the headers that report the limit."""


@dataclass
class NoLimit:
    def takes(self, now: float) -> bool:
        return True

    def headers(self, now: float) -> Mapping[str, str]:
        return {}


@dataclass
class TokenBucket(NoLimit):
    """A number of requests per second, with a burst of one second's worth."""

    per_second: float
    left: float = field(default=0.0, init=False)
    filled_at: float = field(default=-1.0, init=False)

    def takes(self, now: float) -> bool:
        self.left = min(max(self.per_second, 1.0), self.left + (now - self.filled_at) * self.per_second)
        self.filled_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class SlidingWindow(NoLimit):
    """A number of requests in any second."""

    per_second: float
    passed: deque[float] = field(default_factory=deque, init=False)

    def takes(self, now: float) -> bool:
        while self.passed and self.passed[0] <= now - 1:
            self.passed.popleft()
        if len(self.passed) >= self.per_second:
            return False
        self.passed.append(now)
        return True


@dataclass
class FixedWindow(NoLimit):
    """A number of requests in each window; ``reports`` sends what is left in headers."""

    per_window: float
    window: float = 1.0
    reports: bool = False
    number: int = field(default=-1, init=False)
    taken: int = field(default=0, init=False)

    def takes(self, now: float) -> bool:
        if int(now / self.window) != self.number:
            self.number, self.taken = int(now / self.window), 0
        if self.taken >= self.per_window:
            return False
        self.taken += 1
        return True

    def headers(self, now: float) -> Mapping[str, str]:
        if not self.reports:
            return {}
        return {
            "x-ratelimit-remaining-requests": str(self.per_window - self.taken),
            "x-ratelimit-reset-requests": f"{(self.number + 1) * self.window - now:.3f}s",
        }


@dataclass
class Response:
    """One response: when its request was sent, when it arrived, and whether it was a refusal."""

    sent_at: float
    at: float
    refused: bool


class Simulation:
    """
    Runs that are polled every ``interval`` seconds, through one rate limiter.

    :param latency: returns how many seconds a request takes; it reaches the API half-way.
    """

    def __init__(
        self,
        limit: Limit,
        *,
        runs: int = 1000,
        interval: float = 5.0,
        latency: Callable[[Random], float] = lambda _: 0.1,
        retry_after: float | None = 1.0,
        seed: int = 1,
    ) -> None:
        self.limit = limit
        self.rate_limiter = AdaptiveRateLimiter()
        self.responses: list[Response] = []
        self.sent_counts = Counter(dict.fromkeys(range(runs), 0))
        self.now = 0.0
        self._interval = interval
        self._latency = latency
        self._retry_after = retry_after
        self._random = Random(seed)
        self._order = itertools.count()
        self._due = [(self._random.random(), run) for run in range(runs)]
        heapq.heapify(self._due)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._active = 0
        self._failures = [0] * runs

    def run_until(self, end: float) -> None:
        while True:
            starts_at = float("inf")
            if self._due and self._active < self.rate_limiter.max_concurrency(self._due[0][0], self.now):
                starts_at = max(self._due[0][0], self.rate_limiter.ready_at(), self.now)
            happens_at = self._events[0][0] if self._events else float("inf")
            if min(starts_at, happens_at) > end:
                self.now = end
                return
            self.now = min(starts_at, happens_at)
            if starts_at < happens_at:
                self._start(heapq.heappop(self._due)[1])
            else:
                heapq.heappop(self._events)[2]()

    def answers(self, since: float = 0.0, until: float = float("inf")) -> list[Response]:
        return [responses for responses in self.responses if since <= responses.at < until]

    def refused_share(self, since: float = 0.0) -> float:
        responses = self.answers(since)
        return sum(one.refused for one in responses) / len(responses)

    def throughput(self, since: float, until: float) -> float:
        return sum(not one.refused for one in self.answers(since, until)) / (until - since)

    def _start(self, run: int) -> None:
        sent_at, latency = self.now, self._latency(self._random)
        self.sent_counts[run] += 1
        self.rate_limiter.on_sent(sent_at)
        self._active += 1
        self._later(latency / 2, lambda: self._arrive(run, sent_at, latency / 2))

    def _arrive(self, run: int, sent_at: float, left: float) -> None:
        taken = self.limit.takes(self.now)
        headers = self.limit.headers(self.now)
        self._later(left, lambda: self._answer(run, sent_at, headers, taken=taken))

    def _answer(self, run: int, sent_at: float, headers: Mapping[str, str], *, taken: bool) -> None:
        self._active -= 1
        self.responses.append(Response(sent_at, self.now, refused=not taken))
        if taken:
            self.rate_limiter.on_response(headers, self.now)
            self._failures[run], delay = 0, self._interval
        else:
            self.rate_limiter.on_rate_limited(self._retry_after, self.now, sent_at)
            self._failures[run] += 1
            delay = self._interval * 2 ** (self._failures[run] - 1)
        heapq.heappush(self._due, (self.now + delay * (1 - 0.1 * self._random.random()), run))

    def _later(self, delay: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), do))
