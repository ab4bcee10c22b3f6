"""``test_connection`` says which APIs an endpoint serves, and whether it accepts the credentials."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

import openai
import pytest
from airflow.models.connection import Connection
from airflow.secrets.metastore import MetastoreBackend

from airflow_provider_openai_run.connection.check import main
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sandbox import Sandbox
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, Reply, a_run
from tests.hooks.transports import CONN_ID, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.sandbox_fixtures import KEY, Connect

http: Any = import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")

RESPONSES = "The Responses API"
ASSISTANTS = "The Assistants API"
BATCHES = "The Batch API"
SERVED = "is served and accepts the credentials."
NOT_SERVED = "is not served."


def check(conn_id: str = CONN_ID) -> tuple[bool, str]:
    hook = OpenAIRunHook(conn_id)
    try:
        is_usable, message = hook.test_connection()
    finally:
        if "conn" in hook.__dict__:
            hook.conn.close()
    assert KEY not in message
    return is_usable, message


def test_the_sandbox_serves_all_apis(sandbox: Sandbox) -> None:
    is_usable, message = check("openai_default")
    assert is_usable
    assert message == f"At {sandbox.base_url}: {RESPONSES} {SERVED} {ASSISTANTS} {SERVED} {BATCHES} {SERVED}"
    assert {request.method for request in sandbox.requests} == {"GET"}


def test_a_wrong_key_is_reported_with_the_servers_reason(sandbox: Sandbox, connect: Connect) -> None:
    connect(password="another-key")
    is_usable, message = check("openai_default")
    assert not is_usable
    assert f"{RESPONSES} refuses the credentials (HTTP 401: Incorrect API key provided" in message
    assert f"{ASSISTANTS} refuses the credentials" in message
    assert "another-key" not in message


def error(status: int, message: str, code: str | None = None) -> Reply:
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def openai_style(request: ReceivedRequest) -> Reply:
    if request.path.startswith("/v1/responses/"):
        return error(404, "Response with id 'run_0' not found.")
    if request.path.startswith("/v1/batches/"):
        return error(404, "No batch found with id 'run_0'.")
    return error(404, f"Invalid URL (GET {request.path})")


def fastapi_style(request: ReceivedRequest) -> Reply:
    if request.path == "/v1/threads/parent_0/runs/run_0":
        return 404, {"detail": "No run found with id 'run_0'."}
    return 404, {"detail": "Not Found"}


def azure_style(request: ReceivedRequest) -> Reply:
    if request.path.startswith("/v1/responses/"):
        return error(400, "Invalid 'response_id': 'run_0'.", "invalid_value")
    return error(404, "Resource not found", "404")


def mock_style(request: ReceivedRequest) -> Reply:
    """A mock of the Assistants API: an empty body for a run that it does not know."""
    if request.path.startswith("/v1/threads/"):
        return 404, ""
    return error(501, "not mocked")


def responses_forbidden(request: ReceivedRequest) -> Reply:
    if request.path.startswith("/v1/responses/"):
        return error(403, f"You may not, {request.headers['authorization']}.")
    return fastapi_style(request)


def new_request_id(_: ReceivedRequest) -> Reply:
    return error(404, f"Not found (request id {uuid.uuid4()})")


def always(status: int, body: Any) -> Callable[[ReceivedRequest], Reply]:
    return lambda _: (status, body)


Server = tuple[Callable[[ReceivedRequest], Reply], str, str, str]


def same(reply: Callable[[ReceivedRequest], Reply], verdict: str) -> Server:
    return reply, verdict, verdict, verdict


#: The server; what is said about its Responses API; about its Assistants API; and about its Batch API.
SERVERS: dict[str, Server] = {
    "OpenAI": (openai_style, SERVED, NOT_SERVED, SERVED),
    "FastAPI": (fastapi_style, NOT_SERVED, SERVED, NOT_SERVED),
    "Azure": (azure_style, SERVED, NOT_SERVED, NOT_SERVED),
    "mock": (mock_style, NOT_SERVED, SERVED, NOT_SERVED),
    "403": (
        responses_forbidden,
        "refuses the credentials (HTTP 403: You may not, Bearer ***).",
        SERVED,
        NOT_SERVED,
    ),
    "a run for every id": same(a_run, SERVED),
    "web page for everything": same(always(200, "<html>Welcome</html>"), NOT_SERVED),
    "JSON without a run": same(always(200, {"status": "ok"}), NOT_SERVED),
    "404 with a page": same(always(404, "<html>Not Found</html>"), NOT_SERVED),
    "404 with a list": same(always(404, ["not", "found"]), NOT_SERVED),
    "404 without a body": same(always(404, ""), NOT_SERVED),
    "404 with a new request id": same(new_request_id, NOT_SERVED),
    "405": same(always(405, {"detail": "Method Not Allowed"}), NOT_SERVED),
    "400 about the key": same(
        always(400, {"error": {"message": "API key not valid."}}),
        "refuses the credentials (HTTP 400: API key not valid).",
    ),
    "400 for everything": same(always(400, {"detail": "bad"}), "cannot be checked now (HTTP 400: bad)."),
    "429": same(always(429, {}), "cannot be checked now (HTTP 429)."),
    "503": same(always(503, {"error": "overloaded"}), "cannot be checked now (HTTP 503: overloaded)."),
    "a status of its own": same(always(299, {"id": "run_0"}), "cannot be checked now (HTTP 299)."),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_each_kind_of_server_gets_a_verdict(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    server.reply, responses, assistants, batches = SERVERS[kind]
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY)
    is_usable, message = check()
    assert message.startswith(f"At {server.url}/v1: ")
    assert f"{RESPONSES} {responses}" in message
    assert f"{ASSISTANTS} {assistants}" in message
    assert f"{BATCHES} {batches}" in message
    assert is_usable == (SERVED in message)
    assert len(server.requests) == 4


def test_the_api_that_ended_at_openai_is_not_requested_there(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []

    def respond(request: Any) -> Any:
        paths.append(request.url.path)
        status, body, *_ = openai_style(ReceivedRequest(request.url.path, {}, {}))
        return http.Response(status, json=body, request=request)

    connect(monkeypatch, password=KEY)
    hook = OpenAIRunHook(CONN_ID)
    transport = http.Client(transport=http.MockTransport(respond))
    hook.__dict__["conn"] = openai.OpenAI(api_key=KEY, http_client=transport)
    is_usable, message = hook.test_connection()
    assert is_usable
    assert message == (
        f"At https://api.openai.com/v1: {RESPONSES} {SERVED} {ASSISTANTS} is not served: OpenAI ended it. "
        f"{BATCHES} {SERVED}"
    )
    assert not any("threads" in path for path in paths)


#: A proxy that is not there, with a password.
PROXY = {"extra": {"proxy": f"http://me:{KEY}@127.0.0.1:9"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host": "no.scheme", "password": KEY}, "Connection 'openai_here': host has no scheme"),
        (
            {"host": "http://127.0.0.1:9/v1", "password": KEY},
            "At http://127.0.0.1:9/v1: The request for",
        ),
        ({"host": "http://127.0.0.1:1/v1", "password": KEY, **PROXY}, "got no response"),
        ({"password": None}, "password (the API key) is missing"),
    ],
)
def test_a_connection_that_cannot_be_used_is_reported(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], expected: str
) -> None:
    connect(monkeypatch, **fields)
    is_usable, message = check()
    assert not is_usable
    assert expected in message


def test_a_connection_that_does_not_exist_is_reported() -> None:
    is_usable, message = check("openai_nowhere")
    assert not is_usable
    assert "'openai_nowhere' does not exist; create it with: airflow connections add" in message


def test_a_server_that_does_not_respond_is_reported(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_openai_run.connection.check._TIMEOUT", 0.2)
    sandbox.faults.add("stalled")
    is_usable, message = check("openai_default")
    assert not is_usable
    assert "got no response" in message


def test_unused_extras_are_listed(server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.reply = openai_style
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra={"model": "m", "team": 1})
    is_usable, message = check()
    assert is_usable
    assert message.endswith("Extras that are not used: 'model', 'team'.")


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (401, 1)])
def test_the_command_prints_the_result_and_returns_an_exit_code(
    server: FakeHttpServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    exit_code: int,
) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    server.reply = a_run if status == 200 else always(status, {"error": "No."})
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY)
    assert main([CONN_ID]) == exit_code
    assert f"At {server.url}/v1: {RESPONSES}" in capsys.readouterr().out


def test_the_command_finds_a_connection_of_the_database(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    def find(conn_id: str, **_: Any) -> Connection:
        return Connection(conn_id=conn_id, conn_type="openai", host=f"{server.url}/v1", password=KEY)

    monkeypatch.setattr(MetastoreBackend, "get_connection", staticmethod(find))
    assert main(["openai_of_the_ui"]) == 0
    assert KEY not in capsys.readouterr().out


def test_the_command_says_how_to_create_a_missing_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    assert main(["openai_nowhere"]) == 1
    assert "does not exist; create it with: airflow connections add openai_nowhere" in capsys.readouterr().out


def test_a_host_without_a_path_is_advised_to_have_one(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply = always(404, "")
    connect(monkeypatch, host=server.url, password=KEY)
    assert check()[1].endswith(f"most servers need {server.url}/v1.")
