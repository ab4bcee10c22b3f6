from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.types.index_ranges import format_ranges, parse_ranges
from tests.json_strategies import quick

TOTAL = 60


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([0], "0"), ([0, 1], "0-1"), ([0, 1, 2, 5], "0-2,5"), ([3, 5, 6], "3,5-6")],
)
def test_positions_are_written_as_ranges(indexes: list[int], text: str) -> None:
    assert format_ranges(indexes) == text


@quick
@given(st.sets(st.integers(min_value=0, max_value=TOTAL - 1)))
def test_positions_read_back_as_they_were(indexes: set[int]) -> None:
    assert parse_ranges(format_ranges(sorted(indexes)), TOTAL) == sorted(indexes)


@quick
@given(st.text(alphabet="0123456789-, +_²٣", max_size=12))
def test_a_text_is_read_only_if_it_would_be_written_for_the_same_positions(text: str) -> None:
    try:
        indexes = parse_ranges(text, TOTAL)
    except ValueError:
        return
    assert indexes == sorted(set(indexes))
    assert all(0 <= index < TOTAL for index in indexes)


@pytest.mark.parametrize(
    "text",
    ["60", "0-60", "0-99999999999999999999", "2-1", "1,1", "5,3", "1-", "-1", " 1", "+1", "a", "9" * 5000],
)
def test_a_text_of_no_positions_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no positions in a list of 60"):
        parse_ranges(text, TOTAL)


def test_ten_thousand_ended_runs_are_a_short_text() -> None:
    assert format_ranges(index for index in range(10_000) if index != 998) == "0-997,999-9999"
