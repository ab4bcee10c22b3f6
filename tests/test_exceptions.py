from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run import exceptions
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

FIELDS: dict[str, Any] = {
    "api": "assistants",
    "run_id": "run_1",
    "parent_id": "thread_1",
    "status": "failed",
    "code": "server_error",
    "request_id": "req_1",
    "http_status": 500,
    "run_left_running": False,
}
ERRORS = sorted(
    (
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, OpenAIRunError)
    ),
    key=lambda error: error.__name__,
)


def documented_tree() -> dict[str, str | None]:
    """The name of each error in the module's drawing, with the one it hangs on."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            del above[depth:]
            parents[found[2]] = above[-1] if above else None
            above.append(found[2])
    return parents


def test_the_docstring_draws_the_class_tree() -> None:
    tree = documented_tree()
    assert sorted(tree) == [error.__name__ for error in ERRORS]
    for error in ERRORS:
        assert (tree[error.__name__] or "Exception") == error.__bases__[0].__name__


@pytest.mark.parametrize("error", ERRORS)
def test_no_error_derives_from_one_of_airflow(error: type[OpenAIRunError]) -> None:
    assert {base.__module__ for base in error.__mro__} <= {exceptions.__name__, "builtins"}


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_keeps_its_fields_and_its_message(error: type[OpenAIRunError]) -> None:
    raised = error("What happened.", **FIELDS)
    assert {name: getattr(raised, name) for name in FIELDS} == FIELDS
    assert str(raised) == raised.message == "What happened."


@pytest.mark.parametrize("error", ERRORS)
def test_unknown_fields_are_none(error: type[OpenAIRunError]) -> None:
    assert all(getattr(error("What happened."), name) is None for name in FIELDS)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_survives_an_event(error: type[OpenAIRunError]) -> None:
    event = json.loads(json.dumps(error("What happened.", **FIELDS).to_event()))
    result = error_from_event(event)
    assert type(result) is error
    assert result.to_event() == event


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("through", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_an_error_survives_copy_and_pickle(error: type[OpenAIRunError], through: Any) -> None:
    result = through(error("What happened.", **FIELDS))
    assert type(result) is error
    assert result.to_event() == error("What happened.", **FIELDS).to_event()


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_left_running_is_a_field_and_a_sentence(error: type[OpenAIRunError]) -> None:
    raised = error("Gave up.", run_left_running=True)
    assert raised.summary == "Gave up."
    assert str(raised) == raised.message
    assert re.fullmatch(r"Gave up\. .*left.*\.", raised.message)
    result = error_from_event(json.loads(json.dumps(raised.to_event())))
    assert (result.run_left_running, result.message, result.summary) == (True, raised.message, "Gave up.")
    copied = copy.copy(raised)
    assert (copied.run_left_running, copied.message, copied.summary) == (True, raised.message, "Gave up.")


@pytest.mark.parametrize("value", [False, None])
def test_a_run_not_left_running_needs_no_sentence(value: bool | None) -> None:
    assert OpenAIRunError("Gave up.", run_left_running=value).message == "Gave up."


def test_a_failed_request_says_whether_and_when_to_retry() -> None:
    assert (RunRequestError("x").is_retryable, RunRequestError("x").retry_after) == (False, None)
    error = RunRequestError("x", is_retryable=True, retry_after=2.5, run_id="r")
    assert (error.is_retryable, error.retry_after, error.run_id) == (True, 2.5, "r")


def test_an_event_of_version_0_1_0_names_the_thread() -> None:
    error = error_from_event({"type": "RunFailedError", "message": "x", "thread_id": "thread_1"})
    assert (error.parent_id, error.thread_id) == ("thread_1", "thread_1")


@quick
@given(
    st.fixed_dictionaries(
        {},
        optional={"type": json_values, "message": json_values, "from_the_future": json_values}
        | dict.fromkeys(FIELDS, json_values),
    )
)
def test_an_event_of_any_content_becomes_an_error(event: dict[str, Any]) -> None:
    error = error_from_event(event)
    assert isinstance(error, OpenAIRunError)
    assert all(getattr(error, name) == event.get(name) for name in FIELDS)


def test_an_unknown_error_type_becomes_the_base_error() -> None:
    error = error_from_event({**FIELDS, "type": "RunPausedError", "message": "Paused.", "paused_at": 5})
    assert type(error) is OpenAIRunError
    assert error.message == "Paused."
    assert error.request_id == "req_1"


def test_an_event_cannot_name_a_foreign_class() -> None:
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
def test_each_final_status_has_its_error(status: str | None, error: type[RunEndedError]) -> None:
    assert ended_error_for(status) is error
