"""Each transport follows the connection: over HTTP, with the real SDK and aiohttp."""

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


def test_the_key_is_sent_as_a_bearer_token(server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY)
    for transport, request in retrieve_by_each_transport(server).items():
        assert request.headers["authorization"] == f"Bearer {KEY}", transport
        assert request.path == "/v1/responses/resp_1", transport


@pytest.mark.parametrize("base_url", ["", "/", "/v1", "/v1/", "/gateway/team/v1"])
def test_the_host_is_the_base_url(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    connect(monkeypatch, host=f"{server.url}{base_url}", password=KEY)
    requests = retrieve_by_each_transport(server, RUN).values()
    assert {request.path for request in requests} == {f"{base_url.rstrip('/')}/threads/thread_1/runs/run_1"}
    assert {request.headers["openai-beta"] for request in requests} == {"assistants=v2"}


def test_client_options_override_fields(server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"base_url": f"{server.url}/theirs", "api_key": "another-key"}
    connect(monkeypatch, host="https://api.invalid/v1", password=KEY, extra={"openai_client_kwargs": options})
    for transport, request in retrieve_by_each_transport(server).items():
        assert (request.path, request.headers["authorization"]) == (
            "/theirs/responses/resp_1",
            "Bearer another-key",
        ), transport


def test_organization_project_headers_and_query_are_sent(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "organization": "org-1",
        "project": "proj-1",
        "default_headers": {"x-team": "weather"},
        "default_query": {"tenant": "a b&c", "version": 2},
    }
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra={"openai_client_kwargs": options})
    for transport, request in retrieve_by_each_transport(server).items():
        sent = {name: request.headers[name] for name in ("openai-organization", "openai-project", "x-team")}
        assert list(sent.values()) == ["org-1", "proj-1", "weather"], transport
        assert request.query == {"tenant": "a b&c", "version": "2"}, transport


def test_the_connections_proxy_overrides_the_environment(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    proxy = server.url.replace("://", "://user:pass-word@")
    connect(monkeypatch, host="http://api.invalid/v1", password=KEY, extra={"proxy": proxy})
    for transport, request in retrieve_by_each_transport(server).items():
        assert request.host == "api.invalid", transport
        assert request.headers["proxy-authorization"].startswith("Basic "), transport


def test_a_cancel_from_a_signal_handler_uses_the_proxy(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host="http://api.invalid/v1", password=KEY, extra={"proxy": server.url})
    hook = OpenAIRunHook(CONN_ID)
    hook.cancel_run_from_signal_handler(RESPONSE, timeout=5)
    hook.conn.close()
    assert [request.host for request in server.requests] == ["api.invalid"]


@pytest.fixture
def token_service(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The service that exchanges workload identities for tokens, on loopback."""
    with fake_http_server() as service:
        service.reply = lambda _: (200, token_response(f"token-{len(service.requests)}"))
        init: Any = WorkloadIdentityAuth.__init__
        monkeypatch.setitem(init.__kwdefaults__, "token_exchange_url", service.url)
        yield service


def token_response(token: str) -> dict[str, Any]:
    return {"access_token": token, "expires_in": 3600}


def subject_token() -> str:
    return "subject-token"


WORKLOAD_IDENTITY = {
    "auth_type": "workload_identity",
    "workload_identity_provider": "custom",
    "token_provider": "tests.hooks.test_transports.subject_token",
    "identity_provider_id": "idp_1",
    "service_account_id": "sa_1",
}


def test_a_workload_identity_is_exchanged_for_a_token(
    server: FakeHttpServer, token_service: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", extra=WORKLOAD_IDENTITY)
    requests = retrieve_by_each_transport(server).values()
    assert len(token_service.requests) == 3, "one for each client, none for a replay"
    assert [request.headers["authorization"] for request in requests] == [
        "Bearer token-1",
        "Bearer token-2",
        *("Bearer token-3",) * 3,
    ]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_workload_identity_raises(
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
