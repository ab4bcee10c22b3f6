"""Durations and ages of runs, drawn from the mix of the polling simulation."""

from __future__ import annotations

import random

from tests.benchmarks.pacing import MIX, durations


def durations_up_to(longest: float, runs: int, seed: int) -> list[float]:
    """Return durations of runs from the mix, each at most ``longest`` seconds."""
    drawn: list[float] = []
    tried = runs
    while len(drawn) < runs:
        tried *= 2
        drawn = [duration for duration in durations(MIX, tried, seed) if duration <= longest]
    return drawn[:runs]


def ages_of_waiting_runs(runs: int, seed: int) -> list[float]:
    """Return the ages in seconds of runs that are waiting at a given time.

    The chance that a run is waiting grows with its duration; all ages up to the duration are equally likely.
    """
    chance = random.Random(seed)
    all_durations = durations(MIX, runs, seed)
    waiting = chance.choices(all_durations, weights=all_durations, k=runs)
    return [chance.uniform(0, duration) for duration in waiting]
