from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_provider_openai_run
from airflow_provider_openai_run.types.status import (
    STATUSES,
    TERMINAL_STATUSES,
    RunState,
    check_accepted_statuses,
    classify_status,
)
from tests.json_strategies import quick

PACKAGE = Path(airflow_provider_openai_run.__path__[0])
#: The sandbox has statuses of its own to play. The page compares states of Airflow's tasks, and a run that is
#: being cancelled has no state of its own.
READERS_OF_THE_TABLE = {
    path.relative_to(PACKAGE).as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "status.py" and path.relative_to(PACKAGE).parts[0] != "sandbox"
}
ALLOWED = {"api/calls.py": {"cancelling"}, "run_page/notices.py": {"failed", "queued"}}


@pytest.mark.parametrize(
    ("status", "state", "has_ended"),
    [
        ("queued", RunState.ACTIVE, False),
        ("validating", RunState.ACTIVE, False),
        ("in_progress", RunState.ACTIVE, False),
        ("finalizing", RunState.ACTIVE, False),
        ("cancelling", RunState.ACTIVE, False),
        ("requires_action", RunState.NEEDS_ACTION, False),
        ("completed", RunState.SUCCEEDED, True),
        ("failed", RunState.FAILED, True),
        ("cancelled", RunState.CANCELLED, True),
        ("expired", RunState.EXPIRED, True),
        ("incomplete", RunState.INCOMPLETE, True),
    ],
)
def test_each_documented_status_has_its_state(status: str, state: RunState, has_ended: bool) -> None:
    assert classify_status(status) is state
    assert state.is_terminal is has_ended
    assert (status in TERMINAL_STATUSES) is has_ended


def test_the_table_has_exactly_eleven_statuses() -> None:
    assert len(STATUSES) == 11
    assert len(TERMINAL_STATUSES) == 5


@quick
@given(st.none() | st.text().filter(lambda word: word not in STATUSES))
def test_an_unknown_status_is_neither_successful_nor_terminal(status: str | None) -> None:
    assert classify_status(status) is RunState.UNKNOWN
    assert not classify_status(status).is_terminal


@pytest.mark.parametrize(
    "almost", ["Completed", "COMPLETED", " completed", "complete", "succeeded", "canceled", ""]
)
def test_a_word_similar_to_a_status_is_unknown(almost: str) -> None:
    assert classify_status(almost) is RunState.UNKNOWN


def test_only_one_status_is_success() -> None:
    assert [word for word, state in STATUSES.items() if state is RunState.SUCCEEDED] == ["completed"]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        cast("dict[str, RunState]", STATUSES)["done"] = RunState.SUCCEEDED


@pytest.mark.parametrize("name", READERS_OF_THE_TABLE)
def test_no_other_module_compares_statuses_by_name(name: str) -> None:
    compared = {
        constant.value
        for comparison in ast.walk(ast.parse(READERS_OF_THE_TABLE[name].read_text(encoding="utf-8")))
        if isinstance(comparison, ast.Compare | ast.MatchValue)
        for constant in ast.walk(comparison)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    assert compared & STATUSES.keys() == ALLOWED.get(name, set())


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
def test_a_status_that_is_not_terminal_is_refused_by_name(statuses: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"accepted_statuses.*({named})"):
        check_accepted_statuses(statuses)
