"""What every answer has, whatever the address."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.sandbox.conftest import Http


@pytest.mark.parametrize("path", ["/v1/models", "/v1/responses/resp_x", "/v1/nowhere", "/_sandbox/state"])
def test_every_answer_names_its_request(http: Http, path: str) -> None:
    answers = [http("GET", path) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(request_id.startswith("req_") for request_id in ids)
    assert all(answer.headers["openai-processing-ms"].isdigit() for answer in answers)
    assert all(answer.headers["openai-version"] == "2020-10-01" for answer in answers)


@pytest.mark.parametrize("path", ["/v1/models", "/_sandbox/state"])
def test_a_wrong_key_is_refused_without_being_repeated(http: Http, path: str) -> None:
    answer = http("GET", path, key="sk-very-secret-key")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="OpenAI API"'
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "invalid_api_key",
    )
    assert "secret" not in error["message"]
    assert "sk-v****ey" in error["message"]


def test_no_key_is_refused(http: Http) -> None:
    answer = http("GET", "/v1/models", key="")
    assert answer.status_code == 401
    assert "didn't provide an API key" in answer.json()["error"]["message"]


def test_an_unknown_address_is_not_found_in_the_api_s_own_way(http: Http) -> None:
    answer = http("GET", "/v1/chat/completions")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Invalid URL (GET /v1/chat/completions)"
    assert http("PUT", "/v1/models").status_code == 405


@pytest.mark.parametrize("body", ["{", "[]", '"text"'])
def test_a_body_that_is_no_object_is_refused(http: Http, body: str) -> None:
    answer = http("POST", "/v1/threads", data=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({"a": True}, "metadata.a"),
        ({"a": "x" * 513}, "metadata.a"),
        ({"k" * 65: ""}, f"metadata.{'k' * 65}"),
        ({str(number): "" for number in range(17)}, "metadata"),
        (["a"], "metadata"),
    ],
)
def test_metadata_have_limits(http: Http, metadata: object, param: str) -> None:
    answer = http("POST", "/v1/threads", json={"metadata": metadata})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/threads/thread_1/runs", {"assistant_id": "asst_1", "stream": True}),
        ("/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}),
    ],
)
def test_streaming_is_not_played(http: Http, sandbox: Sandbox, path: str, body: object) -> None:
    sandbox.create_thread("thread_1")
    answer = http("POST", path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize(
    ("path", "lacking"),
    [
        ("/v1/assistants", "model"),
        ("/v1/threads/runs", "assistant_id"),
        ("/v1/threads/thread_1/runs", "assistant_id"),
        ("/v1/threads/thread_1/messages", "role"),
    ],
)
def test_what_a_request_lacks_is_named(http: Http, sandbox: Sandbox, path: str, lacking: str) -> None:
    sandbox.create_thread("thread_1")
    error = http("POST", path, json={}).json()["error"]
    assert (error["param"], error["code"]) == (lacking, "missing_required_parameter")


def test_requests_are_kept_without_their_key(http: Http, sandbox: Sandbox) -> None:
    http("POST", "/v1/threads?api-version=v1", json={"metadata": {"a": "b"}})
    http("POST", "/v1/threads", data=b"\xff")
    first, second = sandbox.requests
    assert (first.number, first.method, first.path, first.query) == (
        1,
        "POST",
        "/v1/threads",
        "api-version=v1",
    )
    assert (first.body, first.status) == ({"metadata": {"a": "b"}}, 200)
    assert (second.body, second.status) == ("\xff", 400)
    assert sandbox.api_key not in str(sandbox.requests)
    assert (sandbox.count(), sandbox.count("POST"), sandbox.count("GET"), sandbox.count(path="/x")) == (
        2,
        2,
        0,
        0,
    )


def test_models_are_listed(http: Http) -> None:
    models = http("GET", "/v1/models").json()
    assert models["object"] == "list"
    assert http("GET", f"/v1/models/{models['data'][0]['id']}").json() == models["data"][0]
