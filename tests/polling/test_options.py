from __future__ import annotations

import math
from typing import Any, cast

import pytest

from airflow_provider_openai_run.polling.options import PollOptions

START = 1_795_000_000.0
OUT_OF_RANGE: dict[str, list[Any]] = {
    "on_requires_action": ["Wait", "", None, True, []],
    "max_consecutive_failures": [0, -1, 1.0, True, "3", None],
    "deadline": [math.nan, "2026-11-22", True],
    "poll_interval": [0, -1, math.nan, math.inf, True, "5", None],
    "max_poll_interval": [0, 1, math.nan, math.inf, True, "5"],
    "started_at": [math.nan, math.inf, None, "2026-11-22", True],
}


@pytest.mark.parametrize(
    ("name", "bad"), [(name, bad) for name, held in OUT_OF_RANGE.items() for bad in held]
)
def test_a_wait_option_out_of_its_range_is_refused_by_name(name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=name):
        PollOptions(**cast("dict[str, Any]", {"started_at": START, name: bad}))


def test_a_wait_may_be_without_a_deadline_or_with_one_that_has_passed() -> None:
    assert PollOptions(started_at=START).deadline is None
    assert PollOptions(started_at=START, deadline=START - 1).deadline == START - 1


def test_a_fixed_interval_is_the_same_shortest_and_longest() -> None:
    options = PollOptions(started_at=START, poll_interval=7, max_poll_interval=7)
    assert (options.poll_interval, options.max_poll_interval) == (7, 7)
