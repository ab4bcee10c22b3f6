from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import pytest

from airflow_provider_openai_run.polling.rate_limiter import AdaptiveRateLimiter
from tests.triggerer.simulated_api import FixedWindow, Limit, NoLimit, Simulation, SlidingWindow, TokenBucket

LIMIT = 16
MOST_REFUSED = 0.02
LEAST_OF_THE_LIMIT = 0.85

LIMITS: dict[str, Callable[[], Limit]] = {
    "token bucket": lambda: TokenBucket(LIMIT),
    "fixed window": lambda: FixedWindow(LIMIT),
    "sliding window": lambda: SlidingWindow(LIMIT),
}
LATENCIES: dict[str, Callable[[Random], float]] = {
    "at once": lambda _: 0.002,
    "about 100 ms": lambda chance: chance.uniform(0.08, 0.15),
    "about 300 ms": lambda chance: chance.uniform(0.25, 0.35),
    "1 s": lambda _: 1.0,
}
NO_HEADERS: Mapping[str, str] = {}


def fail(throttle: AdaptiveRateLimiter, times: int, now: float = 0.0) -> None:
    """Let requests fail that were all asked before any of them did."""
    for _ in range(times):
        throttle.on_error(None, now, asked_at=now - 1)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("retry_after", [1.0, None, 0.05])
def test_a_thousand_runs_live_with_a_limit(limit: str, latency: str, retry_after: float | None) -> None:
    simulation = Simulation(LIMITS[limit](), latency=LATENCIES[latency], retry_after=retry_after)
    simulation.run_until(240)
    assert simulation.refused_share() <= MOST_REFUSED
    assert simulation.throughput(60, 240) >= LEAST_OF_THE_LIMIT * LIMIT


def test_under_a_limit_each_run_is_asked_about_in_its_turn() -> None:
    simulation = Simulation(TokenBucket(LIMIT), runs=300)
    simulation.run_until(100)
    assert min(simulation.asked_times.values()) >= 3


def test_what_is_asked_for_comes_back_once_the_limit_is_lifted() -> None:
    simulation = Simulation(TokenBucket(LIMIT))
    simulation.run_until(120)
    simulation.limit = NoLimit()
    simulation.run_until(300)
    assert simulation.throughput(280, 300) >= 190


def test_a_limit_cut_in_half_is_found_again() -> None:
    simulation = Simulation(TokenBucket(LIMIT))
    simulation.run_until(120)
    simulation.limit = TokenBucket(LIMIT / 2)
    simulation.run_until(300)
    assert simulation.refused_share(since=180) <= MOST_REFUSED
    assert simulation.throughput(180, 300) >= LEAST_OF_THE_LIMIT * LIMIT / 2


def test_without_a_limit_nothing_is_held_back() -> None:
    simulation = Simulation(NoLimit())
    simulation.run_until(60)
    assert simulation.throughput(10, 60) >= 190
    assert simulation.throttle.ready_at() < simulation.now


@pytest.mark.parametrize("window", [10.0, 60.0])
def test_a_limit_told_in_headers_is_stayed_under(window: float) -> None:
    simulation = Simulation(FixedWindow(500, window, tells=True))
    simulation.run_until(300)
    assert simulation.refused_share() == 0
    assert simulation.throughput(0, 300) >= LEAST_OF_THE_LIMIT * 500 / window


def test_retry_after_holds_all() -> None:
    throttle = AdaptiveRateLimiter()
    throttle.on_rate_limited(7.0, 100.0, asked_at=99.9)
    assert throttle.ready_at() == 107.0
    throttle.on_rate_limited(2.0, 101.0, asked_at=99.9)
    assert throttle.ready_at() == 107.0
    throttle.on_response(NO_HEADERS, 102.0)
    assert throttle.ready_at() == 107.0


def test_retry_after_of_an_overloaded_server_holds_all() -> None:
    throttle = AdaptiveRateLimiter()
    throttle.on_error(7.0, 100.0, asked_at=99.9)
    assert throttle.ready_at() == 107.0


def test_a_429_without_a_hint_is_a_second_of_rest() -> None:
    throttle = AdaptiveRateLimiter()
    throttle.on_rate_limited(None, 100.0, asked_at=99.9)
    assert throttle.ready_at() == 101.0


def test_a_429_of_what_was_under_way_cuts_the_rate_no_further() -> None:
    once, often = AdaptiveRateLimiter(), AdaptiveRateLimiter()
    for throttle, refusals in ((once, 1), (often, 30)):
        for moment in range(100):
            throttle.on_response(NO_HEADERS, moment / 20)
        for refusal in range(refusals):
            throttle.on_rate_limited(1.0, 5.0 + refusal / 1000, asked_at=4.9)
        throttle.on_sent(throttle.ready_at())
    assert often.ready_at() - once.ready_at() == pytest.approx(0.029, abs=0.001)


def test_a_budget_that_is_used_up_is_waited_for() -> None:
    throttle = AdaptiveRateLimiter()
    throttle.on_response(
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s"}, now=100.0
    )
    assert throttle.ready_at() == 162.5


@pytest.mark.parametrize(
    ("reset", "seconds"), [("20ms", 0.02), ("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("30", 30)]
)
def test_a_reset_is_read_as_apis_write_it(reset: str, seconds: float) -> None:
    throttle = AdaptiveRateLimiter()
    throttle.on_response({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": reset}, 100.0)
    throttle.on_sent(100.0)
    assert throttle.ready_at() == pytest.approx(100 + seconds)


@pytest.mark.parametrize("left", ["many", "", "nan", "-1e999"])
@pytest.mark.parametrize("reset", ["soon", "", "0s", "-5"])
def test_headers_that_make_no_sense_are_passed_over(left: str, reset: str) -> None:
    throttle = AdaptiveRateLimiter()
    throttle.on_response({"x-ratelimit-remaining-requests": left, "x-ratelimit-reset-requests": reset}, 100.0)
    throttle.on_sent(100.0)
    assert throttle.ready_at() <= 100.0


@pytest.mark.parametrize(("failures", "is_outage"), [(1, False), (2, False), (3, True), (4, True)])
def test_three_failures_in_a_row_are_an_outage(failures: int, is_outage: bool) -> None:
    throttle = AdaptiveRateLimiter()
    fail(throttle, failures)
    assert throttle.in_outage == is_outage
    assert (throttle.ready_at() > 0) == is_outage
    assert (throttle.at_once(0.0, now=100.0) == 1) == is_outage


def test_an_outage_is_probed_at_growing_intervals_up_to_half_a_minute() -> None:
    throttle, now = AdaptiveRateLimiter(), 0.0
    fail(throttle, 3)
    gaps = []
    for _ in range(10):
        gaps.append(throttle.ready_at() - now)
        asked_at = throttle.ready_at()
        throttle.on_sent(asked_at)
        now = asked_at + 0.5
        throttle.on_error(None, now, asked_at)
    assert gaps == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]


def test_failures_of_what_was_under_way_when_an_outage_began_do_not_make_it_longer() -> None:
    throttle = AdaptiveRateLimiter()
    fail(throttle, 64)
    assert throttle.ready_at() == 1.0


@pytest.mark.parametrize(
    "end",
    [
        lambda throttle: throttle.on_response(NO_HEADERS, 201.0),
        lambda throttle: throttle.on_rate_limited(0.0, 201.0, asked_at=200.5),
    ],
    ids=["a good one", "a 429"],
)
def test_an_outage_ends_with_the_first_answer(end: Callable[[AdaptiveRateLimiter], None]) -> None:
    throttle = AdaptiveRateLimiter()
    fail(throttle, 3)
    for probe in range(1, 6):
        throttle.on_error(None, probe * 40.0, asked_at=probe * 40.0 - 1)
    assert throttle.ready_at() == 230.0
    end(throttle)
    assert not throttle.in_outage
    assert throttle.ready_at() <= 201.0
    assert throttle.at_once(201.0, now=201.0) > 1


def test_failures_between_answers_are_no_outage() -> None:
    throttle = AdaptiveRateLimiter()
    for moment in range(100):
        fail(throttle, 2, now=float(moment))
        throttle.on_response(NO_HEADERS, moment + 0.5)
        assert not throttle.in_outage
        assert throttle.ready_at() <= moment


def test_some_more_go_at_once_for_each_second_that_polls_are_late_up_to_64() -> None:
    throttle = AdaptiveRateLimiter()
    assert throttle.at_once(0.0, now=0.0) == 12
    seen = [throttle.at_once(now - 1.0, now) for now in map(float, range(1, 100))]
    assert seen[:4] == [14, 16, 18, 20]
    assert max(seen) == 64
    seen = [throttle.at_once(now, now) for now in map(float, range(100, 200))]
    assert seen[:3] == [62, 60, 58]
    assert min(seen) == 12


def test_lateness_after_a_long_silence_counts_for_a_second_at_most() -> None:
    throttle = AdaptiveRateLimiter()
    throttle.at_once(0.0, now=0.0)
    assert throttle.at_once(0.0, now=1000.0) == 14
