from __future__ import annotations

import itertools
import random
from random import Random

import pytest

from tests.benchmarks import recovery
from tests.benchmarks.recovery import (
    INTERVALS,
    SCENARIOS,
    SERVER_ERROR,
    STEADY_SECONDS,
    TOO_MANY,
    TOO_MANY_RETRY_AFTER_5,
    Fault,
    Incident,
    Scenario,
    in_virtual_time,
)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("interval", INTERVALS)
def test_every_scenario_meets_its_goals(scenario: str, interval: str) -> None:
    figures = in_virtual_time(SCENARIOS[scenario], 100, INTERVALS[interval])
    assert not figures.missed(), figures.report()


@pytest.mark.parametrize("waits", [1, 20, 600])
@pytest.mark.parametrize("scenario", ["storm", "silent storm", "refused"])
def test_any_number_of_waits_recovers(scenario: str, waits: int) -> None:
    figures = in_virtual_time(SCENARIOS[scenario], waits, recovery.fixed)
    assert not figures.missed(), figures.report()


@pytest.mark.parametrize("latency", [0.002, 0.5, 2.0])
@pytest.mark.parametrize("scenario", ["storm", "silent storm", "refused", "limit"])
def test_an_api_of_any_speed_is_recovered_from(scenario: str, latency: float) -> None:
    figures = in_virtual_time(SCENARIOS[scenario], 100, recovery.fixed, latency=latency)
    assert not figures.missed(), figures.report()


def test_few_requests_are_sent_into_a_storm() -> None:
    figures = in_virtual_time(SCENARIOS["storm"], 300, recovery.fixed)
    assert figures.failed <= 12
    assert 59 <= figures.steady_rate <= 65


@pytest.mark.parametrize("scenario", ["refused", "errors", "time-outs", "blip"])
def test_two_intervals_after_an_outage_polls_are_spread_again(scenario: str) -> None:
    figures = in_virtual_time(SCENARIOS[scenario], 300, recovery.fixed)
    first = next(request.at for request in figures.requests if request.at > SCENARIOS[scenario].ends)
    for second in range(int(first) + 10, int(figures.times[-1])):
        assert 0.3 < len(figures.between(second, second + 1)) / figures.steady_rate < 1.7


def random_incidents(random: Random) -> tuple[Incident, ...]:
    """Return up to five incidents of any kind, with pauses between them."""
    faults: list[Fault] = [
        TOO_MANY,
        TOO_MANY_RETRY_AFTER_5,
        (429, {"retry-after": "0"}, b"{}"),
        (503, {"retry-after": "3"}, b"{}"),
        SERVER_ERROR,
        "cut",
        "stall",
    ]
    incidents, begins = [], STEADY_SECONDS
    for _ in range(random.randint(1, 5)):
        incidents.append(Incident(begins, random.uniform(0.2, 40), random.choice(faults)))
        begins = incidents[-1].ends + random.choice([0.0, 0.5, 3.0, 20.0])
    return tuple(incidents)


@pytest.mark.parametrize("seed", range(12))
def test_no_wait_starves_after_any_incidents(seed: int) -> None:
    random = Random(seed)
    scenario = Scenario(name=str(seed), summary="", incidents=random_incidents(random), seconds=200)
    interval = random.choice(list(INTERVALS.values()))
    figures = in_virtual_time(scenario, random.randint(1, 120), interval, seed=seed)
    # The longest pause before a probe, the probe that stalls, and the time to poll all waits in turn.
    assert figures.longest_neglect <= 30 + 30 + 2 * 20, figures.report()


@pytest.mark.parametrize("limit", [2.0, 16.0])
def test_under_a_limit_all_waits_are_polled_in_turn(limit: float) -> None:
    waits = 100
    scenario = Scenario(name="limit", summary="", limit=limit, seconds=300)
    figures = in_virtual_time(scenario, waits, recovery.fixed)
    ended_at = figures.times[-1]
    for number in range(waits):
        times = [one.at for one in figures.between(100, ended_at) if one.wait == number and one.is_success]
        gaps = [after - before for before, after in itertools.pairwise([100.0, *times, ended_at])]
        # One that was refused waits for its next turn.
        assert max(gaps) <= 2.3 * waits / limit + 10


def test_the_same_seed_gives_the_same_figures() -> None:
    def times() -> list[float]:
        random.seed(0)
        return in_virtual_time(SCENARIOS["blip"], 20, recovery.mixed).times

    assert times() == times()


def test_the_command_ends_with_1_if_a_goal_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--scenarios", "blip", "--waits", "20"]
    assert recovery.main(arguments) == 0
    assert "3 s of closed connections" in capsys.readouterr().out
    monkeypatch.setattr(recovery, "MAX_PEAK", 0.01)
    monkeypatch.setattr(recovery, "PEAK_OF_FEW", 0)
    assert recovery.main(arguments) == 1
