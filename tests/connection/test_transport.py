"""Requests over the SDK's own client, and what stands in for a server that cannot be reached from here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

import openai
import pytest

from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.connection.transport import READ_TIMEOUT, asend, send
from airflow_provider_openai_run.exceptions import AssistantsApiEndedError, RunNotFoundError, RunRequestError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.sandboxed import KEY

http: Any = import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")

REF = RunRef("assistants", "run_1", "thread_1")
REQUEST = get_api("assistants").retrieve(REF)

Handler = Callable[[Any], Any]


def played(handler: Handler, **options: Any) -> openai.OpenAI:
    """A client whose server is a function."""
    transport = http.Client(transport=http.MockTransport(handler))
    return openai.OpenAI(api_key=KEY, max_retries=0, http_client=transport, **options)


def found(**seen: Any) -> Handler:
    """A server that knows the run, and keeps what it was asked."""

    def answer(request: Any) -> Any:
        seen["requests"].append(request)
        return http.Response(200, json={"id": "run_1", "status": "completed"})

    return answer


def missing(request: Any) -> Any:
    return http.Response(404, json={"error": {"message": "Not found", "code": None}}, request=request)


def hook_on(client: openai.OpenAI) -> OpenAIRunHook:
    hook = OpenAIRunHook()
    hook.__dict__["conn"] = client
    return hook


def test_a_thread_at_openai_is_told_that_the_assistants_api_has_ended() -> None:
    hook = hook_on(played(missing))
    for ask in (hook.get_run, hook.list_steps, hook.cancel_run):
        with pytest.raises(AssistantsApiEndedError, match="2026-08-26") as caught:
            ask("run_1", thread_id="thread_1")
        assert "Responses API" in str(caught.value)
        assert caught.value.http_status == 404
    with pytest.raises(AssistantsApiEndedError, match="2026-08-26"):
        hook.create_run(thread_id="thread_1", assistant_id="asst_1")
    with pytest.raises(AssistantsApiEndedError, match="2026-08-26"):
        hook.create_run(assistant_id="asst_1")


def test_a_wait_for_a_thread_at_openai_ends_at_the_first_answer() -> None:
    with pytest.raises(AssistantsApiEndedError, match="2026-08-26"):
        hook_on(played(missing)).wait_for_run("run_1", thread_id="thread_1")


@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1/", "https://API.OpenAI.com/v1"])
def test_the_host_is_told_by_its_name(base_url: str) -> None:
    with pytest.raises(AssistantsApiEndedError):
        hook_on(played(missing, base_url=base_url)).get_run("run_1", thread_id="thread_1")


@pytest.mark.parametrize(
    ("base_url", "thread_id"),
    [
        ("https://api.openai.com/v1", None),
        ("https://api.openai.com.example/v1", "thread_1"),
        ("https://eastus.services.ai.azure.com/api/projects/p", "thread_1"),
    ],
)
def test_elsewhere_and_without_a_thread_a_404_is_only_that(base_url: str, thread_id: str | None) -> None:
    with pytest.raises(RunNotFoundError) as caught:
        hook_on(played(missing, base_url=base_url)).get_run("run_1", thread_id=thread_id)
    assert not isinstance(caught.value, AssistantsApiEndedError)


def test_azure_is_a_base_url_and_a_query() -> None:
    requests: list[Any] = []
    client = played(
        found(requests=requests),
        base_url="https://eastus.services.ai.azure.com/api/projects/p",
        default_query={"api-version": "2025-05-01"},
    )
    hook_on(client).get_run("run_1", thread_id="thread_1", include_steps=False)
    assert str(requests[0].url) == (
        "https://eastus.services.ai.azure.com/api/projects/p/threads/thread_1/runs/run_1?api-version=2025-05-01"
    )


def test_a_question_has_a_time_limit_unless_the_connection_sets_one() -> None:
    requests: list[Any] = []
    answer = found(requests=requests)
    for options in ({}, {"timeout": 5.0}):
        send(played(answer, **options), REQUEST, REF)
    limits = [request.extensions["timeout"]["read"] for request in requests]
    assert limits == [READ_TIMEOUT, 5.0]


def test_no_body_is_sent_with_a_question_and_the_right_one_with_an_order() -> None:
    requests: list[Any] = []
    client = played(found(requests=requests))
    send(client, REQUEST, REF)
    send(client, Request("POST", "/responses", body={"model": "m"}), None)
    assert requests[0].content == b""
    assert requests[1].content.replace(b" ", b"") == b'{"model":"m"}'
    assert requests[0].headers["openai-beta"] == "assistants=v2"
    assert "openai-beta" not in requests[1].headers


def test_the_answer_holds_the_bytes_and_headers_as_they_came() -> None:
    body = '{"id":"run_1",  "müll": [1.50, null]}'.encode()

    def answer(request: Any) -> Any:
        return http.Response(200, content=body, headers={"X-Request-Id": "req_1"}, request=request)

    got = send(played(answer), REQUEST, REF)
    assert (got.http_status, got.body, got.request_id) == (200, body, "req_1")


def test_no_answer_at_all_is_an_error_that_names_the_run_and_the_cause() -> None:
    def answer(request: Any) -> Any:
        raise http.ConnectError("Name or service not known", request=request)

    with pytest.raises(RunRequestError, match=r"run run_1 on thread_1.*Name or service not known") as caught:
        send(played(answer), REQUEST, REF)
    assert caught.value.is_retryable
    assert caught.value.http_status is None


def test_an_answer_in_an_error_is_no_repr_of_the_key() -> None:
    got = send(played(missing), REQUEST, REF)
    assert KEY not in repr(got)
    assert got.sent is not None
    assert KEY not in repr(got.sent)


def test_a_poll_is_quiet_and_leaves_the_loggers_as_they_were(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(http.__name__)
    response = sandbox.create_response(script="instant")
    ref = RunRef("responses", response["id"])
    request = get_api("responses").retrieve(ref)
    hook = OpenAIRunHook()
    with caplog.at_level(logging.INFO, logger.name):
        before = logger.level
        send(hook.conn, request, ref, once=True)
        assert logger.level == before
        assert "HTTP Request" not in caplog.text
        send(hook.conn, request, ref)
        assert "HTTP Request" in caplog.text
    hook.conn.close()


@pytest.mark.parametrize("level", [logging.ERROR, logging.CRITICAL])
def test_a_logger_that_is_quieter_stays_so_during_a_poll(level: int) -> None:
    logger = logging.getLogger(http.__name__)
    heard: list[int] = []

    def answer(request: Any) -> Any:
        heard.append(logger.getEffectiveLevel())
        return http.Response(200, json={"id": "run_1"}, request=request)

    before = logger.level
    logger.setLevel(level)
    try:
        send(played(answer), REQUEST, REF, once=True)
    finally:
        logger.setLevel(before)
    assert heard == [level]


def test_the_async_twin_asks_and_answers_alike(sandbox: Sandbox) -> None:
    response = sandbox.create_response(script="instant")
    ref = RunRef("responses", response["id"])
    request = get_api("responses").retrieve(ref)
    hook = OpenAIRunHook()

    async def ask() -> Any:
        async with await hook.aget_conn() as client:
            return await asend(client, request, ref, once=True)

    answer, again = asyncio.run(ask()), send(hook.conn, request, ref)
    assert answer.body == again.body
    assert (answer.http_status, answer.sent.url) == (
        again.http_status,
        f"{sandbox.base_url}/responses/{ref.run_id}",
    )
    hook.conn.close()
