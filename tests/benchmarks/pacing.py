"""Comparison of polling policies on runs drawn from a mix of durations.

``python -m tests.benchmarks.pacing`` prints the tables and ends with status 1 when a target is missed. A wait
begins with its run, a poll takes no time, and the last poll is counted.

A policy has two figures: requests per run, and the delay between a run's end and the poll that detects it.
Let ``price`` be the requests that a second of delay is worth, ``h`` the hazard (the chance that a run ends
within the next second) and ``I`` the interval. A second of waiting then costs ``1 / I`` requests and ``price
* h * I / 2`` of delay; the sum is least at ``I = sqrt(2 / (price * h))``. When durations are spread over
orders of magnitude, ``h`` falls like one over the time waited, and the best interval grows like its root:
that is the package's policy. The rule of the hazard is an approximation; the optimum that knows the
distribution is therefore found by dynamic programming over the times of the polls.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import NormalDist, fmean
from typing import Any, Self

from airflow_provider_openai_run.polling.backoff import (
    DEFAULT_GROWTH,
    DEFAULT_MAX_POLL_INTERVAL,
    DEFAULT_POLL_INTERVAL,
    PollBackoff,
)
from tests.benchmarks.pacing_optimum import Kind, Learned, Mix, Optimum

Policy = Callable[[float, float], float]
"""Returns the seconds until the next poll, from the seconds waited and a random number in [0, 1)."""

PRICES = [10 ** (step / 6) for step in range(-9, 13)]
GROWTHS = [0.5 * 1.25**step for step in range(16)]
OTHER_CONSTANTS = (
    (1.0, 60.0),
    (1.5, 60.0),
    (2.0, 60.0),
    (1.0, 120.0),
    (2.0, 120.0),
    (1.5, 300.0),
    (1.5, 1e9),
)
BUDGETS = (12, 15, 20, 25, 30, 40)

MOST_REQUESTS_BY_OPTIMUM = 1.15
MOST_DELAY_BY_FIXED_60 = 0.5
MOST_REQUESTS_BY_FIXED_5 = 1 / 7

SHORT, RESEARCH, BATCH = Kind(0.60, 20), Kind(0.35, 480), Kind(0.05, 10_800)
MIX: Mix = (SHORT, RESEARCH, BATCH)


def spread_by(*spreads: float) -> Mix:
    """Return the mix with other spreads."""
    return tuple(Kind(kind.share, kind.median, spread) for kind, spread in zip(MIX, spreads, strict=True))


OTHER_MIXES: dict[str, Mix] = {
    "the mix, spreads 0.5": spread_by(0.5, 0.5, 0.5),
    "the mix, spreads 0.8, 0.6, 0.7": spread_by(0.8, 0.6, 0.7),
    "the mix, spreads 1.0": spread_by(1.0, 1.0, 1.0),
    "short runs only": (Kind(1.0, 20),),
    "research runs only": (Kind(1.0, 480),),
    "batch-like runs only": (Kind(1.0, 10_800),),
    "10 % short, 60 % research, 30 % batch": (Kind(0.1, 20), Kind(0.6, 480), Kind(0.3, 10_800)),
    "all sizes: median 1 min, spread 2": (Kind(1.0, 60, 2.0),),
}


def durations(mix: Mix, runs: int, seed: int) -> list[float]:
    """Return the durations of about ``runs`` runs in seconds, in random order.

    Each kind contributes evenly spaced quantiles, so that a few very long runs don't decide the result.
    """
    drawn = []
    for kind in mix:
        count = round(kind.share * runs)
        drawn += [
            kind.median * math.exp(kind.spread * NormalDist().inv_cdf((rank + 0.5) / count))
            for rank in range(count)
        ]
    random.Random(seed).shuffle(drawn)
    return drawn


@dataclass(frozen=True)
class Figures:
    """The figures of a policy: delays in seconds, relative delays as fractions of the run's duration."""

    requests: float
    mean_delay: float
    median_delay: float
    p95_delay: float
    p99_delay: float
    mean_relative_delay: float
    median_relative_delay: float

    @classmethod
    def of(cls, runs: Sequence[float], requests: int, delays: Sequence[float]) -> Self:
        """Return the figures of simulated runs.

        :param runs: durations in seconds.
        :param requests: total number of requests.
        :param delays: delay of each run, in the order of ``runs``.
        """
        relative = sorted(delay / duration for delay, duration in zip(delays, runs, strict=True))
        ordered, count = sorted(delays), len(runs)
        return cls(
            requests=requests / count,
            mean_delay=fmean(ordered),
            median_delay=ordered[count // 2],
            p95_delay=ordered[int(count * 0.95)],
            p99_delay=ordered[int(count * 0.99)],
            mean_relative_delay=fmean(relative),
            median_relative_delay=relative[count // 2],
        )


def measure(
    policy: Policy, runs: Sequence[float], *, seed: int, ended: Callable[[float], None] | None = None
) -> Figures:
    """Poll each run to its end.

    :param ended: called with the estimated duration of each run, the middle of the last interval.
    """
    draw = random.Random(seed).random
    requests, delays = 0, []
    for duration in runs:
        before = now = 0.0
        while now < duration:
            before, now = now, now + policy(now, draw())
            requests += 1
        delays.append(now - duration)
        if ended is not None:
            ended((before + now) / 2)
    return Figures.of(runs, requests, delays)


def measure_fixed(seconds: float, runs: Sequence[float]) -> Figures:
    """Return the figures of a fixed interval without jitter, computed without a simulation."""
    polls = [math.ceil(duration / seconds) for duration in runs]
    delays = [count * seconds - duration for count, duration in zip(polls, runs, strict=True)]
    return Figures.of(runs, sum(polls), delays)


def backoff(factor: float, most: float) -> Policy:
    """Return the policy whose intervals grow by a factor."""
    return lambda waited, fraction: min(most, DEFAULT_POLL_INTERVAL + (factor - 1) * waited)


def square_root(growth: float, most: float = DEFAULT_MAX_POLL_INTERVAL) -> Policy:
    """Return the package's own policy."""
    return PollBackoff(DEFAULT_POLL_INTERVAL, most, growth).interval


def scheduled(times: Sequence[float]) -> Policy:
    """Return the policy that polls at given ages, and after the last one at the last interval."""

    def interval(waited: float, fraction: float) -> float:
        upcoming = bisect_right(times, waited + 1e-6)
        return times[upcoming] - waited if upcoming < len(times) else times[-1] - times[-2]

    return interval


class Frontier:
    """The figures of a family of policies for several constants: points of (requests, mean delay)."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._points = sorted(points)

    def delay_at(self, requests: float) -> float:
        """Return the mean delay at a number of requests, or NaN outside the points."""
        return _between(self._points, requests)

    def requests_at(self, delay: float) -> float:
        """Return the requests at a mean delay, or NaN outside the points."""
        return _between(
            sorted((delay_of_point, requests) for requests, delay_of_point in self._points), delay
        )


def _between(points: Sequence[tuple[float, float]], at: float) -> float:
    for (left, low), (right, high) in pairwise(points):
        if left <= at <= right:
            part = math.log(at / left) / math.log(right / left)
            return math.exp(math.log(low) + part * math.log(high / low))
    return math.nan


class Simulation:
    """The runs of a mix, and the figures of policies on them."""

    def __init__(self, mix: Mix, runs: int, seed: int) -> None:
        self._mix, self._seed = mix, seed
        self._runs = durations(mix, runs, seed)
        self._optimum = Optimum(mix)

    def of(self, policy: Policy) -> Figures:
        """Return the figures of a policy."""
        return measure(policy, self._runs, seed=self._seed)

    def fixed(self, seconds: float) -> Figures:
        """Return the figures of a fixed interval."""
        return measure_fixed(seconds, self._runs)

    def learned(self, price: float) -> Figures:
        """Return the figures of the policy that learns from each run."""
        learner = Learned(price, shortest=DEFAULT_POLL_INTERVAL, longest=600.0)
        return measure(learner.interval, self._runs, seed=self._seed, ended=learner.ended)

    def optimum(self, price: float) -> Figures:
        """Return the figures of the optimal schedule."""
        return self.of(scheduled(self._optimum.schedule(price)))


def frontier(figures: Iterable[Figures]) -> Frontier:
    """Return the frontier of the figures of a family."""
    return Frontier([(one.requests, one.mean_delay) for one in figures])


def frontier_by_kind(mix: Mix, runs: int, seed: int) -> Frontier:
    """Return the frontier of an optimum that knows the kind of each run."""
    simulations = [(kind.share, Simulation((replace(kind, share=1.0),), runs, seed)) for kind in mix]
    points = []
    for price in PRICES:
        each = [(share, simulation.optimum(price)) for share, simulation in simulations]
        requests = sum(share * figures.requests for share, figures in each)
        points.append((requests, sum(share * figures.mean_delay for share, figures in each)))
    return Frontier(points)


def named(growth: float, most: float) -> str:
    """Return the name of a choice of constants."""
    return f"root x{growth:g} from {DEFAULT_POLL_INTERVAL:g} " + (f"to {most:g} s" if most < 1e9 else "s on")


def compare(runs: int, seed: int) -> dict[str, Any]:
    """Return figures by policy, mean delays by family and requests, and the targets, all for the mix."""
    simulation = Simulation(MIX, runs, seed)
    fixed_5, fixed_60 = simulation.fixed(5), simulation.fixed(60)
    chosen = simulation.of(square_root(DEFAULT_GROWTH))
    figures = {
        "default: " + named(DEFAULT_GROWTH, DEFAULT_MAX_POLL_INTERVAL): chosen,
        "fixed 5 s": fixed_5,
        "fixed 60 s": fixed_60,
        "backoff x2 up to 60 s": simulation.of(backoff(2, 60)),
        "backoff x1.5 up to 120 s": simulation.of(backoff(1.5, 120)),
        "backoff x1.1 up to 600 s": simulation.of(backoff(1.1, 600)),
        **{named(growth, most): simulation.of(square_root(growth, most)) for growth, most in OTHER_CONSTANTS},
        "learned from the last 500 runs": simulation.learned(1.8),
        "optimum that knows the mix": simulation.optimum(1.8),
    }
    families = {
        "fixed": frontier(simulation.fixed(5 * 1.3**step) for step in range(15)),
        "backoff": frontier(simulation.of(backoff(1 + 0.01 * 1.4**step, 600)) for step in range(12)),
        "root": frontier(simulation.of(square_root(growth)) for growth in GROWTHS),
        "learned": frontier(simulation.learned(price) for price in PRICES),
        "optimum": frontier(simulation.optimum(price) for price in PRICES),
        "optimum by kind": frontier_by_kind(MIX, runs // 8, seed),
    }
    best = families["optimum"]
    return {
        "figures": {
            name: asdict(one) | {"requests_by_optimum": one.requests / best.requests_at(one.mean_delay)}
            for name, one in figures.items()
        },
        "delay_by_requests": {
            name: {budget: family.delay_at(budget) for budget in BUDGETS} for name, family in families.items()
        },
        "targets": {
            "requests, of the optimum's at the same mean delay": (
                chosen.requests / best.requests_at(chosen.mean_delay),
                MOST_REQUESTS_BY_OPTIMUM,
            ),
            "mean delay, of a fixed 60 s at the same requests": (
                families["root"].delay_at(fixed_60.requests) / fixed_60.mean_delay,
                MOST_DELAY_BY_FIXED_60,
            ),
            "requests, of a fixed 5 s": (chosen.requests / fixed_5.requests, MOST_REQUESTS_BY_FIXED_5),
        },
    }


def compare_mixes(runs: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures of the default on other mixes than the one its constants were chosen for."""
    results = {}
    for name, mix in {"the mix": MIX, **OTHER_MIXES}.items():
        simulation = Simulation(mix, runs, seed)
        chosen = simulation.of(square_root(DEFAULT_GROWTH))
        best = frontier(simulation.optimum(price) for price in PRICES)
        steady = frontier(simulation.fixed(2.5 * 1.3**step) for step in range(24))
        results[name] = {
            "requests": chosen.requests,
            "mean_delay": chosen.mean_delay,
            "p99_delay": chosen.p99_delay,
            "median_relative_delay": chosen.median_relative_delay,
            "requests_by_optimum": chosen.requests / best.requests_at(chosen.mean_delay),
            "requests_by_fixed": chosen.requests / steady.requests_at(chosen.mean_delay),
            "requests_by_fixed_5": chosen.requests / simulation.fixed(5).requests,
        }
    return results


def table(first: str, rows: dict[str, dict[Any, float]]) -> str:
    """Return figures as a Markdown table."""
    columns = [str(column).replace("_", " ") for column in next(iter(rows.values()))]
    lines = [f"| {' | '.join([first, *columns])} |", "|---" + "|---:" * len(columns) + "|"]
    for name, row in rows.items():
        lines.append(f"| {' | '.join([name, *(f'{value:.3g}' for value in row.values())])} |")
    return "\n".join(lines)


def report(results: dict[str, Any]) -> str:
    """Return the tables and the targets as text."""
    parts = [
        table("policy (delays in seconds)", results["figures"]),
        table("mean delay in seconds by requests", results["delay_by_requests"]),
        table("default on other mixes", results["other_mixes"]),
        "\n".join(
            f"{'met' if value <= most else 'MISSED'}: {name}: {value:.3f}, at most {most:.3f}"
            for name, (value, most) in results["targets"].items()
        ),
    ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or all figures as JSON; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="Compare polling policies.")
    parser.add_argument("--runs", type=int, default=12_000, help="runs of the mix (default %(default)s)")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    results = compare(options.runs, options.seed)
    results["other_mixes"] = compare_mixes(options.runs // 2, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    else:
        sys.stdout.write(report(results) + "\n")
    return 0 if all(value <= most for value, most in results["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
