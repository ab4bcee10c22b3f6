from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run import exceptions as room
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunCancelledError,
    RunEndedError,
    RunExpiredError,
    RunFailedError,
    RunIncompleteError,
    RunRequestError,
    error_from_event,
)
from airflow_provider_openai_run.types.outcome import ended_error_for
from tests.json_strategies import json_values, quick

FACTS: dict[str, Any] = {
    "api": "assistants",
    "run_id": "run_1",
    "parent_id": "thread_1",
    "status": "failed",
    "code": "server_error",
    "request_id": "req_1",
    "http_status": 500,
}
ERRORS = sorted(
    (held for held in vars(room).values() if isinstance(held, type) and issubclass(held, OpenAIRunError)),
    key=lambda error: error.__name__,
)


def drawn_tree() -> dict[str, str | None]:
    """The name of each error in the module's drawing, with the one it hangs on."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (room.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            del above[depth:]
            parents[found[2]] = above[-1] if above else None
            above.append(found[2])
    return parents


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    tree = drawn_tree()
    assert sorted(tree) == [error.__name__ for error in ERRORS]
    for error in ERRORS:
        assert (tree[error.__name__] or "Exception") == error.__bases__[0].__name__


@pytest.mark.parametrize("error", ERRORS)
def test_no_error_is_one_of_airflows(error: type[OpenAIRunError]) -> None:
    assert {base.__module__ for base in error.__mro__} <= {room.__name__, "builtins"}


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_keeps_its_facts_and_reads_as_its_message(error: type[OpenAIRunError]) -> None:
    raised = error("What happened.", **FACTS)
    assert {name: getattr(raised, name) for name in FACTS} == FACTS
    assert str(raised) == raised.message == "What happened."


@pytest.mark.parametrize("error", ERRORS)
def test_facts_that_are_not_known_are_none(error: type[OpenAIRunError]) -> None:
    assert all(getattr(error("What happened."), name) is None for name in FACTS)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_crosses_in_an_event(error: type[OpenAIRunError]) -> None:
    event = json.loads(json.dumps(error("What happened.", **FACTS).to_event()))
    came = error_from_event(event)
    assert type(came) is error
    assert came.to_event() == event


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("through", [copy.copy, lambda held: pickle.loads(pickle.dumps(held))])  # noqa: S301
def test_an_error_survives_a_copy_and_another_process(error: type[OpenAIRunError], through: Any) -> None:
    came = through(error("What happened.", **FACTS))
    assert type(came) is error
    assert came.to_event() == error("What happened.", **FACTS).to_event()


def test_a_failed_request_says_whether_and_when_to_ask_again() -> None:
    assert (RunRequestError("x").is_retryable, RunRequestError("x").retry_after) == (False, None)
    error = RunRequestError("x", is_retryable=True, retry_after=2.5, run_id="r")
    assert (error.is_retryable, error.retry_after, error.run_id) == (True, 2.5, "r")


@quick
@given(
    st.fixed_dictionaries(
        {},
        optional={"type": json_values, "message": json_values, "from_the_future": json_values}
        | dict.fromkeys(FACTS, json_values),
    )
)
def test_an_event_of_another_version_becomes_an_error_whatever_it_holds(event: dict[str, Any]) -> None:
    error = error_from_event(event)
    assert isinstance(error, OpenAIRunError)
    assert all(getattr(error, name) == event.get(name) for name in FACTS)


def test_an_error_type_of_a_newer_version_comes_as_the_base_with_all_it_says() -> None:
    error = error_from_event({**FACTS, "type": "RunPausedError", "message": "Paused.", "paused_at": 5})
    assert type(error) is OpenAIRunError
    assert error.message == "Paused."
    assert error.request_id == "req_1"


def test_an_event_cannot_name_a_class_that_is_none_of_ours() -> None:
    assert type(error_from_event({"type": "SystemExit", "message": "x"})) is OpenAIRunError


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("failed", RunFailedError),
        ("cancelled", RunCancelledError),
        ("expired", RunExpiredError),
        ("incomplete", RunIncompleteError),
        ("completed", RunEndedError),
        ("brand_new", RunEndedError),
        (None, RunEndedError),
    ],
)
def test_each_end_has_its_error(status: str | None, error: type[RunEndedError]) -> None:
    assert ended_error_for(status) is error
