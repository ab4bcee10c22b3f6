from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, cast

import pytest

from airflow_provider_openai_run.polling.options import (
    PollOptions,
    RequiresActionPolicy,
    check_unowned_policy,
    to_seconds,
)

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
    ("name", "bad"), [(name, bad) for name, values in OUT_OF_RANGE.items() for bad in values]
)
def test_an_option_out_of_its_range_is_refused_by_name(name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=name):
        PollOptions(**cast("dict[str, Any]", {"started_at": START, name: bad}))


def test_a_deadline_may_be_missing_or_in_the_past() -> None:
    assert PollOptions(started_at=START).deadline is None
    assert PollOptions(started_at=START, deadline=START - 1).deadline == START - 1


def test_equal_intervals_make_a_fixed_interval() -> None:
    options = PollOptions(started_at=START, poll_interval=7, max_poll_interval=7)
    assert (options.poll_interval, options.max_poll_interval) == (7, 7)


def test_intervals_may_be_timedeltas() -> None:
    intervals: Any = {"poll_interval": timedelta(seconds=7), "max_poll_interval": timedelta(minutes=1)}
    options = PollOptions(started_at=START, **intervals)
    assert (options.poll_interval, options.max_poll_interval) == (7.0, 60.0)


@pytest.mark.parametrize(("value", "seconds"), [(None, None), (90, 90.0), (timedelta(minutes=1.5), 90.0)])
def test_a_duration_is_seconds_or_a_timedelta(value: Any, seconds: float | None) -> None:
    assert to_seconds("timeout", value) == seconds


@pytest.mark.parametrize("bad", [0, -1, timedelta(0), math.nan, math.inf, True, "5"])
def test_a_duration_that_is_not_positive_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be more than 0 seconds"):
        to_seconds("timeout", bad)


def test_only_operators_that_create_runs_answer_required_actions() -> None:
    with pytest.raises(ValueError, match="OpenAISubmitToolOutputsOperator"):
        check_unowned_policy("answer")
    policies: tuple[RequiresActionPolicy, ...] = ("wait", "fail", "return")
    for policy in policies:
        check_unowned_policy(policy)
