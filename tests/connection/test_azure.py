"""Azure: the forms of its endpoints, and Entra ID tokens from the real ``DefaultAzureCredential``."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_openai_run.connection import azure, entra_id
from airflow_provider_openai_run.exceptions import InvalidConnectionError, RunAuthenticationError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.fake_http_server import FakeHttpServer, fake_http_server
from tests.hooks.transports import CONN_ID, RESPONSE, RUN, connect, retrieve_by_each_transport
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture
from tests.sandbox_fixtures import KEY

ENTRA = {"auth_type": "azure_entra_id"}
PROJECT = "/api/projects/weather"

#: The host's path; the extra; the run; the path and the version of the request; the key's header.
ENDPOINTS: list[tuple[str, dict[str, Any], RunRef, str, str | None, str]] = [
    ("/openai/v1", {}, RESPONSE, "/openai/v1/responses/resp_1", None, "authorization"),
    (
        *("/openai/v1", {"azure_api_version": "preview"}, RESPONSE),
        *("/openai/v1/responses/resp_1", "preview", "authorization"),
    ),
    (
        *("", {"azure_api_version": "2024-05-01-preview"}, RUN),
        *("/openai/threads/thread_1/runs/run_1", "2024-05-01-preview", "api-key"),
    ),
    ("", {"azure_api_version": "v1"}, RESPONSE, "/openai/v1/responses/resp_1", "v1", "authorization"),
    (
        *("/openai", {"azure_api_version": "2024-05-01-preview"}, RUN),
        *("/openai/threads/thread_1/runs/run_1", "2024-05-01-preview", "api-key"),
    ),
    (
        *(PROJECT, {"azure_api_version": "2025-05-01"}, RUN),
        *(f"{PROJECT}/threads/thread_1/runs/run_1", "2025-05-01", "authorization"),
    ),
    (
        *(PROJECT, {"openai_client_kwargs": {"default_query": {"api-version": "2025-05-01"}}}, RUN),
        *(f"{PROJECT}/threads/thread_1/runs/run_1", "2025-05-01", "authorization"),
    ),
]


@pytest.mark.parametrize(("path", "extra", "ref", "requested_path", "version", "header"), ENDPOINTS)
def test_a_key_is_sent_to_each_form_of_azure_endpoint(
    server: FakeHttpServer,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    extra: dict[str, Any],
    ref: RunRef,
    requested_path: str,
    version: str | None,
    header: str,
) -> None:
    connect(monkeypatch, host=f"{server.url}{path}", password=KEY, extra=extra)
    for transport, request in retrieve_by_each_transport(server, ref).items():
        assert (request.path, request.query.get("api-version")) == (requested_path, version), transport
        sent = {name: request.headers.get(name) for name in ("authorization", "api-key")}
        assert sent == {"authorization": None, "api-key": None, header: request.headers[header]}, transport
        assert request.headers[header].removeprefix("Bearer ") == KEY, transport


def test_a_key_in_azures_own_header_is_redacted(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply = lambda request: (401, {"error": {"message": f"No: {request.headers['api-key']}"}})
    connect(monkeypatch, host=server.url, password=KEY, extra={"azure_api_version": "2024-05-01-preview"})
    hook = OpenAIRunHook(CONN_ID)
    with pytest.raises(RunAuthenticationError) as caught:
        hook.get_run("run_1", thread_id="thread_1")
    hook.conn.close()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "version", "base_url"),
    [
        ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/", "preview", "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/", "2024-10-21", "https://r.openai.azure.com/openai"),
        ("https://r.services.ai.azure.com/openai/v1/", None, "https://r.services.ai.azure.com/openai/v1/"),
    ],
)
def test_a_bare_endpoint_is_completed(endpoint: str, version: str | None, base_url: str) -> None:
    assert azure.complete_base_url(endpoint, version, {}) == base_url


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHttpServer]:
    """The endpoint of a managed identity, as Azure's App Service has it, on loopback."""
    pytest.importorskip("azure.identity")
    entra_id.token_provider.cache_clear()
    with fake_http_server() as endpoint:
        endpoint.reply = lambda _: (200, token(f"entra-{len(endpoint.requests)}", 3600))
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{endpoint.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "from-app-service")
        yield endpoint
    entra_id.token_provider.cache_clear()


def token(value: str, seconds: float) -> dict[str, str]:
    expires_on = str(int(time.time() + seconds))
    return {"access_token": value, "expires_on": expires_on, "resource": "any", "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("path", "extra", "ref", "audience"),
    [
        ("/openai/v1", {}, RESPONSE, "https://cognitiveservices.azure.com"),
        ("/openai", {"azure_api_version": "2024-05-01-preview"}, RUN, "https://cognitiveservices.azure.com"),
        (PROJECT, {"azure_api_version": "2025-05-01"}, RUN, "https://ai.azure.com"),
        ("/openai/v1", {"azure_scope": "https://ai.azure.us/.default"}, RESPONSE, "https://ai.azure.us"),
    ],
)
def test_an_entra_token_is_requested_once_in_a_process(
    server: FakeHttpServer,
    identity: FakeHttpServer,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    extra: dict[str, Any],
    ref: RunRef,
    audience: str,
) -> None:
    connect(monkeypatch, host=f"{server.url}{path}", extra={**ENTRA, **extra})
    for transport, request in retrieve_by_each_transport(server, ref).items():
        assert request.headers["authorization"] == "Bearer entra-1", transport
        assert request.query.get("api-version") == extra.get("azure_api_version"), transport
        assert "api-key" not in request.headers, transport
    assert [request.query["resource"] for request in identity.requests] == [audience]


def test_the_client_id_of_an_identity_is_sent(
    server: FakeHttpServer, identity: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {
        **ENTRA,
        "managed_identity_client_id": "client-1",
        "workload_identity_tenant_id": "tenant-1",
    }
    connect(monkeypatch, host=f"{server.url}/openai/v1", extra=extra)
    retrieve_by_each_transport(server)
    assert identity.requests[0].query["client_id"] == "client-1"


def test_a_token_about_to_expire_is_renewed(
    server: FakeHttpServer, identity: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity.reply = lambda _: (200, token(f"entra-{len(identity.requests)}", 240))
    connect(monkeypatch, host=f"{server.url}/openai/v1", extra=ENTRA)
    sent = [request.headers["authorization"] for request in retrieve_by_each_transport(server).values()]
    # A replay is a minute old at most, and the token is valid for four.
    assert sent == ["Bearer entra-1", "Bearer entra-2", *("Bearer entra-3",) * 3]


def test_no_token_is_requested_on_the_event_loop(
    server: FakeHttpServer, identity: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.identity import DefaultAzureCredential

    threads: list[threading.Thread] = []
    request_token, create = DefaultAzureCredential.get_token_info, DefaultAzureCredential.__init__

    def get_token_info(credential: Any, *scopes: str, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return request_token(credential, *scopes, **options)

    def init(credential: Any, **options: Any) -> None:
        threads.append(threading.current_thread())
        create(credential, **options)

    monkeypatch.setattr(DefaultAzureCredential, "get_token_info", get_token_info)
    monkeypatch.setattr(DefaultAzureCredential, "__init__", init)
    connect(monkeypatch, host=f"{server.url}/openai/v1", extra=ENTRA)
    asyncio.run(OpenAIRunHook(CONN_ID).aget_run(run_id="resp_1"))
    assert len(threads) >= 2
    assert threading.main_thread() not in threads


def test_a_refused_identity_raises_and_is_retryable_once_it_worked(
    server: FakeHttpServer,
    identity: FakeHttpServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(monkeypatch, host=f"{server.url}/openai/v1", extra=ENTRA)
    hook = OpenAIRunHook(CONN_ID)

    def failure() -> RunAuthenticationError:
        with pytest.raises(RunAuthenticationError, match="Entra ID issued no token") as caught:
            hook.get_run(run_id="resp_1")
        return caught.value

    identity.reply = lambda _: (400, {"message": "No managed identity is assigned."})
    with caplog.at_level(logging.CRITICAL, "azure"):
        first = failure()
        identity.reply = lambda _: (200, token("entra-1", 240))
        hook.get_run(run_id="resp_1")
        identity.reply = lambda _: (400, {"message": "No managed identity is assigned."})
        later = failure()
    hook.conn.close()
    assert (first.is_retryable, later.is_retryable) == (False, True)
    assert "managed identity" in str(first)
    assert "from-app-service" not in str(first)
    assert len(str(first)) < 600
    assert len(server.requests) == 1


def test_a_missing_package_raises_what_to_install(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entra_id.token_provider.cache_clear()
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    connect(monkeypatch, host=f"{server.url}/openai/v1", extra=ENTRA)
    with pytest.raises(InvalidConnectionError) as caught:
        OpenAIRunHook(CONN_ID).get_run(run_id="resp_1")
    assert str(caught.value) == (
        "Connection 'openai_here': auth_type 'azure_entra_id' needs the package azure-identity; "
        "install airflow-provider-openai-run[azure]."
    )
