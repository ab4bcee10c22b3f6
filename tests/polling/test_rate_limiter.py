from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from random import Random

import pytest

from airflow_provider_openai_run.polling.rate_limiter import AdaptiveRateLimiter
from tests.triggerer.simulated_api import FixedWindow, Limit, NoLimit, Simulation, SlidingWindow, TokenBucket

LIMIT = 16
MAX_REFUSED_SHARE = 0.02
MIN_USED_SHARE = 0.85

LIMITS: dict[str, Callable[[], Limit]] = {
    "token bucket": lambda: TokenBucket(LIMIT),
    "fixed window": lambda: FixedWindow(LIMIT),
    "sliding window": lambda: SlidingWindow(LIMIT),
}
LATENCIES: dict[str, Callable[[Random], float]] = {
    "2 ms": lambda _: 0.002,
    "about 100 ms": lambda random: random.uniform(0.08, 0.15),
    "about 300 ms": lambda random: random.uniform(0.25, 0.35),
    "1 s": lambda _: 1.0,
}
NO_HEADERS: Mapping[str, str] = {}


def fail(limiter: AdaptiveRateLimiter, times: int, now: float = 0.0) -> None:
    """Record failures of concurrent requests."""
    for _ in range(times):
        limiter.on_error(None, now, sent_at=now - 1)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("retry_after", [1.0, None, 0.05])
def test_a_thousand_runs_stay_near_a_limit(limit: str, latency: str, retry_after: float | None) -> None:
    simulation = Simulation(LIMITS[limit](), latency=LATENCIES[latency], retry_after=retry_after)
    simulation.run_until(240)
    assert simulation.refused_share() <= MAX_REFUSED_SHARE
    assert simulation.throughput(60, 240) >= MIN_USED_SHARE * LIMIT


def test_under_a_limit_every_run_is_polled_in_turn() -> None:
    simulation = Simulation(TokenBucket(LIMIT), runs=300)
    simulation.run_until(100)
    assert min(simulation.sent_counts.values()) >= 3


def test_the_rate_recovers_once_the_limit_is_lifted() -> None:
    simulation = Simulation(TokenBucket(LIMIT))
    simulation.run_until(120)
    simulation.limit = NoLimit()
    simulation.run_until(300)
    assert simulation.throughput(280, 300) >= 190


def test_the_rate_adapts_to_a_limit_cut_in_half() -> None:
    simulation = Simulation(TokenBucket(LIMIT))
    simulation.run_until(120)
    simulation.limit = TokenBucket(LIMIT / 2)
    simulation.run_until(300)
    assert simulation.refused_share(since=180) <= MAX_REFUSED_SHARE
    assert simulation.throughput(180, 300) >= MIN_USED_SHARE * LIMIT / 2


def test_without_a_limit_no_request_is_delayed() -> None:
    simulation = Simulation(NoLimit())
    simulation.run_until(60)
    assert simulation.throughput(10, 60) >= 190
    assert simulation.rate_limiter.ready_at() < simulation.now


@pytest.mark.parametrize("window", [10.0, 60.0])
def test_a_limit_in_headers_is_never_exceeded(window: float) -> None:
    simulation = Simulation(FixedWindow(500, window, reports=True))
    simulation.run_until(300)
    assert simulation.refused_share() == 0
    assert simulation.throughput(0, 300) >= MIN_USED_SHARE * 500 / window


def test_retry_after_delays_all_requests() -> None:
    limiter = AdaptiveRateLimiter()
    limiter.on_rate_limited(7.0, 100.0, sent_at=99.9)
    assert limiter.ready_at() == 107.0
    limiter.on_rate_limited(2.0, 101.0, sent_at=99.9)
    assert limiter.ready_at() == 107.0
    limiter.on_response(NO_HEADERS, 102.0)
    assert limiter.ready_at() == 107.0


def test_retry_after_of_a_server_error_delays_all_requests() -> None:
    limiter = AdaptiveRateLimiter()
    limiter.on_error(7.0, 100.0, sent_at=99.9)
    assert limiter.ready_at() == 107.0


def test_a_429_without_retry_after_pauses_for_a_second() -> None:
    limiter = AdaptiveRateLimiter()
    limiter.on_rate_limited(None, 100.0, sent_at=99.9)
    assert limiter.ready_at() == 101.0


def test_429s_of_concurrent_requests_cut_the_rate_once() -> None:
    once, often = AdaptiveRateLimiter(), AdaptiveRateLimiter()
    for limiter, refusals in ((once, 1), (often, 30)):
        for second in range(100):
            limiter.on_response(NO_HEADERS, second / 20)
        for refusal in range(refusals):
            limiter.on_rate_limited(1.0, 5.0 + refusal / 1000, sent_at=4.9)
        limiter.on_sent(limiter.ready_at())
    assert often.ready_at() - once.ready_at() == pytest.approx(0.029, abs=0.001)


def test_a_used_up_budget_delays_until_its_reset() -> None:
    limiter = AdaptiveRateLimiter()
    limiter.on_response(
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "52.5s"}, now=100.0
    )
    assert limiter.ready_at() == 152.5


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("20ms", 0.02), ("1s", 1), ("0m59s", 59), ("0h0m3.5s", 3.5), ("1m0s", 60), ("30", 30)],
)
def test_a_reset_time_is_parsed_in_every_format(reset: str, seconds: float) -> None:
    limiter = AdaptiveRateLimiter()
    limiter.on_response({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": reset}, 100.0)
    limiter.on_sent(100.0)
    assert limiter.ready_at() == pytest.approx(100 + seconds)


@pytest.mark.parametrize("retry_after", [None, 5.0])
def test_refused_probes_double_the_pause_up_to_15_s(retry_after: float | None) -> None:
    limiter, now, pauses = AdaptiveRateLimiter(), 0.0, []
    for _ in range(7):
        sent_at = max(now, limiter.ready_at())
        limiter.on_sent(sent_at)
        now = sent_at + 0.5
        limiter.on_rate_limited(retry_after, now, sent_at)
        assert limiter.max_concurrency(now, now) == 1
        pauses.append(limiter.ready_at() - now)
    assert pauses == [max(pause, retry_after or 0.0) for pause in (1, 2, 4, 8, 15, 15, 15)]


def responding(rate: float) -> AdaptiveRateLimiter:
    """Return a limiter that has received so many responses a second for ten seconds, up to second 0."""
    limiter = AdaptiveRateLimiter()
    for number in range(round(10 * rate)):
        limiter.on_response(NO_HEADERS, number / rate - 10)
    return limiter


def refuse(limiter: AdaptiveRateLimiter, since: float, until: float) -> float:
    """Refuse all requests for a time, and return when the first probe after it may be sent."""
    limiter.on_rate_limited(None, since, sent_at=since)
    while (probe_at := limiter.ready_at()) < until:
        limiter.on_sent(probe_at)
        limiter.on_rate_limited(None, probe_at, sent_at=probe_at)
    return probe_at


def allowed(limiter: AdaptiveRateLimiter, since: float, until: float) -> int:
    """Return how many requests are allowed in a time, each of which gets through at once."""
    count, now = 0, max(since, limiter.ready_at())
    while now < until:
        limiter.on_sent(now)
        limiter.on_response(NO_HEADERS, now)
        count, now = count + 1, max(now, limiter.ready_at())
    return count


def test_after_a_storm_the_rate_doubles_each_second_up_to_the_old_rate() -> None:
    limiter = responding(60.0)
    probe_at = refuse(limiter, 0.0, 20.0)
    counts = [allowed(limiter, probe_at + second, probe_at + second + 1) for second in range(10)]
    assert counts[:6] == pytest.approx([3, 6, 12, 23, 45, 53], abs=2)
    assert all(52 <= count <= 61 for count in counts[6:])


@pytest.mark.parametrize("storms", [1, 2, 10])
@pytest.mark.parametrize("seconds_between", [2, 5, 8])
def test_storms_do_not_change_the_rate_that_is_returned_to(storms: int, seconds_between: int) -> None:
    limiter, now = responding(60.0), 0.0
    for _ in range(storms):
        probe_at = refuse(limiter, now, now + 20)
        now = probe_at + seconds_between
        allowed(limiter, probe_at, now)
    probe_at = refuse(limiter, now, now + 20)
    allowed(limiter, probe_at, probe_at + 10)
    assert allowed(limiter, probe_at + 10, probe_at + 15) >= 0.9 * 5 * 60


@pytest.mark.parametrize("period", [2, 3, 10])
def test_a_storm_of_scattered_429s_is_recovered_from_in_30_s(period: int) -> None:
    """One request in two, three or ten is refused, whatever the rate, for 20 s."""
    limiter, now, count, failed_at = responding(60.0), 0.0, 0, 0.0
    while now < 20:
        limiter.on_sent(now)
        count += 1
        if count % period:
            limiter.on_response(NO_HEADERS, now)
        else:
            limiter.on_rate_limited(1.0, now, sent_at=now)
            failed_at = now
        now = max(now, limiter.ready_at())
    allowed(limiter, now, failed_at + 25)
    assert allowed(limiter, failed_at + 25, failed_at + 30) >= 0.85 * 5 * 60


def test_a_storm_before_the_first_response_leaves_no_limit() -> None:
    limiter = AdaptiveRateLimiter()
    probe_at = refuse(limiter, 0.0, 60.0)
    allowed(limiter, probe_at, probe_at + 10)
    limiter.on_sent(probe_at + 11)
    assert limiter.ready_at() <= probe_at + 11


def test_one_429_takes_half_of_the_rate_at_most() -> None:
    limiter = responding(60.0)
    limiter.on_rate_limited(None, 0.0, sent_at=0.0)
    for now in (2.0, 5.0):
        limiter.on_sent(now)
        limiter.on_response(NO_HEADERS, now + 0.1)
        limiter.on_rate_limited(None, now + 0.2, sent_at=now + 0.15)
    limiter.on_sent(10.0)
    limiter.on_response(NO_HEADERS, 10.1)
    assert allowed(limiter, 11.0, 12.0) == pytest.approx(60 * 0.87 / 4, abs=2)


@pytest.mark.parametrize("reset", ["1m1s", "6m0s", "24h", "999999h", "9" * 400 + "h", "1e300"])
@pytest.mark.parametrize("remaining", ["0", "1"])
def test_a_rate_limit_header_delays_for_a_minute_at_most(remaining: str, reset: str) -> None:
    limiter = AdaptiveRateLimiter()
    headers = {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset}
    limiter.on_response(headers, 100.0)
    limiter.on_sent(100.0)
    assert 100 < limiter.ready_at() <= 160
    limiter.on_sent(160.0)
    assert limiter.ready_at() == 160


def test_a_budget_that_is_always_used_up_is_believed_once() -> None:
    limiter = AdaptiveRateLimiter()
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"}
    limiter.on_response(used_up, 100.0)
    limiter.on_response(used_up, 101.0)
    assert limiter.ready_at() == 161.0
    for now in (161.5, 162.0, 400.0):
        limiter.on_sent(now)
        limiter.on_response(used_up, now)
        assert limiter.ready_at() <= now
    limiter.on_response({**used_up, "x-ratelimit-remaining-requests": "1"}, 401.0)
    limiter.on_response(used_up, 402.0)
    assert limiter.ready_at() == 462.0


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        *itertools.product(["many", "", "nan", "1", "0"], ["soon", "", "0s", "-5", "nan"]),
        *itertools.product(["many", "", "nan", "-1", "-1e999"], ["30s", "1m0s"]),
    ],
)
def test_invalid_rate_limit_headers_are_ignored(remaining: str, reset: str) -> None:
    limiter = AdaptiveRateLimiter()
    limiter.on_response(
        {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset}, 100.0
    )
    limiter.on_sent(100.0)
    assert limiter.ready_at() <= 100.0


@pytest.mark.parametrize(("failures", "is_outage"), [(1, False), (2, False), (3, True), (4, True)])
def test_three_consecutive_failures_are_an_outage(failures: int, is_outage: bool) -> None:
    limiter = AdaptiveRateLimiter()
    fail(limiter, failures)
    assert limiter.is_probing == is_outage
    assert (limiter.ready_at() > 0) == is_outage
    assert (limiter.max_concurrency(0.0, now=100.0) == 1) == is_outage


def test_an_outage_is_probed_at_growing_intervals() -> None:
    limiter, now = AdaptiveRateLimiter(), 0.0
    fail(limiter, 3)
    gaps = []
    for _ in range(10):
        gaps.append(limiter.ready_at() - now)
        sent_at = limiter.ready_at()
        limiter.on_sent(sent_at)
        now = sent_at + 0.5
        limiter.on_error(None, now, sent_at)
    assert gaps == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]


def test_failures_of_concurrent_requests_do_not_prolong_an_outage() -> None:
    limiter = AdaptiveRateLimiter()
    fail(limiter, 64)
    assert limiter.ready_at() == 1.0


def test_an_outage_ends_with_the_first_success() -> None:
    limiter = AdaptiveRateLimiter()
    fail(limiter, 3)
    for probe in range(1, 6):
        limiter.on_error(None, probe * 40.0, sent_at=probe * 40.0 - 1)
    assert limiter.ready_at() == 230.0
    limiter.on_response(NO_HEADERS, 201.0)
    assert not limiter.is_probing
    assert limiter.ready_at() < 202.0
    assert limiter.max_concurrency(202.0, now=202.0) > 1


def test_a_429_in_an_outage_is_a_failed_probe() -> None:
    limiter = AdaptiveRateLimiter()
    fail(limiter, 3)
    limiter.on_rate_limited(0.0, 2.0, sent_at=1.5)
    assert limiter.is_probing
    assert limiter.ready_at() == 4.0


def test_failures_between_responses_are_not_an_outage() -> None:
    limiter = AdaptiveRateLimiter()
    for second in range(100):
        fail(limiter, 2, now=float(second))
        limiter.on_response(NO_HEADERS, second + 0.5)
        assert not limiter.is_probing
        assert limiter.ready_at() <= second


def test_late_polls_raise_the_concurrency_up_to_64() -> None:
    limiter = AdaptiveRateLimiter()
    assert limiter.max_concurrency(0.0, now=0.0) == 12
    limits = [limiter.max_concurrency(now - 1.0, now) for now in map(float, range(1, 100))]
    assert limits[:4] == [14, 16, 18, 20]
    assert max(limits) == 64
    limits = [limiter.max_concurrency(now, now) for now in map(float, range(100, 200))]
    assert limits[:3] == [62, 60, 58]
    assert min(limits) == 12


def test_lateness_after_an_idle_time_counts_for_one_second() -> None:
    limiter = AdaptiveRateLimiter()
    limiter.max_concurrency(0.0, now=0.0)
    assert limiter.max_concurrency(0.0, now=1000.0) == 14
