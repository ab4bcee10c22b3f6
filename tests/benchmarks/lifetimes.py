"""How long the runs live, and how old those are that are found waiting: from the mix of the pacing."""

from __future__ import annotations

import random

from tests.benchmarks.pacing import MIX, durations


def durations_up_to(longest: float, runs: int, seed: int) -> list[float]:
    """Give the durations of runs of the mix that last no longer than so many seconds."""
    drawn: list[float] = []
    tried = runs
    while len(drawn) < runs:
        tried *= 2
        drawn = [duration for duration in durations(MIX, tried, seed) if duration <= longest]
    return drawn[:runs]


def ages_of_waiting_runs(runs: int, seed: int) -> list[float]:
    """Give the ages of the runs found waiting at one moment, in seconds.

    A run is the likelier to be found waiting the longer it lasts, and is found at any age up to that.
    """
    chance = random.Random(seed)
    all_durations = durations(MIX, runs, seed)
    found = chance.choices(all_durations, weights=all_durations, k=runs)
    return [chance.uniform(0, duration) for duration in found]
