"""Requests over the SDK's own client, to the sandbox and to servers that are functions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import openai
import pytest

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.connection.http_client import READ_TIMEOUT, httpx
from airflow_provider_openai_run.connection.transport import asend, send
from airflow_provider_openai_run.exceptions import AssistantsApiEndedError, RunNotFoundError, RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.sandbox_fixtures import KEY, Connect

REF = RunRef("assistants", "run_1", "thread_1")
REQUEST = get_api("assistants").retrieve(REF)

Handler = Callable[[Any], Any]


def client_of(handler: Handler, **options: Any) -> openai.OpenAI:
    """A client whose server is a function."""
    http_client = httpx.Client(transport=httpx.MockTransport(handler))
    return openai.OpenAI(api_key=KEY, max_retries=0, http_client=http_client, **options)


def hook_with(handler: Handler, **options: Any) -> OpenAIRunHook:
    hook = OpenAIRunHook()
    hook.__dict__["conn"] = client_of(handler, **options)
    return hook


def completed(requests: list[Any]) -> Handler:
    """A server that has the run, and keeps the requests."""

    def respond(request: Any) -> Any:
        requests.append(request)
        return httpx.Response(200, json={"id": "run_1", "status": "completed"})

    return respond


def not_found(request: Any) -> Any:
    return httpx.Response(404, json={"error": {"message": "Not found", "code": None}}, request=request)


def test_a_thread_at_openai_raises_that_the_assistants_api_ended() -> None:
    hook = hook_with(not_found)
    for method in (hook.get_run, hook.list_steps, hook.cancel_run, hook.wait_for_run):
        with pytest.raises(AssistantsApiEndedError, match="2026-08-26") as caught:
            method("run_1", thread_id="thread_1")
        assert "Responses API" in str(caught.value)
        assert caught.value.http_status == 404
    for thread in ({"thread_id": "thread_1"}, {}):
        with pytest.raises(AssistantsApiEndedError, match="2026-08-26"):
            hook.create_run(assistant_id="asst_1", **thread)


@pytest.mark.parametrize(
    "call",
    [
        lambda hook: hook.create_response(model="gpt-5.2", input="Hi", conversation="conv_unknown"),
        lambda hook: hook.get_run("resp_1"),
        lambda hook: hook.list_steps("resp_1"),
        lambda hook: hook.cancel_run("resp_1"),
        lambda hook: hook.submit_tool_outputs("resp_1", tool_outputs=[], model="gpt-5.2"),
    ],
)
def test_a_404_about_a_response_at_openai_names_no_ended_api(call: Callable[[OpenAIRunHook], Any]) -> None:
    with pytest.raises(RunNotFoundError) as caught:
        call(hook_with(not_found))
    assert not isinstance(caught.value, AssistantsApiEndedError)
    assert "Assistants" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1/", "https://API.OpenAI.com/v1"])
def test_openai_is_recognized_by_its_host(base_url: str) -> None:
    with pytest.raises(AssistantsApiEndedError):
        hook_with(not_found, base_url=base_url).get_run("run_1", thread_id="thread_1")


@pytest.mark.parametrize(
    "base_url",
    ["https://api.openai.com.example/v1", "https://eastus.services.ai.azure.com/api/projects/p"],
)
def test_a_thread_unknown_to_another_server_is_not_found(base_url: str) -> None:
    with pytest.raises(RunNotFoundError) as caught:
        hook_with(not_found, base_url=base_url).get_run("run_1", thread_id="thread_1")
    assert not isinstance(caught.value, AssistantsApiEndedError)


def test_the_path_is_appended_to_base_url_and_query() -> None:
    requests: list[Any] = []
    hook = hook_with(
        completed(requests),
        base_url="https://eastus.services.ai.azure.com/api/projects/p",
        default_query={"api-version": "2025-05-01"},
    )
    hook.get_run("run_1", thread_id="thread_1", include_steps=False)
    assert str(requests[0].url) == (
        "https://eastus.services.ai.azure.com/api/projects/p/threads/thread_1/runs/run_1?api-version=2025-05-01"
    )


def test_a_get_has_a_timeout_unless_the_connection_sets_one() -> None:
    requests: list[Any] = []
    for options in ({}, {"timeout": 5.0}):
        send(client_of(completed(requests), **options), REQUEST, REF)
    assert [request.extensions["timeout"]["read"] for request in requests] == [READ_TIMEOUT, 5.0]


def test_a_get_has_no_body_and_a_post_has_its_own() -> None:
    requests: list[Any] = []
    client = client_of(completed(requests))
    send(client, REQUEST, REF)
    send(client, Request("POST", "/responses", body={"model": "m"}), None)
    assert requests[0].content == b""
    assert requests[1].content.replace(b" ", b"") == b'{"model":"m"}'
    assert requests[0].headers["openai-beta"] == "assistants=v2"
    assert "openai-beta" not in requests[1].headers


def test_the_response_has_the_bytes_and_headers_as_sent() -> None:
    body = '{"id":"run_1",  "müll": [1.50, null]}'.encode()

    def respond(request: Any) -> Any:
        return httpx.Response(200, content=body, headers={"X-Request-Id": "req_1"}, request=request)

    response = send(client_of(respond), REQUEST, REF)
    assert (response.http_status, response.body, response.request_id) == (200, body, "req_1")


def test_a_request_without_a_response_raises_with_run_and_cause() -> None:
    def fail(request: Any) -> Any:
        raise httpx.ConnectError("Name or service not known", request=request)

    with pytest.raises(
        RunRequestError, match=r"run run_1 on thread_1 got .* from api.openai.com: .*Name or"
    ) as caught:
        send(client_of(fail), REQUEST, REF)
    assert caught.value.is_retryable
    assert caught.value.http_status is None


def test_an_invalid_host_name_raises_our_error(connect: Connect) -> None:
    host = f"{'a' * 70}.example"
    connect(host=f"http://{host}")
    hook = OpenAIRunHook()
    with pytest.raises(RunRequestError, match=f"got no response from {host}: .*label") as caught:
        hook.get_run("resp_1")
    hook.conn.close()
    assert not caught.value.is_retryable


def test_an_invalid_port_of_a_proxy_raises_our_error(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host="http://runs.example")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:99999")
    with pytest.raises(RunRequestError, match=r"got no response from runs\.example: .*0-65535"):
        asyncio.run(OpenAIRunHook().aget_run("resp_1"))


def test_the_repr_of_a_response_does_not_hold_the_key() -> None:
    response = send(client_of(not_found), REQUEST, REF)
    assert KEY not in repr(response)
    assert response.sent is not None
    assert KEY in response.sent.headers["authorization"]
    assert KEY not in repr(response.sent)


@pytest.mark.parametrize(("retry", "count"), [(True, 3), (False, 1)])
@pytest.mark.parametrize("is_async", [False, True])
def test_the_sdk_retries_unless_it_may_not(
    sandbox: Sandbox, connect: Connect, retry: bool, count: int, is_async: bool
) -> None:
    connect(max_retries=2)
    sandbox.faults.add("rate_limited", retry_after=0.001, form="ms")
    response = request_run(sandbox, is_async, retry=retry)
    assert response.http_status == 429
    assert sandbox.count() == count


@pytest.mark.parametrize("is_async", [False, True])
def test_a_quiet_request_leaves_no_line_in_the_log(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    with caplog.at_level(logging.INFO, httpx.__name__):
        request_run(sandbox, is_async, quiet=True)
        assert "HTTP Request" not in caplog.text
        request_run(sandbox, is_async)
        assert "HTTP Request" in caplog.text


def test_sync_and_async_requests_and_responses_are_alike(sandbox: Sandbox) -> None:
    responses = [request_run(sandbox, is_async) for is_async in (False, True)]
    assert len({(response.http_status, response.body, response.sent.url) for response in responses}) == 1
    assert responses[0].sent.url == f"{sandbox.base_url}/responses/resp_1"


def request_run(sandbox: Sandbox, is_async: bool, **options: Any) -> Any:
    """Retrieve a response of the sandbox with ``send`` or ``asend``."""
    sandbox.seed_response({"id": "resp_1", "status": "completed", "output": []})
    ref = RunRef("responses", "resp_1")
    request = get_api("responses").retrieve(ref)
    hook = OpenAIRunHook()

    async def request_with_async_client() -> Any:
        async with await hook.aget_conn() as client:
            return await asend(client, request, ref, **options)

    if is_async:
        return asyncio.run(request_with_async_client())
    try:
        return send(hook.conn, request, ref, **options)
    finally:
        hook.conn.close()
