"""Whatever a server sends can be encoded, stored in PostgreSQL and carried by the triggerer's messages."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.types.storable import (
    MAX_DEPTH,
    bounded_text,
    storable,
    storable_text,
    unstorable_paths,
)
from tests.json_strategies import quick

anything = st.characters(categories=None) | st.sampled_from(["\x00", "\ud83d", "\udc00"])
texts = st.text(anything, max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    return 1 + depth_of(value[0]) if isinstance(value, list) else 0


@quick
@given(values)
def test_every_value_can_be_encoded_and_stored(value: Any) -> None:
    stored = storable(value)
    text = json.dumps(stored, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text.replace("\\\\", "")
    assert json.loads(text) == stored
    # What carries events and XComs between Airflow's processes.
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stored)) == stored


@quick
@given(values)
def test_a_storable_value_is_returned_as_the_same_object(value: Any) -> None:
    stored = storable(value)
    assert storable(stored) is stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("boom \ud83d", "boom \ufffd"),
        ("a\x00b", "a\ufffdb"),
        ("\N{PILE OF POO} é", "\N{PILE OF POO} é"),
        ({"k\ud800": ["\x00"]}, {"k\ufffd": ["\ufffd"]}),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        ([1, True, None, 0.5], [1, True, None, 0.5]),
    ],
)
def test_each_kind_of_value_has_its_replacement(value: Any, stored: Any) -> None:
    assert storable(value) == stored


def test_an_integer_of_any_length_is_kept_as_text() -> None:
    assert int(str(storable(10**3000))) == 10**3000
    assert int(str(storable(10**20_000)), 16) == 10**20_000


def test_a_value_nested_too_deeply_becomes_json_text() -> None:
    stored = storable(nested(MAX_DEPTH + 30))
    assert depth_of(stored) == MAX_DEPTH
    innermost = stored
    while isinstance(innermost, list):
        innermost = innermost[0]
    assert json.loads(str(innermost)) == nested(30)


def test_text_that_can_be_stored_is_returned_unchanged() -> None:
    text = "plain"
    assert storable_text(text) is text


@quick
@given(values)
def test_paths_name_exactly_the_values_that_are_replaced(value: Any) -> None:
    assert bool(unstorable_paths(value)) == (storable(value) is not value)


def test_a_path_is_written_like_code() -> None:
    value: Any = {"metadata": {"note": "\x00"}, "output": [{"id": 2**70}, {"id": "\ud83d"}], "k\x00": 1}
    assert unstorable_paths(value) == ["metadata.note", "output[0].id", "output[1].id", "k\ufffd"]
    assert len(unstorable_paths(["\x00"] * 1_000)) == 20


def test_a_bounded_text_is_never_longer_than_its_limit() -> None:
    assert bounded_text("x" * 200) == "x" * 200
    assert bounded_text("\x00" + "x" * 40_000) == "\ufffd" + "x" * 198 + "…"
    text = "short"
    assert bounded_text(text) is text
