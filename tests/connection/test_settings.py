"""A wrong field of a connection raises one sentence that names it, before anything is sent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.openai.hooks.openai import OpenAIHook

from airflow_provider_openai_run.connection.settings import parse_settings
from airflow_provider_openai_run.connection.validation import FieldError
from airflow_provider_openai_run.exceptions import InvalidConnectionError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from tests.fake_http_server import FakeHttpServer
from tests.hooks.transports import CONN_ID, connect
from tests.hooks.transports import server as server  # noqa: PLC0414 - a fixture

KEY = "correct-horse-battery-staple"
HOST = "https://runs.example.com/v1"
AZURE = "https://r.openai.azure.com/openai/v1"
ENTRA = {"auth_type": "azure_entra_id"}
IDENTITY = {
    "auth_type": "workload_identity",
    "identity_provider_id": "idp_1",
    "service_account_id": "sa_1",
    "workload_identity_provider": "kubernetes",
}


@dataclass
class Connection:
    """A connection with the fields that Airflow's has."""

    host: str | None = HOST
    password: str | None = KEY
    extra: str | None = None
    schema: str | None = None
    port: int | None = None
    conn_id: str = CONN_ID


def client(**options: Any) -> dict[str, Any]:
    return {"extra": {"openai_client_kwargs": options}}


def version(number: str, **extra: Any) -> dict[str, Any]:
    return {"extra": {"azure_api_version": number, **extra}}


OPTIONS = "extra openai_client_kwargs"
NOT_A_KEY = "password (the API key) must be the key alone"

#: Fields of the connection, and how the message begins.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"password": None}, "password (the API key) is missing"),
    ({"password": ""}, "password (the API key) is missing"),
    ({"password": f"{KEY}\n"}, NOT_A_KEY),
    ({"password": f"Bearer {KEY}"}, NOT_A_KEY),
    ({"password": f"{KEY}\u2026"}, NOT_A_KEY),
    ({"password": f"{KEY[:9]}\n{KEY[9:]}"}, NOT_A_KEY),
    (client(api_key=7), f"{OPTIONS}.api_key must be text, not a number"),
    (client(api_key=f" {KEY}"), f"{OPTIONS}.api_key must be the key alone"),
    ({"host": "runs.example.com/v1"}, "host has no scheme; write https://runs.example.com/v1"),
    ({"host": KEY}, "host is not a URL; write one such as"),
    ({"host": f"{KEY}." * 4}, "host is not a URL"),
    ({"host": "ftp://runs.example.com"}, "host is not a URL"),
    ({"host": "https:///v1"}, "host is not a URL"),
    ({"host": " https://runs.example.com/v1"}, "host is not a URL"),
    ({"host": "https://runs.example.com/v 1"}, "host is not a URL"),
    ({"host": "https://runs.example.com\\v1"}, "host is not a URL"),
    ({"host": "https://runs.example.com:eighty/v1"}, "host is not a URL"),
    ({"host": "https://runs.example.com//v1"}, "host is not a URL"),
    ({"host": "https://runs.example.com/v1/../v2"}, "host is not a URL"),
    ({"host": f"https://me:{KEY}@runs.example.com/v1"}, "host must not have a user name or password"),
    ({"host": f"me:{KEY}@runs.example.com/v1"}, "host must not have a user name or password"),
    ({"host": f"https://runs.example.com/v1?api-key={KEY}"}, "host must end with its path"),
    ({"host": "https://runs.example.com/v1#"}, "host must end with its path"),
    ({"host": "https://runs.example.com/v1/responses"}, "host ends in '/responses'"),
    ({"host": "https://runs.example.com/v1/chat/completions/"}, "host ends in '/chat/completions/'"),
    ({"host": "https://runs.example.com/v1/threads"}, "host ends in '/threads'"),
    ({"host": "https://api.openai.com"}, "host lacks the path '/v1'"),
    ({"host": "api.openai.com"}, "host has no scheme and no path '/v1'; write https://api.openai.com/v1"),
    ({"host": "https://eu.api.openai.com/"}, "host lacks the path '/v1'; write https://eu.api.openai.com/v1"),
    ({"port": 8443}, "port is not used; write it into host"),
    ({"host": None, "port": 8443}, "port is not used; write it into host"),
    ({"schema": "v2"}, "schema is not used; write it into host"),
    ({"extra": {"auth_type": "magic"}}, "extra auth_type must be one of 'api_key', 'workload_identity', "),
    ({"extra": {"auth_typ": "api_key"}}, "extra auth_typ is not used; write 'auth_type' if you mean that"),
    ({"extra": {"OpenAI-Client-kwargs": {}}}, "extra OpenAI-Client-kwargs is not used"),
    ({"extra": {"timeout": 3}}, "extra timeout is an option of the client; write it into"),
    ({"extra": {"azure_endpoint": "x"}}, "extra azure_endpoint is not used; write the endpoint into host"),
    ({"extra": {"openai_client_kwargs": None}}, f"{OPTIONS} must be an object, not null"),
    ({"extra": {"openai_client_kwargs": []}}, f"{OPTIONS} must be an object, not a list"),
    (client(timeout="30"), f"{OPTIONS}.timeout must be a number above 0, not text"),
    (client(timeout=0), f"{OPTIONS}.timeout must be a number above 0, not 0"),
    (client(timeout=-1), f"{OPTIONS}.timeout must be a number above 0, not -1"),
    (client(timeout=True), f"{OPTIONS}.timeout must be a number above 0, not true or false"),
    (client(timeout={"read": 3}), f"{OPTIONS}.timeout must be a number above 0, not an object"),
    (client(max_retries=1.5), f"{OPTIONS}.max_retries must be a whole number of at least 0, not a number"),
    (client(max_retries=-1), f"{OPTIONS}.max_retries must be a whole number of at least 0, not -1"),
    (client(default_headers=["a: b"]), f"{OPTIONS}.default_headers must be an object, not a list"),
    (client(default_headers={"a": 1}), f"{OPTIONS}.default_headers: 'a' and its value must be text"),
    (client(default_headers={"a b": "c"}), f"{OPTIONS}.default_headers: 'a b' and its value must be text"),
    (client(default_headers={"a": f"{KEY}\n"}), f"{OPTIONS}.default_headers: 'a' and its value must be"),
    (client(default_query="a=b"), f"{OPTIONS}.default_query must be an object, not text"),
    (client(organization=7), f"{OPTIONS}.organization must be text, not a number"),
    (client(project=""), f"{OPTIONS}.project must be text, not empty"),
    (client(base_url="runs.example.com"), f"{OPTIONS}.base_url has no scheme"),
    (client(time_out=3), f"{OPTIONS}.time_out is not an option of the client; write 'timeout'"),
    (client(whatever=3), f"{OPTIONS}.whatever is not an option of the client; leave it out"),
    (client(http_client={}), f"{OPTIONS}.http_client is not an option of the client; for a proxy, set"),
    (client(api_version="1"), f"{OPTIONS}.api_version is in the wrong place; write it one level up"),
    (client(proxy="http://p"), f"{OPTIONS}.proxy is in the wrong place; write it one level up"),
    ({"extra": {"proxy": f"http://me:{KEY}@[::1:3128"}}, "extra proxy is not a URL"),
    ({"extra": {"proxy": "proxy:3128"}}, "extra proxy is not a URL; write one such as http://proxy.example"),
    ({"extra": {"proxy": f"socks5://me:{KEY}@p"}}, "extra proxy is not a URL"),
    ({"extra": {"proxy": 3128}}, "extra proxy must be text, not a number"),
    ({"extra": {"run_link_template": "javascript:{run_id}"}}, "extra run_link_template must be a URL"),
    ({"extra": {"identity_provider_id": "i"}}, "extra identity_provider_id is used only with"),
    ({"extra": {"auth_type": "workload_identity"}}, "Missing required 'identity_provider_id'"),
    ({"extra": {**IDENTITY, "service_account_id": 7}}, "extra service_account_id must be text"),
    ({"extra": {**IDENTITY, "workload_identity_provider": "aws"}}, "Unsupported workload_identity_provider"),
    ({"extra": {**IDENTITY, "workload_identity_provider": "custom"}}, "Missing required 'token_provider'"),
    ({"extra": {**IDENTITY, "token_provider": 7}}, "extra token_provider must be text, not a number"),
    ({"extra": {**IDENTITY, "refresh_buffer_seconds": "1"}}, "extra refresh_buffer_seconds must be a number"),
    ({"host": AZURE, "extra": ENTRA}, "password (the API key) is set, but extra auth_type 'azure_entra_id'"),
    ({"host": None, "password": None, "extra": ENTRA}, "host is empty, but extra auth_type"),
    ({"host": "https://api.openai.com/v1", "password": None, "extra": ENTRA}, "host is OpenAI's, but extra"),
    ({"host": None, **version("2024-10-21")}, "host is empty, but extra azure_api_version"),
    ({"extra": {"azure_api_version": 20241021}}, "extra azure_api_version must be text"),
    ({"extra": {"azure_scope": "x"}}, "extra azure_scope is used only with"),
    ({"extra": {"api_version": "2024-10-21"}}, "extra api_version is used only with"),
    ({"host": AZURE, "password": None, "extra": {**ENTRA, "azure_scope": 1}}, "extra azure_scope must be"),
    ({"host": "https://r.openai.azure.com/openai"}, "extra azure_api_version is missing, but the host's"),
    ({"host": "https://r.services.ai.azure.com/api/projects/p"}, "extra azure_api_version is missing"),
    ({"host": f"{AZURE[:-3]}/deployments/gpt", **version("2024-10-21")}, "host ends in a deployment"),
    ({"host": AZURE, **version("2024-10-21")}, "extra azure_api_version is"),
    (
        {"host": AZURE, **version("v1", **client(default_query={"api-version": "v2"})["extra"])},
        "extra azure_api_version and default_query's 'api-version' differ",
    ),
]


def get_run() -> None:
    OpenAIRunHook(CONN_ID).get_run("resp_1")


def aget_run() -> None:
    asyncio.run(OpenAIRunHook(CONN_ID).aget_run("resp_1"))


@pytest.mark.parametrize(("fields", "beginning"), WRONG)
def test_a_wrong_field_raises_one_sentence_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], beginning: str
) -> None:
    connect(monkeypatch, **{"host": HOST, "password": KEY, **fields})
    messages = set()
    for request_run in (get_run, aget_run):
        with pytest.raises(InvalidConnectionError) as caught:
            request_run()
        messages.add(str(caught.value))
        assert caught.value.__cause__ is None
        assert not caught.value.is_retryable
    (message,) = messages
    assert f"{message} ".startswith(f"Connection 'openai_here': {beginning}")
    assert message.endswith(".")
    assert "\n" not in message
    assert KEY not in message + caplog.text


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (
            "{'auth_type': 'api_key'}",
            "extra is not valid JSON at line 1, column 2; write an object, such as {}",
        ),
        ("[]", "extra must be an object, not a list"),
        ('"text"', "extra must be an object, not text"),
    ],
)
def test_an_extra_that_is_not_an_object_raises(extra: str, expected: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_settings(Connection(extra=extra))
    assert str(caught.value) == expected


def test_a_blank_extra_is_an_empty_one() -> None:
    assert parse_settings(Connection(extra=" \n")).options == {}


@pytest.mark.parametrize("path", ["no.such.module", "tests.fake_http_server.no_such_name", "nodots"])
def test_a_token_provider_that_cannot_be_imported_raises(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    extra = {**IDENTITY, "workload_identity_provider": "custom", "token_provider": path}
    connect(monkeypatch, host=HOST, extra=extra)
    for request_run in (get_run, aget_run):
        with pytest.raises(InvalidConnectionError, match=f"'openai_here': .*{path.rpartition('.')[2]}"):
            request_run()


VALID: list[dict[str, Any]] = [
    {"host": None},
    {"host": ""},
    {"host": "https://eu.api.openai.com/v1/"},
    {"host": "http://127.0.0.1:8085"},
    {"host": "https://my-own.eastus.cloudapp.azure.com"},
    {"host": "https://gateway.example/assistants"},
    {"host": "https://[::1]:8443/v1", "port": 8443, "schema": "https"},
    {"extra": ""},
    client(timeout=None, organization=None),
    client(timeout=0.5, max_retries=0, default_query={"a": 1, "b": True}, default_headers={"x-a": "ü"}),
    {"extra": {"team": 1, "model": "gpt-5.2"}},
    {"extra": {**IDENTITY, "refresh_buffer_seconds": 30}},
    {"extra": {**IDENTITY, "workload_identity_provider": "azure", "api_version": "2018-02-01"}},
    {"password": None, "extra": {"openai_client_kwargs": {"api_key": KEY}}},
]


@pytest.mark.parametrize("fields", VALID)
def test_a_connection_of_the_official_hook_makes_the_same_client(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    connect(monkeypatch, **{"host": HOST, "password": KEY, **fields})
    ours, official = OpenAIRunHook(CONN_ID).get_conn(), OpenAIHook(CONN_ID).get_conn()
    assert str(ours.base_url) == str(official.base_url)
    for name in ("api_key", "organization", "project", "timeout", "max_retries", "default_query"):
        assert getattr(ours, name) == getattr(official, name)
    assert ours._custom_headers == official._custom_headers
    ours.close()
    official.close()


OURS = {
    "proxy": "http://proxy.example:3128",
    "run_link_template": "https://console.example/{run_id}",
    "azure_api_version": "2024-05-01-preview",
}


def test_the_official_hook_ignores_our_extras(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra=OURS)
    hook = OpenAIHook(CONN_ID)
    hook.get_response("resp_1")
    hook.conn.close()
    assert [request.path for request in server.requests] == ["/v1/responses/resp_1"]


def test_the_official_hook_refuses_entra_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    connect(monkeypatch, host=AZURE, extra=ENTRA)
    with pytest.raises(ValueError, match="azure_entra_id"):
        OpenAIHook(CONN_ID).get_conn()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_ADMIN_KEY"])
def test_a_key_from_the_environment_is_left_to_the_client(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)
    assert parse_settings(Connection(password=None)).api_key is None


def test_the_repr_of_settings_holds_no_secret() -> None:
    extra = {
        "proxy": f"http://me:{KEY}@proxy.example",
        "openai_client_kwargs": {"default_headers": {"x-key": KEY}},
    }
    settings = parse_settings(Connection(extra=json.dumps(extra)))
    assert settings.proxy == extra["proxy"]
    assert KEY not in repr(settings)


def test_unused_extras_are_listed() -> None:
    extra = json.dumps({"team": 1, "model": "m", "proxy": "http://proxy.example"})
    assert parse_settings(Connection(extra=extra)).unused_extras == ("model", "team")


def test_the_secrets_are_keys_header_values_and_the_proxys_password() -> None:
    headers = {"X-Gateway": "gateway-secret", "api-key": "k-1234"}
    options = {"default_headers": headers, "webhook_secret": "wh"}
    extra = {"proxy": "http://user:p%40ss@proxy.example:3128", "openai_client_kwargs": options}
    settings = parse_settings(Connection(extra=json.dumps(extra)))
    assert settings.secrets == (KEY, "wh", "p%40ss", "p@ss", "gateway-secret", "k-1234")
