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

waits = st.floats(-1e3, 1e9)
draws = st.floats(0, 1, exclude_max=True)
intervals = st.floats(0.01, 1e4)
paces = st.builds(
    lambda shortest, more, growth: PollBackoff(shortest, shortest + more, growth),
    intervals,
    intervals,
    intervals,
)


@quick
@given(paces, waits, draws, st.integers(1, 10**6))
def test_every_interval_is_between_nine_tenths_of_the_shortest_and_the_longest(
    pace: PollBackoff, waited: float, fraction: float, failures: int
) -> None:
    least = 0.9 * pace.poll_interval * (1 - 1e-9)
    assert least <= pace.interval(waited, fraction) <= pace.max_poll_interval
    assert least <= pace.backoff(failures, fraction) <= pace.max_poll_interval


@quick
@given(paces, waits, waits, draws, st.integers(1, 10**6))
def test_no_interval_shrinks_with_the_time_waited_or_the_failures(
    pace: PollBackoff, waited: float, later: float, fraction: float, failures: int
) -> None:
    assert pace.interval(min(waited, later), fraction) <= pace.interval(max(waited, later), fraction)
    assert pace.backoff(failures, fraction) <= pace.backoff(failures + 1, fraction)


@quick
@given(intervals, waits)
def test_the_same_shortest_and_longest_make_a_fixed_interval(interval: float, waited: float) -> None:
    assert PollBackoff(interval, interval).interval(waited, 0.0) == interval


def test_the_interval_is_the_growth_times_the_root_of_the_time_waited() -> None:
    pace = PollBackoff(5, 60, growth=2)
    assert [pace.interval(waited, 0.0) for waited in (-10, 0, 4, 100, 400, 10_000)] == [5, 5, 5, 20, 40, 60]


def test_a_draw_takes_up_to_a_tenth_off() -> None:
    assert [PollBackoff(10, 10).interval(0, fraction) for fraction in (0.0, 0.5)] == [10, 9.5]
    assert [PollBackoff(10, 10).backoff(1, fraction) for fraction in (0.0, 0.5)] == [10, 9.5]


def test_each_failure_in_a_row_doubles_the_wait_up_to_the_longest_interval() -> None:
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
def test_what_is_no_positive_number_is_refused_by_name(name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=name):
        PollBackoff(**{name: bad})


def test_a_longest_interval_below_the_shortest_is_refused_with_both() -> None:
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
def test_the_longest_interval_is_the_default_unless_one_is_given_or_the_shortest_is_more(
    shortest: float, longest: float | None, expected: float
) -> None:
    pace = PollBackoff.between(shortest, longest)
    assert (pace.poll_interval, pace.max_poll_interval) == (shortest, expected)


@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan, True, None, "5"])
def test_between_refuses_a_bad_shortest_interval_by_name(bad: Any) -> None:
    with pytest.raises(ValueError, match="poll_interval must"):
        PollBackoff.between(bad, None)
