"""Which requests a fault befalls, and the rate limit, without a server."""

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


def befallen(faults: Faults, *questions: IncomingRequest) -> list[bool]:
    return [bool(faults.effects_for(question)) for question in questions]


def test_a_fault_befalls_everything_until_it_is_cleared() -> None:
    faults = Faults()
    fault = faults.add("server_error")
    assert befallen(faults, RUN, STEPS, CREATE) == [True, True, True]
    assert fault.hits == 3
    faults.clear()
    assert befallen(faults, RUN, STEPS, CREATE) == [False, False, False]


def test_a_fault_can_be_meant_for_some_requests() -> None:
    faults = Faults()
    faults.add("server_error", method="get", path="/steps")
    assert befallen(faults, RUN, STEPS, CREATE) == [False, True, False]


def test_a_fault_can_be_spent() -> None:
    faults = Faults()
    faults.add("server_error", times=2)
    assert befallen(faults, *[RUN] * 4) == [True, True, False, False]


@given(
    every=st.integers(1, 7),
    skip=st.integers(0, 7),
    times=st.none() | st.integers(0, 5),
    asked=st.integers(0, 40),
)
def test_a_fault_befalls_every_nth_request_after_those_it_lets_go(
    every: int, skip: int, times: int | None, asked: int
) -> None:
    faults = Faults()
    faults.add("server_error", every=every, skip=skip, times=times)
    hit = [number for number, hit in enumerate(befallen(faults, *[RUN] * asked), start=1) if hit]
    turns = list(range(skip + every, asked + 1, every))
    assert hit == (turns if times is None else turns[:times])


def test_not_found_at_first_counts_for_each_path() -> None:
    faults = Faults()
    faults.add("not_found_at_first", path="/runs", times=1)
    assert befallen(faults, CREATE, RUN, STEPS, RUN, STEPS) == [False, True, True, False, False]


def test_one_fault_can_be_cleared_by_its_number() -> None:
    faults = Faults()
    first, second = faults.add("cut"), faults.add("empty")
    faults.clear(first.id)
    assert [fault.id for fault in faults.active()] == [second.id]
    assert second.describe()["kind"] == "empty"


def test_several_faults_befall_one_request_together() -> None:
    faults = Faults()
    faults.add("slow", seconds=0)
    faults.add("poll_after", milliseconds=5)
    assert len(faults.effects_for(RUN)) == 2


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        ("nope", {}, "there is no fault 'nope'; there are bad_gateway"),
        ("cut", {"depth": 3}, "the fault 'cut' does not take that"),
        ("rate_limited", {"form": "weeks"}, "seconds, date or ms"),
        ("cut", {"every": 0}, "1 or more"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_reason(
    kind: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Faults().add(kind, **options)


def test_every_fault_can_be_asked_for_without_options() -> None:
    for kind in FAULTS - {"headers"}:
        Faults().add(kind)
    assert set(EFFECTS) < FAULTS


def test_the_rate_limit_lets_so_many_through_in_a_second() -> None:
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


def test_the_rate_limit_says_when_to_come_again() -> None:
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
