"""Polls without the SDK send what the SDK sends, over each connection for which they are used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from airflow_provider_openai_run.connection import http_client
from airflow_provider_openai_run.connection.settings import _OPTION_CHECKS, _client_options
from airflow_provider_openai_run.exceptions import InvalidConnectionError, RunRequestError
from airflow_provider_openai_run.hooks._run_poll import RunPollHook
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.fake_http_server import FakeHttpServer, ReceivedRequest, fake_http_server
from tests.hooks.transports import CONN_ID, RESPONSE, RUN, VARIABLE, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture

KEY = "sk-direct-correct-horse"
ODD_ID = RunRef("responses", "resp_1~:@!$ä")


def options(**client: Any) -> dict[str, Any]:
    return {"openai_client_kwargs": client}


#: Extras of connections that need no SDK.
DIRECT: list[dict[str, Any]] = [
    {},
    options(organization="org-1", project="proj_1"),
    options(default_headers={"X-Gateway": "gate way", "x-team": "a"}),
    options(default_query={"tenant": "a b&c", "empty": ""}),
    options(timeout=7, max_retries=5),
    options(timeout=2.5),
    options(timeout=None, webhook_secret="whsec_1"),
    {"azure_api_version": "2024-05-01-preview"},
    {"azure_api_version": "preview", **options(default_query={"tenant": "a"})},
]
#: Extras of connections that only the SDK knows how to use, and the credential or header that shows it.
SDK_ONLY: list[dict[str, Any]] = [
    options(default_headers={"authorization": "Basic b2xkOm9sZA=="}),
    options(default_headers={"OpenAI-Beta": "assistants=v9"}),
    options(default_headers={"User-Agent": "gateway"}),
    options(default_query={"filter": {"a": [1, 2]}}),
    options(admin_api_key="sk-admin-1"),
]


def poll(hook: RunPollHook | OpenAIRunHook, ref: RunRef, *include: str) -> Any:
    poller = RunPoller(ref, PollOptions(started_at=0.0, include=include))
    return hook.poll_once(poller)


def hook_without_sdk() -> RunPollHook:
    def refuse() -> OpenAIRunHook:
        raise AssertionError("the SDK is not needed for this connection")

    return RunPollHook(CONN_ID, refuse)


def sent(request: ReceivedRequest) -> dict[str, Any]:
    """Return what must be equal: all but the headers in which the SDK describes itself."""
    headers = {name: value for name, value in request.headers.items() if not name.startswith("x-stainless-")}
    return {"path": request.path, "query": request.query, "headers": headers, "host": request.host}


@pytest.mark.parametrize("ref", [RESPONSE, RUN, ODD_ID], ids=str)
@pytest.mark.parametrize("extra", DIRECT, ids=str)
@pytest.mark.parametrize("path", ["", "/v1", "/openai/v1/"])
def test_a_poll_without_the_sdk_sends_what_the_sdk_sends(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], ref: RunRef, path: str
) -> None:
    connect(monkeypatch, host=f"{server.url}{path}", password=KEY, extra=extra)
    try:
        poll(OpenAIRunHook(CONN_ID), ref)
    except InvalidConnectionError:
        pytest.skip("an endpoint that does not go with this api version")
    poll(hook_without_sdk(), ref)
    with_sdk, without = server.requests
    assert sent(without) == sent(with_sdk)


def test_a_poll_without_the_sdk_requests_further_output(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = options(default_query={"tenant": "a b"})
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra=extra)
    for hook in (OpenAIRunHook(CONN_ID), hook_without_sdk()):
        poll(hook, RESPONSE, "code_interpreter_call.outputs", "file_search_call.results")
    with_sdk, without = server.requests
    assert "file_search_call.results" in without.query.values()
    assert sent(without) == sent(with_sdk)


@pytest.mark.parametrize("source", ["extra", "environment"])
def test_a_poll_without_the_sdk_goes_through_the_proxy(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    extra = {}
    if source == "extra":
        extra = {"proxy": server.url.replace("//", "//ada:correct-horse@")}
    else:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
    connect(monkeypatch, host="http://runs.example/v1", password=KEY, extra=extra)
    poll(OpenAIRunHook(CONN_ID), RESPONSE)
    poll(hook_without_sdk(), RESPONSE)
    with_sdk, without = server.requests
    assert without.host == "runs.example"
    assert sent(without) == sent(with_sdk)


@pytest.mark.parametrize("extra", SDK_ONLY, ids=str)
def test_other_connections_are_left_to_the_sdk(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]
) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra=extra)
    hook = OpenAIRunHook(CONN_ID)
    poll(RunPollHook(CONN_ID, lambda: hook), RUN)
    assert "conn" in hook.__dict__
    assert server.requests[0].headers["x-stainless-lang"] == "python"


@pytest.mark.parametrize("name", ["OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "AZURE_OPENAI_AD_TOKEN"])
def test_variables_that_the_sdk_reads_are_left_to_it(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY)
    monkeypatch.setenv(name, "x: y")
    hook = OpenAIRunHook(CONN_ID)
    poll(RunPollHook(CONN_ID, lambda: hook), RUN)
    assert "conn" in hook.__dict__


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "http://127.0.0.1:99999"])
def test_no_response_is_the_same_error_with_and_without_the_sdk(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "openai", "host": f"{host}/v1", "password": KEY}))
    try:
        decisions = [poll(OpenAIRunHook(CONN_ID), RESPONSE), poll(hook_without_sdk(), RESPONSE)]
    except InvalidConnectionError:
        return
    texts = [
        [m.text.split(" Failure")[0] for m in d.log_messages] if not isinstance(d, Outcome) else str(d.error)
        for d in decisions
    ]
    assert texts[0] == texts[1]
    assert "got no response" in str(texts[1])


def test_a_slow_body_ends_after_the_timeout_of_the_connection(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(http_client, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    server.reply = lambda _: (200, iter([b"{", b"}"]))
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra=options(timeout=4))
    hook = hook_without_sdk()
    assert hook._direct_client is not None
    with pytest.raises(RunRequestError, match="Request timed out: the body did not end within 4 s") as caught:
        hook._direct_client.get(http_request(), RESPONSE)
    assert caught.value.is_retryable


def http_request() -> Any:
    from airflow_provider_openai_run.api.registry import api_of

    return api_of(RESPONSE).retrieve(RESPONSE)


def test_the_http_clients_have_the_defaults_of_the_sdks_own() -> None:
    ours, sdks = http_client.new_http_client(None), openai.DefaultHttpxClient()
    assert ours.timeout == sdks.timeout
    assert ours.follow_redirects == sdks.follow_redirects
    clients: list[Any] = [ours, sdks]
    limits = [
        [
            getattr(client._transport._pool, name)
            for name in ("_max_connections", "_max_keepalive_connections")
        ]
        for client in clients
    ]
    assert limits[0] == limits[1]
    assert http_client.SDK_VERSION == openai.VERSION


def test_checked_options_are_options_of_the_sdk() -> None:
    assert _OPTION_CHECKS.keys() <= _client_options()


def test_a_poll_does_not_import_the_sdk() -> None:
    program = f"""
import os, sys
from airflow_provider_openai_run.hooks._run_poll import RunPollHook
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import RunPoller
from airflow_provider_openai_run.types.run_ref import RunRef
ref = RunRef("responses", "resp_1")
hook = RunPollHook({CONN_ID!r}, None)
assert hook.run_url(ref) == "https://console.example/resp_1"
assert hook.poll_once(RunPoller(ref, PollOptions(started_at=0.0))).run.id == "resp_1"
assert not {{"openai", "airflow.providers.openai.hooks.openai"}} & sys.modules.keys()
"""
    with fake_http_server() as server:
        server.reply = lambda _: (200, {"id": "resp_1", "status": "in_progress"})
        extra = {"run_link_template": "https://console.example/{run_id}", **options(organization="org-1")}
        connection = {"conn_type": "openai", "host": f"{server.url}/v1", "password": KEY, "extra": extra}
        environment = os.environ | {VARIABLE: json.dumps(connection)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
