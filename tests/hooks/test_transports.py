"""What a connection says holds in every way of asking: over HTTP, with the real SDK and aiohttp."""

from __future__ import annotations

from typing import Any

import pytest
from openai.auth import WorkloadIdentityAuth

from airflow_provider_openai_run.exceptions import RunAuthenticationError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from tests.fake_http_server import FakeHttpServer, fake_http_server
from tests.hooks.transports import CONN_ID, RESPONSE, RUN, connect, retrieve_by_each_transport
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.sandbox_fixtures import KEY


def test_the_key_goes_out_as_a_bearer_token(server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY)
    for way, asked in retrieve_by_each_transport(server).items():
        assert asked.headers["authorization"] == f"Bearer {KEY}", way
        assert asked.path == "/v1/responses/resp_1", way


@pytest.mark.parametrize("base_url", ["", "/", "/v1", "/v1/", "/gateway/team/v1"])
def test_the_host_is_the_base_url(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    connect(monkeypatch, host=f"{server.url}{base_url}", password=KEY)
    asked = retrieve_by_each_transport(server, RUN)
    assert {one.path for one in asked.values()} == {f"{base_url.rstrip('/')}/threads/thread_1/runs/run_1"}
    assert {one.headers["openai-beta"] for one in asked.values()} == {"assistants=v2"}


def test_the_options_of_the_client_go_before_the_fields(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"base_url": f"{server.url}/theirs", "api_key": "another-key"}
    connect(monkeypatch, host="https://api.invalid/v1", password=KEY, extra={"openai_client_kwargs": options})
    for way, asked in retrieve_by_each_transport(server).items():
        assert (asked.path, asked.headers["authorization"]) == (
            "/theirs/responses/resp_1",
            "Bearer another-key",
        ), way


def test_organization_project_headers_and_query_go_out(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "organization": "org-1",
        "project": "proj-1",
        "default_headers": {"x-team": "weather"},
        "default_query": {"tenant": "a b&c", "version": 2},
    }
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra={"openai_client_kwargs": options})
    for way, asked in retrieve_by_each_transport(server).items():
        sent = {name: asked.headers[name] for name in ("openai-organization", "openai-project", "x-team")}
        assert list(sent.values()) == ["org-1", "proj-1", "weather"], way
        assert asked.query == {"tenant": "a b&c", "version": "2"}, way


def test_a_proxy_of_the_connection_is_used_and_the_environment_is_not(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    proxy = server.url.replace("://", "://somebody:pass-word@")
    connect(monkeypatch, host="http://api.invalid/v1", password=KEY, extra={"proxy": proxy})
    for way, asked in retrieve_by_each_transport(server).items():
        assert asked.host == "api.invalid", way
        assert asked.headers["proxy-authorization"].startswith("Basic "), way


def test_a_killed_tasks_cancel_goes_by_the_proxy_too(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host="http://api.invalid/v1", password=KEY, extra={"proxy": server.url})
    hook = OpenAIRunHook(CONN_ID)
    hook.cancel_run_from_signal_handler(RESPONSE, timeout=5)
    hook.conn.close()
    assert [asked.host for asked in server.requests] == ["api.invalid"]


@pytest.fixture
def token_service(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The service that exchanges workload identities for tokens, on loopback."""
    with fake_http_server() as service:
        service.reply = lambda _: (200, exchanged(f"token-{len(service.requests)}"))
        init: Any = WorkloadIdentityAuth.__init__
        monkeypatch.setitem(init.__kwdefaults__, "token_exchange_url", service.url)
        yield service


def exchanged(token: str) -> dict[str, Any]:
    return {"access_token": token, "expires_in": 3600}


def subject_token() -> str:
    return "who-i-am"


WORKLOAD_IDENTITY = {
    "auth_type": "workload_identity",
    "workload_identity_provider": "custom",
    "token_provider": "tests.hooks.test_transports.subject_token",
    "identity_provider_id": "idp_1",
    "service_account_id": "sa_1",
}


def test_a_workload_identity_becomes_a_token(
    server: FakeHttpServer, token_service: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", extra=WORKLOAD_IDENTITY)
    asked = retrieve_by_each_transport(server)
    assert len(token_service.requests) == 3, "one for each client, none for a repetition"
    assert [one.headers["authorization"] for one in asked.values()] == [
        "Bearer token-1",
        "Bearer token-2",
        *("Bearer token-3",) * 3,
    ]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_workload_identity_that_is_refused_is_not_taken_for_the_apis_answer(
    server: FakeHttpServer, token_service: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    refusal = {"error": "invalid_grant", "error_description": "No such service account."}
    token_service.reply = lambda _: (status, refusal)
    connect(monkeypatch, host=f"{server.url}/v1", extra=WORKLOAD_IDENTITY)
    hook = OpenAIRunHook(CONN_ID)
    with pytest.raises(RunAuthenticationError, match="no token was issued for it: No such") as caught:
        hook.get_run(run_id="resp_1")
    hook.conn.close()
    assert (caught.value.is_retryable, caught.value.run_id) == (False, "resp_1")
    assert server.requests == []
