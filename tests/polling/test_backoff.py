from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.polling.backoff import (
    DEFAULT_MAX_POLL_INTERVAL,
    DEFAULT_POLL_INTERVAL,
    PollBackoff,
)
from tests.json_strategies import quick

times_waited = st.floats(-1e3, 1e9)
fractions = st.floats(0, 1, exclude_max=True)
intervals = st.floats(0.01, 1e4)
backoffs = st.builds(
    lambda shortest, more, growth: PollBackoff(shortest, shortest + more, growth),
    intervals,
    intervals,
    intervals,
)


@quick
@given(backoffs, times_waited, fractions, st.integers(1, 10**6))
def test_intervals_stay_within_the_bounds_less_the_jitter(
    backoff: PollBackoff, waited: float, fraction: float, failures: int
) -> None:
    least = 0.9 * backoff.poll_interval * (1 - 1e-9)
    assert least <= backoff.interval(waited, fraction) <= backoff.max_poll_interval
    assert least <= backoff.backoff(failures, fraction) <= backoff.max_poll_interval


@quick
@given(backoffs, times_waited, times_waited, fractions, st.integers(1, 10**6))
def test_intervals_never_shrink_with_time_or_failures(
    backoff: PollBackoff, waited: float, later: float, fraction: float, failures: int
) -> None:
    assert backoff.interval(min(waited, later), fraction) <= backoff.interval(max(waited, later), fraction)
    assert backoff.backoff(failures, fraction) <= backoff.backoff(failures + 1, fraction)


@quick
@given(intervals, times_waited)
def test_equal_bounds_make_a_fixed_interval(interval: float, waited: float) -> None:
    assert PollBackoff(interval, interval).interval(waited, 0.0) == interval


def test_the_interval_is_growth_times_the_root_of_the_time_waited() -> None:
    backoff = PollBackoff(5, 60, growth=2)
    assert [backoff.interval(waited, 0.0) for waited in (-10, 0, 4, 100, 400, 10_000)] == [
        5,
        5,
        5,
        20,
        40,
        60,
    ]


def test_jitter_shortens_an_interval_by_up_to_a_tenth() -> None:
    assert [PollBackoff(10, 10).interval(0, fraction) for fraction in (0.0, 0.5)] == [10, 9.5]
    assert [PollBackoff(10, 10).backoff(1, fraction) for fraction in (0.0, 0.5)] == [10, 9.5]


def test_each_failure_doubles_the_interval_up_to_the_longest() -> None:
    assert [PollBackoff(2, 15).backoff(failures, 0.0) for failures in (1, 2, 3, 4, 5, 10**6)] == [
        2,
        4,
        8,
        15,
        15,
        15,
    ]


@pytest.mark.parametrize("name", ["poll_interval", "max_poll_interval", "growth"])
@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan, True, None, "5"])
def test_a_value_that_is_not_a_positive_number_is_refused_by_name(name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=name):
        PollBackoff(**{name: bad})


def test_a_longest_interval_below_the_shortest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_poll_interval.*2 .*poll_interval.*5"):
        PollBackoff(5, 2)


@pytest.mark.parametrize(
    ("shortest", "longest", "expected"),
    [
        (DEFAULT_POLL_INTERVAL, None, DEFAULT_MAX_POLL_INTERVAL),
        (2 * DEFAULT_MAX_POLL_INTERVAL, None, 2 * DEFAULT_MAX_POLL_INTERVAL),
        (5, 5, 5),
        (5, 7, 7),
    ],
)
def test_the_longest_interval_has_a_default(shortest: float, longest: float | None, expected: float) -> None:
    backoff = PollBackoff.between(shortest, longest)
    assert (backoff.poll_interval, backoff.max_poll_interval) == (shortest, expected)


@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan, True, None, "5"])
def test_between_refuses_a_bad_shortest_interval_by_name(bad: Any) -> None:
    with pytest.raises(ValueError, match="poll_interval must"):
        PollBackoff.between(bad, None)
