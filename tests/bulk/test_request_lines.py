"""Requests that are refused before the first one is sent, named by their lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_openai_run.bulk.request_lines import BulkRequest, RequestReader, merge
from airflow_provider_openai_run.exceptions import BulkRequestsError
from airflow_provider_openai_run.owned_runs.identity import RunIdentity

IDENTITY = RunIdentity("dag/run/task/-1", 0)
GOOD = {"custom_id": "a", "body": {"model": "m", "input": "Hi"}}


def read(*values: Any, defaults: dict[str, Any] | None = None) -> list[BulkRequest]:
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    reader = RequestReader(defaults or {}, IDENTITY)
    return list(reader.read_file([text + b"\n" for text in texts], "in.jsonl"))


def test_lines_in_the_form_of_the_batch_api_are_read() -> None:
    full = {"custom_id": "b", "method": "POST", "url": "/v1/responses", "body": GOOD["body"]}
    assert [request.custom_id for request in read(GOOD, b"", full)] == ["a", "b"]


def test_a_byte_order_mark_and_windows_line_ends_are_accepted() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r")[0].custom_id == "a"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "line 2 of in.jsonl is not JSON"),
        (b'{"custom_id": "b", "body": {"input": NaN}}', "line 2 of in.jsonl is not JSON: NaN"),
        (b"\xff", "line 2 of in.jsonl is not UTF-8"),
        ([GOOD], "line 2 of in.jsonl is a JSON array"),
        ("text", "line 2 of in.jsonl is a JSON string"),
        ({"body": {"input": "Hi"}}, "line 2 of in.jsonl has no custom_id"),
        ({"custom_id": 7, "body": {}}, "line 2 of in.jsonl has no custom_id"),
        ({"custom_id": "x" * 513, "body": {}}, "custom_id has 513 characters"),
        ({"custom_id": "\ud800", "body": {}}, "cannot be stored"),
        ({"custom_id": "b"}, "line 2 of in.jsonl has no body"),
        ({"custom_id": "b", "body": {}, "model": "m"}, "unknown keys: 'model'"),
        ({"custom_id": "b", "method": "GET", "body": {}}, "method is 'GET'"),
        ({"custom_id": "b", "url": "/v1/embeddings", "body": {}}, "url is '/v1/embeddings'"),
        (GOOD, "line 2 of in.jsonl: custom_id 'a' is that of line 1 of in.jsonl too"),
        ({"custom_id": "b", "body": {"model": "m"}}, "needs an input"),
        ({"custom_id": "b", "body": {"input": "Hi"}}, "needs a model"),
        ({"custom_id": "b", "body": {"model": "m", "input": {}}}, "not a dict"),
        ({"custom_id": "b", "body": {"model": "m", "input": "Hi", "stream": True}}, "stream is true"),
        ({"custom_id": "b", "body": {"model": "m", "input": "Hi", "background": False}}, "background"),
        ({"custom_id": "b", "body": {"model": "m", "input": "Hi", "store": False}}, "store is false"),
        (
            {"custom_id": "b", "body": {"model": "m", "input": "Hi", "metadata": {"airflow_task": "x"}}},
            "metadata must not set",
        ),
    ],
)
def test_a_line_that_cannot_be_sent_is_refused_with_its_number(line: Any, problem: str) -> None:
    with pytest.raises(BulkRequestsError, match=problem):
        read(GOOD, line)


@pytest.mark.parametrize("texts", [(), (b"", b"  ")])
def test_a_file_without_requests_is_refused(texts: tuple[bytes, ...]) -> None:
    with pytest.raises(BulkRequestsError, match=r"in\.jsonl (is empty|has 2 lines, all of them blank)"):
        read(*texts)


def test_what_a_task_wrote_of_a_failed_request_can_be_read_in_again() -> None:
    line = read(GOOD)[0].to_line(error={"code": "server_error"}, response=None)
    assert read(line.strip()) == [BulkRequest("a", {"model": "m", "input": "Hi"})]


def test_bodies_in_a_list_are_named_by_their_position() -> None:
    reader = RequestReader({"model": "m"}, IDENTITY)
    requests = list(reader.read_list([{"input": "Hi"}, {"body": {"input": "Ho"}}, GOOD]))
    assert [request.custom_id for request in requests] == ["request-1", "request-2", "a"]


@pytest.mark.parametrize(
    ("items", "problem"),
    [([], "empty list"), (["Hi"], r"requests\[0\] is a JSON string"), ([{}], r"requests\[0\].*input")],
)
def test_a_wrong_item_of_a_list_is_named_by_its_index(items: list[Any], problem: str) -> None:
    with pytest.raises(BulkRequestsError, match=problem):
        list(RequestReader({"model": "m"}, IDENTITY).read_list(items))


def test_the_parameters_of_a_request_go_before_the_defaults() -> None:
    defaults: dict[str, Any] = {"model": "m", "text": {"format": {"type": "text"}}, "metadata": {"a": "1"}}
    body: dict[str, Any] = {"model": "n", "text": {"verbosity": "low"}, "metadata": {"a": "2", "b": "3"}}
    assert merge(defaults, body) == {
        "model": "n",
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "metadata": {"a": "2", "b": "3"},
    }
