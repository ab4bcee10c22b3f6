"""Headers, keys, errors and logging, which are the same for all paths."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.sandbox.conftest import Http


@pytest.mark.parametrize("path", ["/v1/models", "/v1/responses/resp_x", "/v1/nowhere", "/_sandbox/state"])
def test_every_response_has_its_own_request_id(http: Http, path: str) -> None:
    responses = [http("GET", path) for _ in range(2)]
    ids = {response.headers["x-request-id"] for response in responses}
    assert len(ids) == 2
    assert all(request_id.startswith("req_") for request_id in ids)
    assert all(response.headers["openai-processing-ms"].isdigit() for response in responses)
    assert all(response.headers["openai-version"] == "2020-10-01" for response in responses)


@pytest.mark.parametrize("path", ["/v1/models", "/_sandbox/state"])
def test_a_wrong_key_returns_401_without_repeating_the_key(http: Http, path: str) -> None:
    response = http("GET", path, key="sk-very-secret-key")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="OpenAI API"'
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "invalid_api_key",
    )
    assert "secret" not in error["message"]
    assert "sk-v****ey" in error["message"]


def test_a_request_without_a_key_returns_401(http: Http) -> None:
    response = http("GET", "/v1/models", key="")
    assert response.status_code == 401
    assert "didn't provide an API key" in response.json()["error"]["message"]


def test_an_unknown_path_returns_404_in_the_format_of_the_api(http: Http) -> None:
    response = http("GET", "/v1/chat/completions")
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "Invalid URL (GET /v1/chat/completions)"
    assert http("PUT", "/v1/models").status_code == 405


@pytest.mark.parametrize("body", ["{", "[]", '"text"'])
def test_a_body_that_is_not_an_object_returns_400(http: Http, body: str) -> None:
    response = http("POST", "/v1/threads", data=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


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
    response = http("POST", "/v1/threads", json={"metadata": metadata})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/threads/thread_1/runs", {"assistant_id": "asst_1", "stream": True}),
        ("/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}),
    ],
)
def test_streaming_returns_400(http: Http, sandbox: Sandbox, path: str, body: object) -> None:
    sandbox.create_thread("thread_1")
    response = http("POST", path, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize(
    ("path", "lacking"),
    [
        ("/v1/assistants", "model"),
        ("/v1/threads/runs", "assistant_id"),
        ("/v1/threads/thread_1/runs", "assistant_id"),
        ("/v1/threads/thread_1/messages", "role"),
    ],
)
def test_a_missing_parameter_is_named_in_the_error(
    http: Http, sandbox: Sandbox, path: str, lacking: str
) -> None:
    sandbox.create_thread("thread_1")
    error = http("POST", path, json={}).json()["error"]
    assert (error["param"], error["code"]) == (lacking, "missing_required_parameter")


def test_requests_are_logged_without_their_key(http: Http, sandbox: Sandbox) -> None:
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
