from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.parsing import (
    dict_or_none,
    dump_json,
    list_or_none,
    parse_error,
    parse_usage,
    text_or_none,
    unix_seconds,
)
from airflow_provider_openai_run.types.run import RunError, Usage
from airflow_provider_openai_run.types.storable import storable
from tests.json_strategies import exactly, json_objects, json_values, quick

NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "in_details",
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1763805600, 1763805600),
        (0, 0),
        (-1, -1),
        (1763805600.987, 1763805600),
        ("1763805600", 1763805600),
        (" 1763805600.5 ", 1763805600),
        ("2025-11-22T10:00:00Z", 1763805600),
        ("2025-11-22T10:00:00", 1763805600),
        ("2025-11-22T11:00:00+01:00", 1763805600),
        ("2025-11-22T10:00:00.987654+00:00", 1763805600),
        ("2025-11-22 10:00:00", 1763805600),
        ("2025-11-22T10:00:00.1234567Z", 1763805600),
        (None, None),
        (True, None),
        (False, None),
        ("", None),
        (" ", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-Infinity", None),
        ("2025-13-45", None),
        (math.nan, None),
        (math.inf, None),
        ([1763805600], None),
        ({"seconds": 1763805600}, None),
    ],
)
def test_a_time_is_parsed_in_every_format(value: Any, expected: int | None) -> None:
    assert unix_seconds(value) == expected


@quick
@given(json_values | st.text())
def test_any_value_becomes_whole_seconds_or_none(value: Any) -> None:
    expected = unix_seconds(value)
    assert type(expected) in (int, type(None))


@quick
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds are naive
def test_a_time_is_the_same_as_number_and_as_text(time: datetime) -> None:
    whole = time.replace(microsecond=0)
    assert unix_seconds(time.isoformat()) == unix_seconds(time.isoformat().replace("+00:00", "Z"))
    assert unix_seconds(whole.isoformat()) == unix_seconds(int(whole.timestamp())) == int(whole.timestamp())


@quick
@given(json_values)
def test_a_json_string_parses_back_to_the_same_value(value: Any) -> None:
    text = dump_json(value)
    assert exactly(json.loads(text)) == exactly(value)
    text.encode()


def test_a_json_string_leaves_text_readable() -> None:
    assert dump_json({"city": "Zürich 雨"}) == '{"city": "Zürich 雨"}'


@quick
@given(json_values)
def test_text_and_null_are_unchanged_and_all_else_is_json(value: Any) -> None:
    expected = text_or_none(value)
    if isinstance(value, str) or value is None:
        assert expected is value
    else:
        assert exactly(json.loads(str(expected))) == exactly(value)


def test_the_empty_string_is_not_null() -> None:
    assert text_or_none("") == ""
    assert parse_error("") == RunError(message="")
    assert parse_error(None) is None


@quick
@given(json_values)
def test_lists_and_objects_are_unchanged_and_all_else_is_none(value: Any) -> None:
    assert list_or_none(value) is (value if isinstance(value, list) else None)
    assert dict_or_none(value) is (value if isinstance(value, dict) else None)


def test_usage_has_the_documented_names_and_all_other_keys() -> None:
    value: dict[str, Any] = {
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "input_tokens_details": {"cached_tokens": 1},
        "x": None,
    }
    assert parse_usage(value, NAMES) == Usage(
        prompt_tokens=3,
        completion_tokens=4,
        total_tokens=7,
        details={"in_details": {"cached_tokens": 1}, "x": None},
    )


@pytest.mark.parametrize("value", [None, [], "", 5, True])
def test_a_value_that_is_not_an_object_is_not_a_usage(value: Any) -> None:
    assert parse_usage(value, NAMES) is None


def test_an_empty_object_is_a_usage() -> None:
    assert parse_usage({}, NAMES) == Usage()


@pytest.mark.parametrize(
    "value",
    [{"input_tokens": 3, "prompt_tokens": None}, {"prompt_tokens": None, "input_tokens": 3}],
)
def test_a_count_is_not_lost_to_a_null_under_its_other_name(value: dict[str, Any]) -> None:
    usage = parse_usage(value, NAMES)
    assert usage is not None
    assert usage.prompt_tokens == 3


@quick
@given(json_objects)
def test_no_key_of_usage_is_lost(value: dict[str, Any]) -> None:
    usage = parse_usage(value, {})
    assert usage is not None
    nulls = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"))
    assert exactly(usage.to_xcom()) == exactly(storable({**nulls, **value}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"code": "c", "message": "m"}, RunError(code="c", message="m")),
        ({"code": None, "message": "m"}, RunError(message="m")),
        ({"message": ""}, RunError(message="")),
        ({"code": 429, "message": ["m"]}, RunError(code="429", message='["m"]')),
        (
            {"code": "c", "message": "m", "param": "p"},
            RunError(code="c", message="m", details={"param": "p"}),
        ),
        ("it broke", RunError(message="it broke")),
        (["it", "broke"], RunError(message='["it", "broke"]')),
    ],
)
def test_an_error_is_parsed_in_every_form(value: Any, expected: RunError) -> None:
    assert parse_error(value) == expected


@quick
@given(json_values)
def test_any_error_can_be_converted_to_text(value: Any) -> None:
    error = parse_error(value)
    assert (error is None) is (value is None)
    assert re.fullmatch(r"(?s).*", str(error))
