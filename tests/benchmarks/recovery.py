"""How the polls of a connection recover after a storm of 429s, an outage, or under a limit.

``python -m tests.benchmarks.recovery`` runs each scenario with the real connection poller against an API in
memory, in virtual time, so that the figures are exact and the same each time; ``--http`` runs it in real time
over HTTP on loopback. It prints the requests per second before, during and after, and ends with status 1 if a
goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.triggerer.connection_poller import subscribe
from tests.benchmarks.recovery_server import connection_to, serve
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.simulated_api import Limit, TokenBucket

#: When the first incident begins, in seconds after the first poll.
STEADY_SECONDS = 60.0
#: The window over which a rate is measured.
RATE_WINDOW = 5.0

MAX_RECOVERY_SECONDS = 30.0
RECOVERED_SHARE = 0.9
MAX_PEAK = 2.5
#: A connection with few waits may send so many requests in a second whatever its steady rate is.
PEAK_OF_FEW = 8
MAX_REFUSED_SHARE = 0.01
MIN_USED_SHARE = 0.85

Fault = Reply | str
Interval = Callable[[Random], tuple[float, float | None, float]]
"""Returns the shortest and the longest interval of a wait, and its age in seconds."""

TOO_MANY: Fault = (429, {}, b"{}")
TOO_MANY_RETRY_AFTER_5: Fault = (429, {"retry-after": "5"}, b"{}")
SERVER_ERROR: Fault = (500, {}, b"")


def fixed(_: Random) -> tuple[float, float | None, float]:
    """Every 5 seconds."""
    return 5.0, 5.0, 0.0


def growing(random: Random) -> tuple[float, float | None, float]:
    """The default intervals, for waits that have taken from ten seconds to two hours."""
    return 5.0, None, 10.0 * 720 ** random.random()


def mixed(random: Random) -> tuple[float, float | None, float]:
    """Half of the waits of either kind."""
    return random.choice([fixed, growing])(random)


INTERVALS: dict[str, Interval] = {"fixed": fixed, "growing": growing, "mixed": mixed}


@dataclass(frozen=True)
class Incident:
    """
    A time in which each request fails.

    :param begins: seconds after the first poll.
    :param seconds: how long it takes.
    :param fault: a response, ``"cut"`` for a closed connection, or ``"stall"`` for no response.
    """

    begins: float
    seconds: float
    fault: Fault

    @property
    def ends(self) -> float:
        """Seconds after the first poll."""
        return self.begins + self.seconds


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """
    A scenario.

    :param incidents: in order of time.
    :param limit: how many requests a second the API accepts, with a burst of one second's requests.
    :param headers: the headers of all successful responses.
    :param triggerers: how many triggerers share the waits and the limit, each with a poller of its own.
    :param seconds: how long to measure after the last incident.
    """

    name: str
    summary: str
    incidents: tuple[Incident, ...] = ()
    limit: float | None = None
    retry_after: float | None = 1.0
    headers: Mapping[str, str] = field(default_factory=dict)
    triggerers: int = 1
    seconds: float = 90.0

    @property
    def ends(self) -> float:
        """When the last incident ends, in seconds after the first poll."""
        return self.incidents[-1].ends if self.incidents else STEADY_SECONDS


def _one(fault: Fault, seconds: float) -> tuple[Incident, ...]:
    return (Incident(STEADY_SECONDS, seconds, fault),)


def _five(fault: Fault, seconds: float, gap: float) -> tuple[Incident, ...]:
    return tuple(Incident(STEADY_SECONDS + number * (seconds + gap), seconds, fault) for number in range(5))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="storm",
            summary="20 s of 429 with retry-after: 5",
            incidents=_one(TOO_MANY_RETRY_AFTER_5, 20),
        ),
        Scenario(
            name="long storm",
            summary="60 s of 429 with retry-after: 5",
            incidents=_one(TOO_MANY_RETRY_AFTER_5, 60),
        ),
        Scenario(
            name="silent storm", summary="20 s of 429 without retry-after", incidents=_one(TOO_MANY, 20)
        ),
        Scenario(
            name="long silent storm",
            summary="300 s of 429 without retry-after",
            incidents=_one(TOO_MANY, 300),
        ),
        Scenario(
            name="storms",
            summary="five storms of 20 s with retry-after: 5, and 10 s between them",
            incidents=_five(TOO_MANY_RETRY_AFTER_5, 20, 10),
        ),
        Scenario(
            name="brief storms",
            summary="five storms of 2 s without retry-after, and 5 s between them",
            incidents=_five(TOO_MANY, 2, 5),
        ),
        Scenario(name="refused", summary="60 s of closed connections", incidents=_one("cut", 60)),
        Scenario(name="errors", summary="60 s of status 500", incidents=_one(SERVER_ERROR, 60)),
        Scenario(name="time-outs", summary="60 s without responses", incidents=_one("stall", 60)),
        Scenario(name="blip", summary="3 s of closed connections", incidents=_one("cut", 3)),
        Scenario(
            name="outage, then storm",
            summary="30 s of status 500, then 20 s of 429 without retry-after",
            incidents=(
                Incident(STEADY_SECONDS, 30, SERVER_ERROR),
                Incident(STEADY_SECONDS + 30, 20, TOO_MANY),
            ),
        ),
        Scenario(name="limit", summary="16 requests a second", limit=16, seconds=240),
        Scenario(
            name="shared limit",
            summary="16 requests a second for two triggerers",
            limit=16,
            triggerers=2,
            seconds=240,
        ),
        Scenario(
            name="nothing remaining",
            summary="all responses say that no request remains for a minute",
            headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"},
            seconds=120,
        ),
    )
}


@dataclass
class Request:
    """
    One request.

    :param at: when it was sent, in seconds after the first poll.
    :param wait: the number of its wait.
    :param is_success: whether it got through.
    :param is_refused: whether the response was 429.
    """

    at: float
    wait: int
    is_success: bool
    is_refused: bool


@dataclass
class Figures:
    """
    The requests of a scenario, and what follows from them.

    :param scenario: the scenario.
    :param requests: in order of time.
    :param intervals: the interval of each wait at the end, in seconds.
    """

    scenario: Scenario
    requests: list[Request]
    intervals: list[float]
    times: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.requests.sort(key=lambda request: request.at)
        self.times = [request.at for request in self.requests]

    def between(self, since: float, until: float) -> list[Request]:
        """Return the requests of a time."""
        return self.requests[bisect_left(self.times, since) : bisect_left(self.times, until)]

    def rate(self, since: float, until: float) -> float:
        """Return how many requests a second got through."""
        return sum(request.is_success for request in self.between(since, until)) / (until - since)

    @property
    def steady_rate(self) -> float:
        """The rate before the first incident."""
        return self.rate(STEADY_SECONDS - 30, STEADY_SECONDS)

    @property
    def demand(self) -> float:
        """The rate that the intervals call for at the end."""
        return sum(1 / interval for interval in self.intervals)

    @property
    def failed_at(self) -> float:
        """When the last request of an incident was sent."""
        return max(request.at for request in self.requests if not request.is_success)

    @property
    def failed(self) -> int:
        """How many requests did not get through."""
        return sum(not request.is_success for request in self.requests)

    @property
    def recovery_seconds(self) -> float:
        """How long after the last failure the rate has been back for the length of a window."""
        since = self.failed_at
        # Intervals that grow have reduced the demand.
        least = RECOVERED_SHARE * min(self.steady_rate, self.demand)
        while self.rate(since, since + RATE_WINDOW) < least:
            since += 0.25
            if since > self.times[-1]:
                return math.inf
        return since + RATE_WINDOW - self.failed_at

    def peak(self, since: float) -> int:
        """Return the most requests in any second."""
        times = self.times[bisect_left(self.times, since) :]
        return max((bisect_left(times, at + 1) - start for start, at in enumerate(times)), default=0)

    def peak_ratio(self, since: float) -> float:
        """Return the peak in terms of the steady rate."""
        peak = self.peak(since)
        return 0.0 if peak <= PEAK_OF_FEW else peak / self.steady_rate

    @property
    def refused_share(self) -> float:
        """The share of requests that were refused, without the first ten seconds."""
        requests = self.between(10, math.inf)
        return sum(request.is_refused for request in requests) / len(requests)

    @property
    def longest_neglect(self) -> float:
        """The longest time that a wait was not polled after the last failure, beyond its interval."""
        end = self.times[-1]
        since = self.failed_at
        polled = [[since] for _ in self.intervals]
        for request in self.between(since, math.inf):
            polled[request.wait].append(request.at)
        return max(
            max(after - before for before, after in itertools.pairwise([*times, end])) - interval
            for times, interval in zip(polled, self.intervals, strict=True)
        )

    def goals(self) -> dict[str, tuple[float, float]]:
        """Return by the name of each goal its value, and the most that it may be."""
        scenario = self.scenario
        if scenario.limit is not None:
            used = self.rate(60, self.times[-1]) / min(scenario.limit, self.demand)
            return {
                "share of requests refused": (self.refused_share, MAX_REFUSED_SHARE),
                "share of the limit unused": (1 - used, 1 - MIN_USED_SHARE),
            }
        if not scenario.incidents:
            missing = 1 - self.rate(scenario.ends + 60, self.times[-1]) / self.demand
            return {"share of polls missing": (missing, 1 - RECOVERED_SHARE)}
        goals = {
            "peak by steady rate": (self.peak_ratio(scenario.ends), MAX_PEAK),
        }
        if scenario.incidents[-1].fault in (TOO_MANY, TOO_MANY_RETRY_AFTER_5):
            goals["seconds until recovered"] = (self.recovery_seconds, MAX_RECOVERY_SECONDS)
        return goals

    def missed(self) -> list[str]:
        """Return the goals that are missed, with their values."""
        return [
            f"{name}: {value:.2f}, at most {most:g}"
            for name, (value, most) in self.goals().items()
            if not value <= most
        ]

    def report(self) -> str:
        """Return the figures as text."""
        scenario, ends = self.scenario, self.scenario.ends
        rates = [len(self.between(second, second + 1)) for second in range(int(self.times[-1]))]
        lines = [
            f"{scenario.name} ({scenario.summary}): {self.steady_rate:.1f}/s before, {self.failed} failed"
        ]
        for name, since, until in (
            ("before", STEADY_SECONDS - 10, STEADY_SECONDS),
            ("during", STEADY_SECONDS, min(ends, STEADY_SECONDS + 60)),
            ("after", ends, min(ends + 60, len(rates))),
        ):
            lines.append(f"  {name:7}{' '.join(map(str, rates[int(since) : int(until)]))}")
        lines += [f"  {name}: {value:.3g} (at most {most:g})" for name, (value, most) in self.goals().items()]
        return "\n".join(lines)


class FaultSchedule:
    """
    The faults of a scenario by time, and the requests that were sent.

    :param scenario: the scenario.
    :param latency: how many seconds a request takes before its fault is chosen.
    """

    def __init__(self, scenario: Scenario, latency: float) -> None:
        self.began_at = math.inf
        self.requests: list[Request] = []
        self._incidents = scenario.incidents
        self._limit: Limit | None = TokenBucket(scenario.limit) if scenario.limit else None
        retry_after = {} if scenario.retry_after is None else {"retry-after": str(scenario.retry_after)}
        self._over_limit: Fault = (429, retry_after, b"{}")
        self._latency = latency

    def fault(self, run_id: str) -> Fault | None:
        """Return what happens to a request now; None for success."""
        at = asyncio.get_running_loop().time() - self.began_at
        fault = next((one.fault for one in self._incidents if one.begins <= at < one.ends), None)
        if fault is None and self._limit is not None and not self._limit.takes(at):
            fault = self._over_limit
        is_refused = isinstance(fault, tuple) and fault[0] == 429
        self.requests.append(Request(at - self._latency, int(run_id[5:]), fault is None, is_refused))
        return fault


def in_virtual_time(
    scenario: Scenario, waits: int, interval: Interval, *, seed: int = 1, latency: float = 0.1
) -> Figures:
    """Run a scenario against an API in memory."""
    random.seed(seed)
    api = ApiInMemory(latency=latency)
    schedule = FaultSchedule(scenario, latency)
    api.fault, api.headers = schedule.fault, dict(scenario.headers)
    api.status = {f"resp_{number}": "in_progress" for number in range(waits)}
    with pytest.MonkeyPatch.context() as monkeypatch:
        api.install(monkeypatch)
        return virtual_time.run(_run(scenario, schedule, waits, interval, seed, virtual_time.Clock().time))


def over_http(scenario: Scenario, waits: int, interval: Interval, *, seed: int = 1) -> Figures:
    """Run a scenario in real time, over HTTP on loopback."""
    schedule = FaultSchedule(scenario, 0.0)

    async def run() -> Figures:
        async with serve(schedule.fault, scenario.headers) as url:
            with pytest.MonkeyPatch.context() as monkeypatch:
                for number in range(scenario.triggerers):
                    monkeypatch.setenv(f"AIRFLOW_CONN_OPENAI_{number}", connection_to(url))
                return await _run(scenario, schedule, waits, interval, seed, time.time)

    return asyncio.run(run())


async def _run(
    scenario: Scenario,
    schedule: FaultSchedule,
    waits: int,
    interval: Interval,
    seed: int,
    epoch: Callable[[], float],
) -> Figures:
    """Subscribe to all runs, and poll until the end of the scenario."""
    random, now = Random(seed), epoch()
    schedule.began_at = asyncio.get_running_loop().time()
    pollers, subscriptions = [], []
    for number in range(waits):
        shortest, longest, age = interval(random)
        options = PollOptions(
            started_at=now - age,
            poll_interval=shortest,
            max_poll_interval=longest,
            max_consecutive_failures=10**6,
        )
        poller = RunPoller(run_ref(f"resp_{number}"), options)
        # As in a triggerer that has run for a while.
        poller.not_before = now + random.random() * poller.poll_interval(now)
        subscriptions.append(subscribe(f"openai_{number % scenario.triggerers}", poller))
        pollers.append(poller)
    await asyncio.sleep(scenario.ends + scenario.seconds)
    intervals = [poller.poll_interval(epoch()) for poller in pollers]
    for subscription in subscriptions:
        subscription.close()
    await asyncio.sleep(0.1)
    return Figures(scenario, schedule.requests, intervals)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of each scenario; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description="Measure the recovery from 429s and outages.")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--waits", nargs="+", type=int, default=[300])
    parser.add_argument("--intervals", nargs="+", choices=INTERVALS, default=["fixed"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--http", action="store_true", help="in real time, over HTTP on loopback")
    options = parser.parse_args(arguments)
    run = over_http if options.http else in_virtual_time
    has_missed = False
    for name, waits, intervals in itertools.product(options.scenarios, options.waits, options.intervals):
        figures = run(SCENARIOS[name], waits, INTERVALS[intervals], seed=options.seed)
        sys.stdout.write(f"{waits} waits, {intervals} intervals, {figures.report()}\n")
        has_missed = has_missed or bool(figures.missed())
    return int(has_missed)


if __name__ == "__main__":
    sys.exit(main())
