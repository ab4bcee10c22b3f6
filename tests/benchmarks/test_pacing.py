from __future__ import annotations

import json
import math
from typing import Any

import pytest

from airflow_provider_openai_run.polling.backoff import (
    DEFAULT_MAX_POLL_INTERVAL,
    DEFAULT_POLL_INTERVAL,
    PollBackoff,
)
from tests.benchmarks import pacing
from tests.benchmarks.pacing_optimum import Kind, Learned, Optimum

RUNS, SEED = 4_000, 3


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return pacing.compare(RUNS, SEED)


def test_the_default_policy_meets_every_target(results: dict[str, Any]) -> None:
    missed = {name: (value, most) for name, (value, most) in results["targets"].items() if not value <= most}
    assert not missed


def test_learning_from_past_runs_saves_less_than_a_tenth(results: dict[str, Any]) -> None:
    default = next(row for name, row in results["figures"].items() if name.startswith("default"))
    learned = results["figures"]["learned from the last 500 runs"]
    assert learned["requests_by_optimum"] > 0.9 * default["requests_by_optimum"]


def test_no_policy_beats_the_optimum(results: dict[str, Any]) -> None:
    optimum = results["delay_by_requests"]["optimum"]
    for family in ("fixed", "backoff", "root", "learned"):
        for budget, delay in results["delay_by_requests"][family].items():
            assert math.isnan(delay) or delay >= 0.98 * optimum[budget], (family, budget)


def test_the_same_seed_gives_the_same_figures() -> None:
    runs = pacing.durations(pacing.MIX, 200, SEED)
    policy = pacing.square_root(1.5, 120.0)
    assert runs == pacing.durations(pacing.MIX, 200, SEED)
    assert pacing.measure(policy, runs, seed=SEED) == pacing.measure(policy, runs, seed=SEED)


def test_each_kind_has_its_share_and_its_median() -> None:
    runs = sorted(pacing.durations(pacing.MIX, 2_000, SEED))
    assert len(runs) == 2_000
    short = sorted(pacing.durations((Kind(1.0, 20),), 1_001, SEED))
    assert short[500] == pytest.approx(20)
    assert sum(Kind(1.0, 20).survival(age) for age in short) / len(short) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("seconds", [5.0, 37.0, 60.0])
def test_a_simulated_fixed_interval_agrees_with_its_formula(seconds: float) -> None:
    runs = pacing.durations(pacing.MIX, 200, SEED)
    polled = pacing.measure(lambda waited, fraction: seconds, runs, seed=SEED)
    computed = pacing.measure_fixed(seconds, runs)
    assert (polled.requests, polled.mean_delay) == pytest.approx((computed.requests, computed.mean_delay))


def test_the_optimum_is_at_least_as_good_as_its_neighbours() -> None:
    price, mix = 1.0, (Kind(1.0, 20),)
    runs = pacing.durations(mix, 4_000, SEED)

    def cost(times: list[float]) -> float:
        figures = pacing.measure(pacing.scheduled(times), runs, seed=SEED)
        return figures.requests + price * figures.mean_delay

    best = Optimum(mix).schedule(price)
    for first in range(4):
        for shift in (-2.0, 2.0):
            moved = [age + shift * (at == first) for at, age in enumerate(best)]
            assert cost(best) <= cost(moved)
        assert cost(best) < cost(best[:first] + best[first + 1 :])


def test_the_optimum_for_an_even_hazard_has_even_intervals() -> None:
    class Memoryless(Kind):
        def survival(self, age: float) -> float:
            return math.exp(-age / self.median)

    price, mean = 0.1, 1_000.0
    times = Optimum((Memoryless(1.0, mean),)).schedule(price)
    assert times[0] == pytest.approx(math.sqrt(2 * mean / price), rel=0.1)
    assert times[5] - times[4] == pytest.approx(times[0], rel=0.05)


def test_a_learner_without_data_follows_the_square_root() -> None:
    learner = Learned(1.8, shortest=1.0, longest=600.0)
    assert learner.interval(4_000.0, 0.0) == pytest.approx(2 * learner.interval(1_000.0, 0.0), rel=0.2)


def test_a_learner_polls_often_where_runs_usually_end() -> None:
    learner = Learned(1.8, shortest=1.0, longest=600.0)
    before = learner.interval(290.0, 0.0)
    for _ in range(200):
        learner.ended(300.0)
    assert learner.interval(290.0, 0.0) < before / 2
    assert learner.interval(60.0, 0.0) > 2 * learner.interval(290.0, 0.0)


def test_the_simulated_policy_is_that_of_the_package() -> None:
    expected = PollBackoff(DEFAULT_POLL_INTERVAL, DEFAULT_MAX_POLL_INTERVAL, 1.3).interval
    policy = pacing.square_root(1.3)
    assert [policy(waited, 0.5) for waited in (0, 90, 1e6)] == [
        expected(waited, 0.5) for waited in (0, 90, 1e6)
    ]


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pacing, "compare", lambda runs, seed: {"targets": {"requests": (2.0, 1.0)}})
    monkeypatch.setattr(pacing, "compare_mixes", lambda runs, seed: {})
    assert pacing.main(["--json", "--runs", "40"]) == 1
    assert json.loads(capsys.readouterr().out)["targets"] == {"requests": [2.0, 1.0]}
