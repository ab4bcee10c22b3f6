"""When a bulk task may send the next request."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.bulk.create_pace import CreatePace, estimate_tokens


def send_all(pace: CreatePace, count: int, tokens: int = 0) -> float:
    """Send requests as early as allowed, from 0 s on, and return when the last was sent."""
    now = 0.0
    for _ in range(count):
        now = max(now, pace.ready_at(tokens, now))
        pace.on_sent(tokens, now)
    return now


def test_without_limits_nothing_waits() -> None:
    assert send_all(CreatePace(), 1000) == 0.0


def test_requests_are_spread_over_the_minute() -> None:
    assert send_all(CreatePace(requests_per_minute=60), 61) == pytest.approx(60, abs=0.5)


def test_tokens_are_spread_over_the_minute() -> None:
    pace = CreatePace(requests_per_minute=6000, tokens_per_minute=60_000)
    assert send_all(pace, 61, tokens=1000) == pytest.approx(60, abs=0.5)


def test_no_request_is_sent_before_used_up_requests_are_there_again() -> None:
    pace = CreatePace()
    pace.on_response({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7s"}, 100.0)
    assert pace.ready_at(1, 100.0) == 107.0
    assert pace.ready_at(1, 107.5) <= 107.5


def test_a_request_waits_for_the_tokens_that_it_may_use() -> None:
    pace = CreatePace()
    pace.on_response({"x-ratelimit-remaining-tokens": "500", "x-ratelimit-reset-tokens": "9s"}, 100.0)
    assert pace.ready_at(400, 100.0) <= 100.0
    pace.on_sent(400, 100.0)
    assert pace.ready_at(400, 100.0) == 109.0
    assert pace.ready_at(400, 109.0) <= 109.0


def test_the_estimate_has_the_limit_of_the_output() -> None:
    assert estimate_tokens({"input": "x" * 4000, "max_output_tokens": 500}) == pytest.approx(1500, abs=20)
