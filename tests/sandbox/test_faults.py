"""Which requests a fault affects, and the rate limit, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.sandbox.fault_effects import EFFECTS, IncomingRequest, rate_limited
from airflow_provider_openai_run.sandbox.faults import FAULTS, Faults, RateLimiter

RUN = IncomingRequest(method="GET", path="/v1/threads/thread_1/runs/run_1")
STEPS = IncomingRequest(method="GET", path="/v1/threads/thread_1/runs/run_1/steps")
CREATE = IncomingRequest(method="POST", path="/v1/threads/thread_1/runs")


def affected(faults: Faults, *requests: IncomingRequest) -> list[bool]:
    return [bool(faults.effects_for(request)) for request in requests]


def test_a_fault_affects_all_requests_until_it_is_cleared() -> None:
    faults = Faults()
    fault = faults.add("server_error")
    assert affected(faults, RUN, STEPS, CREATE) == [True, True, True]
    assert fault.hits == 3
    faults.clear()
    assert affected(faults, RUN, STEPS, CREATE) == [False, False, False]


def test_a_fault_can_be_limited_by_method_and_path() -> None:
    faults = Faults()
    faults.add("server_error", method="get", path="/steps")
    assert affected(faults, RUN, STEPS, CREATE) == [False, True, False]


def test_a_fault_ends_after_its_number_of_requests() -> None:
    faults = Faults()
    faults.add("server_error", times=2)
    assert affected(faults, *[RUN] * 4) == [True, True, False, False]


@given(
    every=st.integers(1, 7),
    skip=st.integers(0, 7),
    times=st.none() | st.integers(0, 5),
    count=st.integers(0, 40),
)
def test_a_fault_affects_every_nth_request_after_the_skipped_ones(
    every: int, skip: int, times: int | None, count: int
) -> None:
    faults = Faults()
    faults.add("server_error", every=every, skip=skip, times=times)
    hit = [number for number, hit in enumerate(affected(faults, *[RUN] * count), start=1) if hit]
    expected = list(range(skip + every, count + 1, every))
    assert hit == (expected if times is None else expected[:times])


def test_not_found_at_first_counts_for_each_path() -> None:
    faults = Faults()
    faults.add("not_found_at_first", path="/runs", times=1)
    assert affected(faults, CREATE, RUN, STEPS, RUN, STEPS) == [False, True, True, False, False]


def test_one_fault_can_be_cleared_by_its_number() -> None:
    faults = Faults()
    first, second = faults.add("cut"), faults.add("empty")
    faults.clear(first.id)
    assert [fault.id for fault in faults.active()] == [second.id]
    assert second.describe()["kind"] == "empty"


def test_several_faults_can_affect_one_request() -> None:
    faults = Faults()
    faults.add("slow", seconds=0)
    faults.add("poll_after", milliseconds=5)
    assert len(faults.effects_for(RUN)) == 2


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("nope", {}, "there is no fault 'nope'; there are bad_gateway"),
        ("cut", {"depth": 3}, "invalid options of the fault 'cut'"),
        ("rate_limited", {"form": "weeks"}, "seconds, date or ms"),
        ("cut", {"every": 0}, "1 or more"),
    ],
)
def test_an_invalid_fault_raises_an_error_with_a_reason(
    kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Faults().add(kind, **options)


def test_every_fault_works_without_options() -> None:
    for kind in FAULTS - {"headers"}:
        Faults().add(kind)
    assert set(EFFECTS) < FAULTS


def test_the_rate_limit_accepts_its_number_of_requests_per_second() -> None:
    now = 10.0
    limiter = RateLimiter(lambda: now)
    assert limiter.refusal() is None
    limiter.per_second = 2
    assert [limiter.refusal() is None for _ in range(3)] == [True, True, False]
    now = 10.9
    assert limiter.refusal() is not None
    now = 11.0
    assert limiter.refusal() is None
    assert limiter.refused == 2


def test_the_rate_limit_sends_a_retry_after_header() -> None:
    now = 10.0
    limiter = RateLimiter(lambda: now)
    limiter.per_second = 1
    limiter.refusal()
    now = 10.25
    assert limiter.refusal() == rate_limited(retry_after=0.75, limit=1)


@given(limit=st.integers(0, 5), gaps=st.lists(st.floats(0, 0.6), max_size=60))
def test_the_rate_limit_holds_in_every_second(limit: int, gaps: list[float]) -> None:
    now = 0.0
    limiter = RateLimiter(lambda: now)
    limiter.per_second = limit
    passed: list[float] = []
    for gap in gaps:
        now += gap
        if limiter.refusal() is None:
            passed.append(now)
    assert all(sum(at - 1.0 < other <= at for other in passed) <= limit for at in passed)
