"""The Batch API: its requests, and what its batch objects say."""

from __future__ import annotations

import json
import posixpath
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.api.batches import BatchesApi
from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.api.responses import ResponsesApi
from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.types.run import BATCH_ATTRIBUTES, Run, RunError, Usage
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import json_objects, json_values, objects_with, quick
from tests.run_strategies import good_ids

API = BatchesApi()

#: The example of OpenAI's reference, https://platform.openai.com/docs/api-reference/batch/object.
COMPLETED: dict[str, Any] = {
    "id": "batch_abc123",
    "object": "batch",
    "endpoint": "/v1/completions",
    "model": "gpt-5-2025-08-07",
    "errors": None,
    "input_file_id": "file-abc123",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-cvaTdG",
    "error_file_id": "file-HOWS94",
    "created_at": 1711471533,
    "in_progress_at": 1711471538,
    "expires_at": 1711557933,
    "finalizing_at": 1711493133,
    "completed_at": 1711493163,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 100, "completed": 95, "failed": 5},
    "usage": {
        "input_tokens": 1500,
        "input_tokens_details": {"cached_tokens": 1024},
        "output_tokens": 500,
        "output_tokens_details": {"reasoning_tokens": 300},
        "total_tokens": 2000,
    },
    "metadata": {"customer_id": "user_123456789", "batch_description": "Nightly eval job"},
}


def read(**fields: Any) -> Run:
    return API.read_run({**COMPLETED, **fields})


@quick
@given(good_ids)
def test_a_path_has_exactly_the_expected_segments(run_id: str) -> None:
    ref = RunRef("batches", run_id)
    for request, rest in ((API.retrieve(ref), []), (API.cancel(ref), ["cancel"])):
        assert request.path.split("/") == ["", "batches", run_id, *rest]
        assert urlsplit(f"https://host/v1{request.path}").path == f"/v1{request.path}"
        assert posixpath.normpath(request.path) == request.path


def test_a_batch_of_responses_within_a_day_is_the_default() -> None:
    request = API.create(None, {"input_file_id": "file-1"})
    assert (request.method, request.path) == ("POST", "/batches")
    assert request.body == {
        "input_file_id": "file-1",
        "endpoint": "/v1/responses",
        "completion_window": "24h",
    }
    assert API.create(None, {"endpoint": "/v1/embeddings"}).body == {
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
    }


def test_the_list_is_read_by_pages_of_100() -> None:
    assert API.list_all(None).query == {"limit": "100"}
    assert API.list_all("batch_1").query == {"limit": "100", "after": "batch_1"}


def test_a_batch_stands_alone() -> None:
    assert run_ref("batch_1", api="batches") == RunRef("batches", "batch_1")
    with pytest.raises(InvalidRunReferenceError, match="runs of the Batch API"):
        run_ref("batch_1", api="batches", thread_id="thread_1")


def test_the_documented_batch_is_read_as_a_run() -> None:
    assert read() == Run(
        id="batch_abc123",
        api="batches",
        model="gpt-5-2025-08-07",
        file_ids=["file-abc123"],
        metadata=COMPLETED["metadata"],
        status="completed",
        created_at=1711471533,
        started_at=1711471538,
        completed_at=1711493163,
        object="batch",
        usage=Usage(
            prompt_tokens=1500,
            completion_tokens=500,
            total_tokens=2000,
            details={
                "prompt_tokens_details": {"cached_tokens": 1024},
                "completion_tokens_details": {"reasoning_tokens": 300},
            },
        ),
        steps=(),
        expires_at=1711557933,
        endpoint="/v1/completions",
        completion_window="24h",
        request_counts={"total": 100, "completed": 95, "failed": 5},
        input_file_id="file-abc123",
        output_file_id="file-cvaTdG",
        error_file_id="file-HOWS94",
        finalizing_at=1711493133,
    )


@pytest.mark.parametrize(
    ("status", "is_terminal", "is_successful"),
    [
        ("validating", False, False),
        ("failed", True, False),
        ("in_progress", False, False),
        ("finalizing", False, False),
        ("completed", True, True),
        ("expired", True, False),
        ("cancelling", False, False),
        ("cancelled", True, False),
    ],
)
def test_each_documented_status_has_its_meaning(status: str, is_terminal: bool, is_successful: bool) -> None:
    run = read(status=status)
    assert (run.is_terminal, run.is_successful) == (is_terminal, is_successful)


def test_the_first_error_names_its_line_and_how_many_more_there_are() -> None:
    data: list[Any] = [
        {"code": "invalid_json_line", "message": "Not valid JSON.", "line": 1234, "param": None},
        {"code": "duplicate_custom_id", "message": "Used before.", "line": 1300, "param": "custom_id"},
    ]
    error = read(status="failed", errors={"object": "list", "data": data}).last_error
    assert error == RunError(
        code="invalid_json_line",
        message="line 1,234: Not valid JSON. (1 more)",
        details={"data": data},
    )
    assert str(error) == "invalid_json_line: line 1,234: Not valid JSON. (1 more)"


def test_of_fifty_thousand_errors_twenty_and_their_number_are_kept() -> None:
    data = [{"code": "x", "message": "Bad line.", "line": line} for line in range(1, 50_001)]
    error = read(errors={"data": data}).last_error
    assert error is not None
    assert error.message == "line 1: Bad line. (49,999 more)"
    assert error.details == {"data": data[:20]}


@pytest.mark.parametrize("errors", [None, {}, {"data": []}, {"data": None}, [], 5])
def test_a_batch_without_errors_has_no_last_error(errors: Any) -> None:
    assert read(errors=errors).last_error is None


def test_an_error_that_names_no_line_is_read_too() -> None:
    error = read(errors={"data": [{"code": "empty_file", "message": "The file is empty.", "line": None}]})
    assert str(error.last_error) == "empty_file: The file is empty."


@quick
@given(
    objects_with(*(name for name in COMPLETED if name not in ("id", "errors"))),
    json_values | st.builds(lambda data: {"data": data}, st.lists(json_values | json_objects, max_size=3)),
)
def test_a_batch_of_any_shape_is_read_and_survives_xcom(body: Any, errors: Any) -> None:
    run = API.read_run({"id": "batch_1", **body, "errors": errors})
    assert Run.from_xcom(json.loads(json.dumps(run.to_xcom()))) == run


def test_only_the_xcom_of_a_batch_has_the_attributes_of_batches() -> None:
    batch = API.read_run({"id": "batch_1", "input_file_id": "file-1", "status": "validating"}).to_xcom()
    response = ResponsesApi().read_run({"id": "resp_1", "status": "completed"}).to_xcom()
    run = AssistantsApi().read_run({"id": "run_1", "status": "completed"}).to_xcom()
    assert batch.keys() >= set(BATCH_ATTRIBUTES)
    assert not response.keys() & set(BATCH_ATTRIBUTES)
    assert not run.keys() & set(BATCH_ATTRIBUTES)


@pytest.mark.parametrize(("api", "longest"), [("responses", 120), ("batches", 300)])
def test_a_batch_is_polled_less_often_after_hours(api: str, longest: float) -> None:
    poller = RunPoller(RunRef(api, "run_1"), PollOptions(started_at=0.0), lambda: 0.0)
    assert poller.poll_interval(20 * 3600) == longest
    assert poller.poll_interval(1) == 5


def test_the_longest_interval_that_an_author_sets_holds_for_a_batch_too() -> None:
    options = PollOptions(started_at=0.0, max_poll_interval=60)
    assert RunPoller(RunRef("batches", "batch_1"), options, lambda: 0.0).poll_interval(20 * 3600) == 60
