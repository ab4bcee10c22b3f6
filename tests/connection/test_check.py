"""``test_connection`` says in words which APIs an endpoint serves, and whether the key may use them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import openai
import pytest

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, Reply
from tests.hooks.transports import CONN_ID, connect
from tests.hooks.transports import api as api  # noqa: PLC0414 - a fixture
from tests.sandboxed import KEY, Connect

http: Any = import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")

RESPONSES = "The Responses API"
ASSISTANTS = "The Assistants API"
SERVED = "is served, and the credentials may use it."


def judged(conn_id: str = CONN_ID) -> tuple[bool, str]:
    hook = OpenAIRunHook(conn_id)
    try:
        is_good, words = hook.test_connection()
    finally:
        if "conn" in hook.__dict__:
            hook.conn.close()
    assert KEY not in words
    return is_good, words


def test_the_sandbox_serves_both(sandbox: Sandbox) -> None:
    is_good, words = judged("openai_default")
    assert is_good
    assert words == f"At {sandbox.base_url}: {RESPONSES} {SERVED} {ASSISTANTS} {SERVED}"
    assert {request.method for request in sandbox.requests} == {"GET"}


def test_a_wrong_key_is_refused_in_the_apis_own_words(sandbox: Sandbox, connect: Connect) -> None:
    connect(password="another-key")
    is_good, words = judged("openai_default")
    assert not is_good
    assert f"{RESPONSES} refuses the credentials (HTTP 401: Incorrect API key provided" in words
    assert f"{ASSISTANTS} refuses the credentials" in words
    assert "another-key" not in words


def not_found(message: str) -> Reply:
    return 404, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def only_responses(asked: ReceivedRequest) -> Reply:
    """OpenAI's way: what it does not serve is an invalid URL."""
    if asked.path.startswith("/v1/responses/"):
        return not_found("Response with id 'resp_0' not found.")
    return not_found(f"Invalid URL (GET {asked.path})")


def only_threads(asked: ReceivedRequest) -> Reply:
    """A server made with FastAPI."""
    if asked.path == "/v1/threads/parent_0/runs/run_0":
        return 404, {"detail": "No run found with id 'run_0'."}
    return 404, {"detail": "Not Found"}


def azure(asked: ReceivedRequest) -> Reply:
    if asked.path.startswith("/v1/responses/"):
        return 400, {"error": {"message": "Invalid 'response_id': 'resp_0'.", "code": "invalid_value"}}
    return 404, {"error": {"code": "404", "message": "Resource not found"}}


def one_is_forbidden(asked: ReceivedRequest) -> Reply:
    if asked.path.startswith("/v1/responses/"):
        return 403, {"error": {"message": f"You may not, {asked.headers['authorization']}."}}
    return only_threads(asked)


def no_api(_: ReceivedRequest) -> Reply:
    return 404, "<html>Not Found</html>"


def a_page_for_everything(_: ReceivedRequest) -> Reply:
    return 200, "<html>Welcome</html>"


def no_json_object(_: ReceivedRequest) -> Reply:
    return 404, ["not", "found"]


def out_of_order(_: ReceivedRequest) -> Reply:
    return 503, {"error": {"message": "overloaded"}}


def busy(_: ReceivedRequest) -> Reply:
    return 429, {"error": {"message": "slow down"}}


def empty_answers(asked: ReceivedRequest) -> Reply:
    """What a mock of the Assistants API does: it has no words for a run that it does not know."""
    if asked.path.startswith("/v1/threads/"):
        return 404, ""
    return 501, {"error": {"message": "not mocked"}}


def nothing_but_empty_answers(_: ReceivedRequest) -> Reply:
    return 404, ""


def posts_only(_: ReceivedRequest) -> Reply:
    return 405, {"detail": "Method Not Allowed"}


NOT = "is not served."
NOT_NOW = "cannot be judged now"

SERVERS: list[tuple[Callable[[ReceivedRequest], Reply], str, str]] = [
    (only_responses, SERVED, NOT),
    (only_threads, NOT, SERVED),
    (azure, SERVED, NOT),
    (one_is_forbidden, "refuses the credentials (HTTP 403: You may not, Bearer***).", SERVED),
    (no_api, NOT, NOT),
    (a_page_for_everything, NOT, NOT),
    (no_json_object, NOT, NOT),
    (out_of_order, f"{NOT_NOW} (HTTP 503).", f"{NOT_NOW} (HTTP 503)."),
    (busy, f"{NOT_NOW} (HTTP 429).", f"{NOT_NOW} (HTTP 429)."),
    (posts_only, NOT, NOT),
    (empty_answers, NOT, SERVED),
    (nothing_but_empty_answers, NOT, NOT),
]


@pytest.mark.parametrize(("server", "responses", "assistants"), SERVERS)
def test_each_kind_of_server_is_told(
    api: FakeHttpServer,
    monkeypatch: pytest.MonkeyPatch,
    server: Callable[[ReceivedRequest], Reply],
    responses: str,
    assistants: str,
) -> None:
    api.reply = server
    connect(monkeypatch, host=f"{api.address}/v1", password=KEY)
    is_good, words = judged()
    assert words.startswith(f"At {api.address}/v1: ")
    assert f"{RESPONSES} {responses}" in words
    assert f"{ASSISTANTS} {assistants}" in words
    assert is_good == (SERVED in words)
    assert len(api.requests) == 3


def test_openai_is_told_to_have_ended_one_of_them_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, password=KEY)
    asked: list[str] = []

    def answer(request: Any) -> Any:
        asked.append(request.url.path)
        status, body = only_responses(ReceivedRequest(request.url.path, {}, {}))
        return http.Response(status, json=body, request=request)

    hook = OpenAIRunHook(CONN_ID)
    transport = http.Client(transport=http.MockTransport(answer))
    hook.__dict__["conn"] = openai.OpenAI(api_key=KEY, http_client=transport)
    is_good, words = hook.test_connection()
    assert is_good
    assert words == (
        f"At https://api.openai.com/v1: {RESPONSES} {SERVED} {ASSISTANTS} is not served: OpenAI ended it."
    )
    assert not any("threads" in path for path in asked)


#: A proxy that is not there, with a password.
PROXY = {"extra": {"proxy": f"http://me:{KEY}@127.0.0.1:9"}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "no-scheme", "password": KEY}, "Connection 'openai_here': host has no scheme"),
        ({"host": "http://127.0.0.1:9/v1", "password": KEY}, "At http://127.0.0.1:9/v1: The API could not"),
        ({"host": "http://127.0.0.1:1/v1", "password": KEY, **PROXY}, "could not be asked"),
        ({"password": None}, "password (the API key) is missing"),
    ],
)
def test_what_keeps_it_from_asking_is_told_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], said: str
) -> None:
    connect(monkeypatch, **fields)
    is_good, words = judged()
    assert not is_good
    assert said in words


def test_a_connection_that_is_not_there_is_told_and_not_raised() -> None:
    is_good, words = judged("openai_nowhere")
    assert not is_good
    assert "openai_nowhere" in words


def test_an_answer_that_does_not_come_is_not_waited_for(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_openai_run.connection.check._PATIENCE", 0.2)
    sandbox.faults.add("stalled")
    is_good, words = judged("openai_default")
    assert not is_good
    assert "could not be asked" in words


def test_extras_that_nobody_reads_are_named(api: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    api.reply = only_responses
    connect(monkeypatch, host=f"{api.address}/v1", password=KEY, extra={"model": "m", "team": 1})
    is_good, words = judged()
    assert is_good
    assert words.endswith("Extras that are not used: 'model', 'team'.")
