"""From a DAG author's words to a run of one API, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.api.registry import (
    APIS,
    api_of,
    author_ids,
    get_api,
    ref_from_json,
    ref_of,
    run_ref,
)
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import quick
from tests.run_strategies import refs

THREAD_RUN = RunRef("assistants", "run_1", "thread_1")
RESPONSE = RunRef("responses", "run_1")


@pytest.mark.parametrize(
    ("words", "ref"),
    [
        ({}, RESPONSE),
        ({"thread_id": None}, RESPONSE),
        ({"thread_id": "thread_1"}, THREAD_RUN),
        ({"api": "responses"}, RESPONSE),
        ({"api": "assistants", "thread_id": "thread_1"}, THREAD_RUN),
        ({"api": "assistants", "parent_id": "thread_1"}, THREAD_RUN),
    ],
)
def test_the_parent_or_the_name_decides_the_api(words: Any, ref: RunRef) -> None:
    assert run_ref("run_1", **words) == ref


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"api": "videos"}, r"^api must be one of 'responses', 'assistants', 'batches', not 'videos'"),
        ({"api": ["responses"]}, r"^api must be one of .*, not \['responses'\]"),
        ({"api": "assistants"}, r"^thread_id is missing"),
        ({"api": "responses", "thread_id": "thread_1"}, r"^thread_id is set, .* omit it"),
        ({"api": "responses", "parent_id": "thread_1"}, r"^parent_id is set, .* omit it"),
        ({"thread_id": "a/b"}, r"^thread_id contains '/'"),
        ({"job_id": "job_1"}, r"^job_id belongs to no API"),
    ],
)
def test_arguments_that_fit_no_api_are_refused_by_name(words: Any, message: str) -> None:
    with pytest.raises(InvalidRunReferenceError, match=message):
        run_ref("run_1", **words)


@quick
@given(refs)
def test_a_reference_survives_json(ref: RunRef) -> None:
    assert ref_from_json(json.loads(json.dumps(ref.ids))) == ref


def test_a_reference_of_version_0_1_0_still_loads() -> None:
    assert ref_from_json({"run_id": "run_1", "thread_id": "thread_1", "status": "queued"}) == THREAD_RUN
    assert ref_from_json({"run_id": "run_1", "thread_id": None}) == RESPONSE
    assert ref_of(Run(id="run_1", thread_id="thread_1")) == THREAD_RUN
    assert ref_of(Run(id="run_1")) == RESPONSE


def test_author_ids_always_name_run_thread_and_api() -> None:
    assert author_ids(THREAD_RUN) == {"run_id": "run_1", "thread_id": "thread_1", "api": "assistants"}
    assert author_ids(RESPONSE) == {"run_id": "run_1", "thread_id": None, "api": "responses"}


@pytest.mark.parametrize("name", APIS)
def test_each_api_is_found_by_its_name(name: str) -> None:
    assert get_api(name).name == name
    assert api_of(RunRef(name, "run_1", "parent_1")) is get_api(name)
