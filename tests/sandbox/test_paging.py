from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.paging import Cursor, page

orders = st.sampled_from(["asc", "desc"])


def items(count: int) -> list[dict[str, Any]]:
    return [{"id": f"step_{number}"} for number in range(count)]


def in_order(count: int, order: str) -> list[str]:
    ids = [item["id"] for item in items(count)]
    return ids if order == "asc" else ids[::-1]


@given(count=st.integers(0, 130), limit=st.integers(1, 100), order=orders)
def test_paging_with_after_returns_every_item_once_in_order(count: int, limit: int, order: str) -> None:
    read: list[str] = []
    after: str | None = None
    while True:
        got = page(items(count), Cursor(limit=limit, order=order, after=after), kind="run step")
        read += [item["id"] for item in got["data"]]
        assert len(got["data"]) <= limit
        if not got["has_more"]:
            break
        after = got["last_id"]
    assert read == in_order(count, order)


@given(count=st.integers(1, 130), limit=st.integers(1, 100), order=orders)
def test_paging_with_before_returns_the_same_items_backwards(count: int, limit: int, order: str) -> None:
    whole = in_order(count, order)
    read = whole[-1:]
    has_more = True
    while has_more:
        got = page(items(count), Cursor(limit=limit, order=order, before=read[0]), kind="run step")
        read = [item["id"] for item in got["data"]] + read
        has_more = got["has_more"]
    assert read == whole


@given(data=st.data(), count=st.integers(2, 60), limit=st.integers(1, 100), order=orders)
def test_after_and_before_return_the_items_between(
    data: st.DataObject, count: int, limit: int, order: str
) -> None:
    whole = in_order(count, order)
    first, last = sorted(data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True)))
    cursor = Cursor(limit=limit, order=order, after=whole[first], before=whole[last])
    got = page(items(count), cursor, kind="run step")
    between = whole[first + 1 : last]
    assert [item["id"] for item in got["data"]] == between[:limit]
    assert got["has_more"] == (len(between) > limit)


def test_a_page_has_the_ids_of_its_first_and_last_item() -> None:
    got = page(items(3), Cursor(limit=2), kind="run step")
    assert got == {
        "object": "list",
        "data": [{"id": "step_2"}, {"id": "step_1"}],
        "first_id": "step_2",
        "last_id": "step_1",
        "has_more": True,
    }


def test_an_empty_page_has_no_first_id_and_no_last_id() -> None:
    got = page([], Cursor(), kind="run step")
    assert (got["data"], got["first_id"], got["last_id"], got["has_more"]) == ([], None, None, False)


def test_an_unknown_cursor_returns_404() -> None:
    with pytest.raises(APIError, match="No run step found with id 'step_x'") as caught:
        page(items(3), Cursor(after="step_x"), kind="run step")
    assert caught.value.status == 404


def test_a_page_has_the_20_newest_items_by_default() -> None:
    assert Cursor.of({}) == Cursor(limit=20, order="desc", after=None, before=None)


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ({"limit": "0"}, "limit", "integer_below_minimum_value"),
        ({"limit": "101"}, "limit", "integer_above_maximum_value"),
        ({"limit": "many"}, "limit", "invalid_type"),
        ({"order": "up"}, "order", "invalid_value"),
    ],
)
def test_an_invalid_page_parameter_returns_400_with_its_name(
    query: dict[str, str], param: str, code: str
) -> None:
    with pytest.raises(APIError) as caught:
        Cursor.of(query)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
