from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.types import status as room
from airflow_provider_openai_run.types.status import (
    STATUSES,
    TERMINAL_STATUSES,
    RunState,
    check_accepted_statuses,
    classify_status,
)
from tests.json_strategies import quick

PACKAGE = Path(room.__file__).parent
ROOMS_THAT_ASK_THE_TABLE = sorted(
    path for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("apis/*.py")) if path.name != "status.py"
)


@pytest.mark.parametrize(
    ("status", "state", "has_ended"),
    [
        ("queued", RunState.ACTIVE, False),
        ("in_progress", RunState.ACTIVE, False),
        ("cancelling", RunState.ACTIVE, False),
        ("requires_action", RunState.NEEDS_ACTION, False),
        ("completed", RunState.SUCCEEDED, True),
        ("failed", RunState.FAILED, True),
        ("cancelled", RunState.CANCELLED, True),
        ("expired", RunState.EXPIRED, True),
        ("incomplete", RunState.INCOMPLETE, True),
    ],
)
def test_each_documented_status_has_its_meaning(status: str, state: RunState, has_ended: bool) -> None:
    assert classify_status(status) is state
    assert state.is_terminal is has_ended
    assert (status in TERMINAL_STATUSES) is has_ended


def test_the_table_holds_the_nine_statuses_and_no_more() -> None:
    assert len(STATUSES) == 9
    assert len(TERMINAL_STATUSES) == 5


@quick
@given(st.none() | st.text().filter(lambda word: word not in STATUSES))
def test_a_status_nobody_knows_is_neither_success_nor_an_end(status: str | None) -> None:
    assert classify_status(status) is RunState.UNKNOWN
    assert not classify_status(status).is_terminal


@pytest.mark.parametrize(
    "almost", ["Completed", "COMPLETED", " completed", "complete", "succeeded", "canceled", ""]
)
def test_a_word_that_only_looks_like_a_status_is_unknown(almost: str) -> None:
    assert classify_status(almost) is RunState.UNKNOWN


def test_only_one_status_is_success() -> None:
    assert [word for word, state in STATUSES.items() if state is RunState.SUCCEEDED] == ["completed"]


def test_nobody_can_change_the_table() -> None:
    with pytest.raises(TypeError):
        cast("dict[str, RunState]", STATUSES)["done"] = RunState.SUCCEEDED


@pytest.mark.parametrize("path", ROOMS_THAT_ASK_THE_TABLE, ids=lambda path: path.name)
def test_no_other_module_compares_a_status_by_its_word(path: Path) -> None:
    compared = [
        constant.value
        for comparison in ast.walk(ast.parse(path.read_text()))
        if isinstance(comparison, ast.Compare | ast.MatchValue)
        for constant in ast.walk(comparison)
        if isinstance(constant, ast.Constant)
        and isinstance(constant.value, str)
        and constant.value in STATUSES
    ]
    assert compared == []


@pytest.mark.parametrize(
    "statuses", [["completed"], ("completed", "incomplete"), {"failed"}, TERMINAL_STATUSES]
)
def test_terminal_statuses_are_accepted_in_any_collection(statuses: Any) -> None:
    checked = check_accepted_statuses(statuses)
    assert isinstance(checked, tuple)
    assert set(checked) == set(statuses)


@pytest.mark.parametrize(
    ("statuses", "named"),
    [
        ("completed", "'completed'"),
        ((), "()|\\[\\]"),
        (["queued"], "queued"),
        (["completed", "requires_action"], "requires_action"),
        (["done"], "done"),
        (["Completed"], "Completed"),
        ([None], "None"),
        ([5], "5"),
    ],
)
def test_what_no_run_ends_as_is_refused_by_name(statuses: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"accepted_statuses.*({named})"):
        check_accepted_statuses(statuses)
