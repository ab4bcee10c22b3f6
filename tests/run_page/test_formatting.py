from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.run_page.formatting import (
    count,
    duration,
    first_line,
    pretty,
    readable,
    size,
    when,
    whole,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
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
def test_durations_are_short(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("value", "at"), [(1, 1.0), ("1970-01-01T00:00:02Z", 2.0), (0, None), (-5, None)])
def test_times_are_read_in_any_form(value: Any, at: float | None) -> None:
    assert when(value) == at


@pytest.mark.parametrize("value", [None, True, "soon", 10**400, 1e300, float("nan"), [], {}])
def test_what_is_no_time_is_none(value: Any) -> None:
    assert when(value) is None


@pytest.mark.parametrize("value", [None, True, "7", -1, 10**20, float("inf")])
def test_what_is_no_count_is_none(value: Any) -> None:
    assert whole(value) is None


def test_numbers_and_sizes_are_readable() -> None:
    assert (count(1234567), size(999), size(12_345), size(5_000_000)) == (
        "1,234,567",
        "999 characters",
        "12 kB",
        "5.0 MB",
    )


def test_json_in_a_string_is_laid_out_and_other_text_is_left() -> None:
    assert readable('{"a": [1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert readable("{no json") == "{no json"


def test_half_of_a_surrogate_pair_does_not_get_in_the_way() -> None:
    assert pretty({"a": "\ud800"}) == '{\n  "a": "\\ud800"\n}'


def test_a_first_line_is_one_line() -> None:
    assert first_line("a\n b\tc") == "a b c"
    assert first_line("x" * 200, 10) == "x" * 9 + "…"
