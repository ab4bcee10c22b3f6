from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.run_page.formatting import (
    format_count,
    format_duration,
    format_json,
    format_size,
    format_value,
    read_count,
    read_time,
    shorten,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.44, "0.4 s"),
        (3, "3 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7_800, "2 h 10 min"),
        (400_000, "4 d 15 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("value", "at"), [(1, 1.0), ("1970-01-01T00:00:02Z", 2.0), (0, None), (-5, None)])
def test_times_are_read_from_numbers_and_iso_strings(value: Any, at: float | None) -> None:
    assert read_time(value) == at


@pytest.mark.parametrize("value", [None, True, "soon", 10**400, 1e300, float("nan"), [], {}])
def test_a_value_that_is_not_a_time_is_read_as_none(value: Any) -> None:
    assert read_time(value) is None


@pytest.mark.parametrize("value", [None, True, "7", -1, 10**20, float("inf")])
def test_a_value_that_is_not_a_count_is_read_as_none(value: Any) -> None:
    assert read_count(value) is None


def test_counts_and_sizes_are_formatted() -> None:
    assert format_count(1234567) == "1,234,567"
    assert format_size(999) == "999 characters"
    assert format_size(12_345) == "12 kB"
    assert format_size(5_000_000) == "5.0 MB"


def test_json_in_a_string_is_indented_and_other_text_is_unchanged() -> None:
    assert format_value('{"a": [1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert format_value("{no json") == "{no json"


def test_a_lone_surrogate_is_escaped_in_json() -> None:
    assert format_json({"a": "\ud800"}) == '{\n  "a": "\\ud800"\n}'


def test_shortened_text_is_one_line_of_limited_length() -> None:
    assert shorten("a\n b\tc") == "a b c"
    assert shorten("x" * 200, 10) == "x" * 9 + "…"
