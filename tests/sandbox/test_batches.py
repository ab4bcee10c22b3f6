"""Batches, through the real SDK."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types import Batch

from airflow_provider_openai_run.sandbox import Sandbox, batch_input
from airflow_provider_openai_run.sandbox.batch_scripts import BATCH_SCRIPTS, BatchScript
from tests.sandbox.conftest import Http


def line(custom_id: Any = "a", **changes: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "input": "What is the answer?"}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body, **changes}


def upload(client: openai.OpenAI, *lines: Any) -> str:
    content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    return client.files.create(file=("requests.jsonl", content.encode()), purpose="batch").id


def create(client: openai.OpenAI, *lines: Any, script: Any = None, **params: Any) -> Batch:
    metadata = {} if script is None else {"sandbox_script": json.dumps(script)}
    return client.batches.create(
        input_file_id=upload(client, *(lines or (line("a"), line("b")))),
        endpoint="/v1/responses",
        completion_window="24h",
        metadata=metadata,
        **params,
    )


def results(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    lines = [json.loads(each) for each in client.files.content(file_id).text.splitlines()]
    return {each["custom_id"]: each for each in lines}


def after(client: openai.OpenAI, sandbox: Sandbox, batch: Batch, seconds: float) -> Batch:
    sandbox.clock.advance(seconds)
    return client.batches.retrieve(batch.id)


def test_a_batch_runs_from_validating_to_completed(client: openai.OpenAI, sandbox: Sandbox) -> None:
    batch = create(client)
    start = batch.created_at
    assert (batch.status, batch.endpoint, batch.completion_window) == ("validating", "/v1/responses", "24h")
    assert (batch.in_progress_at, batch.output_file_id, batch.errors) == (None, None, None)
    assert batch.expires_at == start + 24 * 3600
    batch = after(client, sandbox, batch, 1)
    assert (batch.status, batch.in_progress_at, batch.model) == ("in_progress", start + 1, "gpt-4o-mini")
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed) == (2, 0)
    batch = after(client, sandbox, batch, 5)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed, batch.output_file_id) == ("in_progress", 1, None)
    batch = after(client, sandbox, batch, 5)
    assert (batch.status, batch.finalizing_at, batch.output_file_id) == ("finalizing", start + 11, None)
    batch = after(client, sandbox, batch, 1)
    assert (batch.status, batch.completed_at) == ("completed", start + 12)
    assert (batch.failed_at, batch.expired_at, batch.cancelled_at) == (None, None, None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 2, "completed": 2, "failed": 0}
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (480, 120, 600)
    assert batch.error_file_id is None


def test_the_output_file_has_the_answer_to_each_request(client: openai.OpenAI, sandbox: Sandbox) -> None:
    odd = line("b", body={"model": "gpt-4o-mini", "input": "Hi", "metadata": {"sandbox_script": "failed"}})
    batch = after(client, sandbox, create(client, line("a"), odd), 12)
    answers = results(client, batch.output_file_id)
    assert list(answers) == ["a", "b"]
    first = answers["a"]
    assert first.keys() == {"id", "custom_id", "response", "error"}
    assert (first["id"].startswith("batch_req_"), first["error"]) == (True, None)
    assert first["response"].keys() == {"status_code", "request_id", "body"}
    response = openai.types.responses.Response.construct(**first["response"]["body"])
    assert (response.status, response.output_text) == ("completed", "The answer is 42.")
    # The request itself was successful.
    assert answers["b"]["response"]["status_code"] == 200
    assert answers["b"]["response"]["body"]["status"] == "failed"


def test_requests_that_fail_are_in_the_error_file(client: openai.OpenAI, sandbox: Sandbox) -> None:
    lines = [line(f"request-{number}") for number in range(1, 7)]
    lines[0]["body"] = {"input": "no model"}
    batch = after(client, sandbox, create(client, *lines, script={"fail_every": 3}), 12)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 6, "completed": 3, "failed": 3}
    assert list(results(client, batch.output_file_id)) == ["request-2", "request-4", "request-5"]
    errors = results(client, batch.error_file_id)
    assert {name: error["response"]["status_code"] for name, error in errors.items()} == {
        "request-1": 400,
        "request-3": 500,
        "request-6": 500,
    }
    assert errors["request-1"]["response"]["body"]["error"]["param"] == "model"
    assert all(error["error"] is None for error in errors.values())


def test_a_batch_without_a_successful_request_has_no_output_file(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    batch = after(client, sandbox, create(client, script={"fail_every": 1}), 12)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(results(client, batch.error_file_id)) == 2


def test_an_expired_batch_has_the_results_that_it_got(client: openai.OpenAI, sandbox: Sandbox) -> None:
    lines = [line(f"request-{number}") for number in range(10)]
    batch = create(client, *lines, script={"ending": "expired", "done": 3})
    batch = after(client, sandbox, batch, 11)
    assert (batch.status, batch.expired_at, batch.completed_at) == ("expired", batch.created_at + 11, None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 10, "completed": 3, "failed": 7}
    assert len(results(client, batch.output_file_id)) == 3
    errors = results(client, batch.error_file_id)
    assert {(each["error"]["code"], each["response"]) for each in errors.values()} == {
        ("batch_expired", None)
    }
    assert len(errors) == 7


def test_a_batch_expires_after_a_day(client: openai.OpenAI, sandbox: Sandbox) -> None:
    batch = create(client, script={"in_progress": 48 * 3600})
    assert after(client, sandbox, batch, 24 * 3600 - 1).status == "in_progress"
    batch = after(client, sandbox, batch, 1)
    assert (batch.status, batch.expired_at) == ("expired", batch.expires_at)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 2)


def test_a_cancelled_batch_has_the_results_that_it_got(client: openai.OpenAI, sandbox: Sandbox) -> None:
    lines = [line(f"request-{number}") for number in range(10)]
    batch = after(client, sandbox, create(client, *lines), 5)
    batch = client.batches.cancel(batch.id)
    assert (batch.status, batch.cancelling_at, batch.output_file_id) == (
        "cancelling",
        batch.created_at + 5,
        None,
    )
    assert client.batches.cancel(batch.id) == batch
    batch = after(client, sandbox, batch, 1)
    assert (batch.status, batch.cancelled_at) == ("cancelled", batch.created_at + 6)
    assert len(results(client, batch.output_file_id)) == 4
    assert {each["error"]["code"] for each in results(client, batch.error_file_id).values()} == {
        "batch_cancelled"
    }
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'cancelled'"):
        client.batches.cancel(batch.id)


def test_a_batch_cancelled_before_it_has_begun_has_no_results(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    batch = create(client)
    client.batches.cancel(batch.id)
    batch = after(client, sandbox, batch, 5)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        ([line("a"), "{", line("b")], [(2, "invalid_json_line", None)]),
        ([line("a"), "[1]"], [(2, "invalid_json_line", None)]),
        ([line("a"), line("b"), line("a")], [(3, "duplicate_custom_id", "custom_id")]),
        ([line("")], [(1, "missing_required_parameter", "custom_id")]),
        ([line(5)], [(1, "invalid_custom_id", "custom_id")]),
        ([line("a", method="GET")], [(1, "invalid_method", "method")]),
        ([line("a", url="/v1/embeddings")], [(1, "url_mismatch", "url")]),
        ([line("a", body="text")], [(1, "invalid_body", "body")]),
        ([line("a"), line("b", body={"model": "gpt-5.2"})], [(2, "model_mismatch", "body.model")]),
        (
            [line("a", method=None), "", "{", line("a")],
            [(1, "missing_required_parameter", "method"), (3, "invalid_json_line", None)],
        ),
        (["\n\n"], [(None, "empty_file", None)]),
    ],
)
def test_an_invalid_input_file_fails_the_batch(
    client: openai.OpenAI, sandbox: Sandbox, lines: list[Any], errors: list[Any]
) -> None:
    batch = create(client, *lines)
    assert (batch.status, batch.errors) == ("validating", None)
    batch = after(client, sandbox, batch, 1)
    assert (batch.status, batch.failed_at) == ("failed", batch.created_at + 1)
    assert batch.errors is not None
    assert [(each.line, each.code, each.param) for each in batch.errors.data or ()] == errors
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.output_file_id, batch.error_file_id) == (0, None, None)
    assert sandbox.created_responses == []


def test_a_batch_of_more_than_50000_requests_fails(
    client: openai.OpenAI, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert batch_input.MAX_REQUESTS == 50_000
    monkeypatch.setattr(batch_input, "MAX_REQUESTS", 2)
    batch = after(client, sandbox, create(client, line("a"), line("b"), line("c")), 1)
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data or ()] == ["too_many_tasks"]


def test_a_script_fails_the_validation_of_a_valid_file(client: openai.OpenAI, sandbox: Sandbox) -> None:
    batch = after(client, sandbox, create(client, script={"ending": "failed"}), 1)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data or ()] == ["token_limit_exceeded"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint '/v1/responses' only"),
        ({"completion_window": "1h"}, "Supported values are: '24h'"),
        ({"input_file_id": "file-unknown"}, "No such File object: file-unknown"),
        ({"metadata": {"sandbox_script": "slow"}}, "no script 'slow' of batches"),
        ({"metadata": {"sandbox_script": '{"speed": 3}'}}, "a batch's script has no speed"),
        ({"metadata": {"sandbox_script": '{"validating": -1}'}}, "0 or more"),
    ],
)
def test_an_invalid_batch_is_refused(client: openai.OpenAI, params: dict[str, Any], message: str) -> None:
    valid = {"input_file_id": upload(client, line()), "endpoint": "/v1/responses", "completion_window": "24h"}
    with pytest.raises(openai.BadRequestError, match=message):
        client.batches.create(**{**valid, **params})


def test_a_file_with_another_purpose_is_refused(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", b"{}"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="has the purpose 'user_data', not 'batch'"):
        client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")


def test_batches_are_listed_newest_first_page_by_page(client: openai.OpenAI, sandbox: Sandbox) -> None:
    file_id = sandbox.upload_batch_file([{}])["id"]
    created = [sandbox.create_batch(file_id, metadata={"n": str(n)})["id"] for n in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == created[::-1]
    page = client.batches.list(limit=2)
    assert ([batch.metadata for batch in page.data], page.has_more) == ([{"n": "4"}, {"n": "3"}], True)


def test_an_unknown_batch_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_unknown'"):
        client.batches.retrieve("batch_unknown")


@pytest.mark.parametrize("name", BATCH_SCRIPTS)
def test_every_script_ends_as_it_says(client: openai.OpenAI, sandbox: Sandbox, name: str) -> None:
    batch = sandbox.create_batch(script=name)
    sandbox.clock.advance(25 * 3600)
    ended = client.batches.retrieve(batch["id"])
    expected = {"failed": "failed", "expired": "expired", "in_progress": "expired"}.get(name, "completed")
    assert ended.status == expected


def test_the_default_script_of_batches_can_be_set(sandbox: Sandbox, http: Http) -> None:
    sandbox.set_default_batch_script(BatchScript(validating=0, in_progress=0, finalizing=0))
    assert sandbox.create_batch()["status"] == "completed"
    assert http("POST", "/_sandbox/default_batch_script", json={"script": "expired"}).status_code == 200
    assert sandbox.create_batch()["status"] == "validating"
    refused = http("POST", "/_sandbox/default_batch_script", json={"script": "slow"})
    assert (refused.status_code, "no script 'slow'" in refused.text) == (400, True)
    assert http("GET", "/_sandbox/batch_scripts").json().keys() == BATCH_SCRIPTS.keys()


def test_the_state_names_the_statuses_of_batches(sandbox: Sandbox) -> None:
    batch = sandbox.create_batch()
    assert sandbox.state()["batches"] == {batch["id"]: "validating"}


def test_a_response_created_by_a_batch_is_listed_with_its_custom_id(
    client: openai.OpenAI, sandbox: Sandbox
) -> None:
    batch = create(client)
    after(client, sandbox, batch, 12)
    created = [(each["batch_id"], each["custom_id"]) for each in sandbox.created_responses]
    assert created == [(batch.id, "a"), (batch.id, "b")]
