from __future__ import annotations

from statistics import median

from tests.benchmarks.lifetimes import ages_of_waiting_runs, durations_up_to
from tests.benchmarks.pacing import MIX, durations


def test_longer_runs_are_left_out() -> None:
    drawn = durations_up_to(300, 1_000, seed=1)
    assert len(drawn) == 1_000
    assert max(drawn) <= 300


def test_most_waiting_runs_are_long_although_most_runs_are_short() -> None:
    assert median(durations(MIX, 1_000, seed=1)) < 60
    assert median(ages_of_waiting_runs(1_000, seed=1)) > 600
