"""What is wrong with a connection is one sentence with the field, before anything is sent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.openai.hooks.openai import OpenAIHook

from airflow_provider_openai_run.connection import settings
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
class Fields:
    """A connection as Airflow gives it."""

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


#: Fields of the connection; how the sentence begins.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"password": None}, "password (the API key) is missing"),
    ({"password": ""}, "password (the API key) is missing"),
    ({"password": f"{KEY}\n"}, "password (the API key) begins or ends with white space"),
    ({"password": f"Bearer {KEY}"}, "password (the API key) begins with 'Bearer'"),
    ({"password": f"{KEY}\u2026"}, "password (the API key) holds characters"),
    ({"password": f"{KEY[:9]}\n{KEY[9:]}"}, "password (the API key) holds characters"),
    (client(api_key=7), "extra openai_client_kwargs.api_key must be text, not a number"),
    ({"host": "runs.example.com/v1"}, "host has no scheme; write https://runs.example.com/v1"),
    ({"host": KEY}, "host has no scheme; write a whole URL"),
    ({"host": "ftp://runs.example.com"}, "host has the scheme 'ftp'"),
    ({"host": "https:///v1"}, "host names no host"),
    ({"host": " https://runs.example.com/v1"}, "host holds white space"),
    ({"host": "https://runs.example.com/v 1"}, "host holds white space"),
    ({"host": "https://runs.example.com:eighty/v1"}, "host is no URL"),
    ({"host": f"https://me:{KEY}@runs.example.com/v1"}, "host holds a user name or password"),
    ({"host": f"me:{KEY}@runs.example.com/v1"}, "host holds a user name or password"),
    ({"host": f"https://runs.example.com/v1?api-key={KEY}"}, "host ends in a query"),
    ({"host": "https://runs.example.com/v1/responses"}, "host ends in '/responses'"),
    ({"host": "https://runs.example.com/v1/chat/completions/"}, "host ends in '/chat/completions/'"),
    ({"host": "https://runs.example.com/v1/threads"}, "host ends in '/threads'"),
    ({"host": "https://runs.example.com//v1"}, "host has the path '//v1'"),
    ({"host": "https://api.openai.com"}, "host lacks the path '/v1'"),
    ({"host": "https://eu.api.openai.com/"}, "host lacks the path '/v1'; write https://eu.api.openai.com/v1"),
    ({"port": 8443}, "port is 8443, which nobody reads"),
    ({"host": None, "port": 8443}, "port is set but host is empty"),
    ({"schema": "v2"}, "schema is 'v2', which nobody reads"),
    ({"extra": {"auth_type": "magic"}}, "extra auth_type must be one of 'api_key', 'workload_identity', "),
    ({"extra": {"auth_typ": "api_key"}}, "extra 'auth_typ' is read by nobody; write 'auth_type'"),
    ({"extra": {"OpenAI-Client-kwargs": {}}}, "extra 'OpenAI-Client-kwargs' is read by nobody"),
    ({"extra": {"timeout": 3}}, "extra 'timeout' is an option of the client; put it into"),
    ({"extra": {"azure_endpoint": "x"}}, "extra 'azure_endpoint' is read by nobody; write the endpoint"),
    ({"extra": {"openai_client_kwargs": None}}, "extra openai_client_kwargs must be an object, not null"),
    ({"extra": {"openai_client_kwargs": []}}, "extra openai_client_kwargs must be an object, not a list"),
    (client(timeout="30"), "extra openai_client_kwargs.timeout must be a number, not text; write it without"),
    (client(timeout="soon"), "extra openai_client_kwargs.timeout must be a number, not text."),
    (client(timeout=0), "extra openai_client_kwargs.timeout must be more than 0"),
    (client(timeout=-1), "extra openai_client_kwargs.timeout must be at least 0"),
    (client(timeout=True), "extra openai_client_kwargs.timeout must be a number, not true or false"),
    (client(timeout={"read": 3}), "extra openai_client_kwargs.timeout must be a number, not an object"),
    (client(max_retries=1.5), "extra openai_client_kwargs.max_retries must be a whole number"),
    (client(max_retries=-1), "extra openai_client_kwargs.max_retries must be at least 0"),
    (client(default_headers=["a: b"]), "extra openai_client_kwargs.default_headers must be an object"),
    (client(default_headers={"a": 1}), "extra openai_client_kwargs.default_headers has 'a', which must be"),
    (client(default_headers={"a b": "c"}), "extra openai_client_kwargs.default_headers has 'a b', which is"),
    (client(default_headers={"a": f"{KEY}\n"}), "extra openai_client_kwargs.default_headers has 'a', which"),
    (client(default_query="a=b"), "extra openai_client_kwargs.default_query must be an object, not text"),
    (client(default_query={"a": [1]}), "extra openai_client_kwargs.default_query has 'a', which must be"),
    (client(organization=7), "extra openai_client_kwargs.organization must be text, not a number"),
    (client(project=""), "extra openai_client_kwargs.project must be text, not empty"),
    (client(base_url="runs.example.com"), "extra openai_client_kwargs.base_url has no scheme"),
    (client(time_out=3), "extra openai_client_kwargs.time_out is no option of the client; write 'timeout'"),
    (client(whatever=3), "extra openai_client_kwargs.whatever is no option of the client."),
    (client(http_client={}), "extra openai_client_kwargs.http_client is no option here"),
    (client(api_version="1"), "extra openai_client_kwargs.api_version stands in the wrong place; write it"),
    (client(proxy="http://p"), "extra openai_client_kwargs.proxy stands in the wrong place"),
    ({"extra": {"proxy": f"http://me:{KEY}@[::1:3128"}}, "extra proxy is no URL"),
    ({"extra": {"proxy": "proxy:3128"}}, "extra proxy has no scheme; write a whole URL"),
    ({"extra": {"proxy": f"socks5://me:{KEY}@p"}}, "extra proxy has the scheme 'socks5'"),
    ({"extra": {"run_link_template": "javascript:{run_id}"}}, "extra run_link_template must begin with"),
    ({"extra": {"identity_provider_id": "i"}}, "extra identity_provider_id is read only with"),
    ({"extra": {"auth_type": "workload_identity"}}, "extra 'identity_provider_id' is missing"),
    ({"extra": {**IDENTITY, "service_account_id": 7}}, "extra service_account_id must be text"),
    ({"extra": {**IDENTITY, "workload_identity_provider": "aws"}}, "extra workload_identity_provider is"),
    ({"extra": {**IDENTITY, "workload_identity_provider": "custom"}}, "extra token_provider must be text"),
    ({"extra": {**IDENTITY, "refresh_buffer_seconds": "1"}}, "extra refresh_buffer_seconds must be a number"),
    ({"host": AZURE, "extra": ENTRA}, "password (the API key) is set, and extra auth_type 'azure_entra_id'"),
    ({"host": None, "password": None, "extra": ENTRA}, "host is empty, and extra auth_type"),
    ({"host": "https://api.openai.com/v1", "password": None, "extra": ENTRA}, "host is OpenAI's, and extra"),
    ({"host": None, "extra": {"azure_api_version": "2024-10-21"}}, "host is empty, and extra"),
    ({"extra": {"azure_api_version": 20241021}}, "extra azure_api_version must be text"),
    ({"extra": {"azure_scope": "x"}}, "extra azure_scope is read only with"),
    ({"extra": {"api_version": "2024-10-21"}}, "extra api_version is for workload identity; for Azure write"),
    ({"host": AZURE, "password": None, "extra": {**ENTRA, "azure_scope": 1}}, "extra azure_scope must be"),
    ({"host": "https://r.openai.azure.com/openai"}, "extra azure_api_version is missing, which the host's"),
    (
        {"host": "https://r.services.ai.azure.com/api/projects/p"},
        "extra azure_api_version is missing, which the host's path '/api/projects/p' needs",
    ),
    ({"host": f"{AZURE[:-3]}/deployments/gpt", **version("2024-10-21")}, "host ends in a deployment"),
    ({"host": AZURE, **version("2024-10-21")}, "extra azure_api_version is"),
    (
        {"host": AZURE, **version("v1", **client(default_query={"api-version": "v2"})["extra"])},
        "extra azure_api_version and default_query's 'api-version' differ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "beginning"), WRONG)
def test_what_is_wrong_is_one_sentence_with_the_field_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], beginning: str
) -> None:
    connect(monkeypatch, **{"host": HOST, "password": KEY, **fields})
    said = set()
    for ask in (ask_now, ask_on_a_loop):
        with pytest.raises(InvalidConnectionError) as caught:
            ask()
        said.add(str(caught.value))
        assert caught.value.__cause__ is None
        assert not caught.value.is_retryable
    (sentence,) = said
    assert f"{sentence} ".startswith(f"Connection 'openai_here': {beginning}")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert KEY not in sentence + caplog.text


def ask_now() -> None:
    OpenAIRunHook(CONN_ID).get_run(run_id="resp_1")


def ask_on_a_loop() -> None:
    asyncio.run(OpenAIRunHook(CONN_ID).aget_run(run_id="resp_1"))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("{'auth_type': 'api_key'}", "extra is no JSON at line 1, column 2; write an object, such as {}"),
        ("[]", "extra is a JSON list; write an object, such as {}"),
        ('"text"', "extra is a JSON str; write an object, such as {}"),
    ],
)
def test_an_extra_that_is_no_object_is_named(extra: str, said: str) -> None:
    with pytest.raises(FieldError) as caught:
        settings.read(Fields(extra=extra))
    assert str(caught.value) == said


def test_an_extra_of_nothing_but_space_is_none() -> None:
    assert settings.read(Fields(extra=" \n")).options == {}


@pytest.mark.parametrize("broken", ["no.such.module", "tests.fake_http_server.no_such_name", "nodots"])
def test_a_token_provider_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    extra = {**IDENTITY, "workload_identity_provider": "custom", "token_provider": broken}
    connect(monkeypatch, host=HOST, extra=extra)
    for ask in (ask_now, ask_on_a_loop):
        with pytest.raises(InvalidConnectionError, match=f"'openai_here': .*{broken.rpartition('.')[2]}"):
            ask()


FINE: list[dict[str, Any]] = [
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
    {"extra": {"somebody_elses": 1, "model": "gpt-5.2"}},
    {"extra": {**IDENTITY, "refresh_buffer_seconds": 30}},
    {"extra": {**IDENTITY, "workload_identity_provider": "azure", "api_version": "2018-02-01"}},
    {"password": None, "extra": {"openai_client_kwargs": {"api_key": KEY}}},
]


@pytest.mark.parametrize("fields", FINE)
def test_what_the_official_hook_takes_is_taken(
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


def test_the_official_hook_goes_on_with_a_connection_that_has_our_extras(
    server: FakeHttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, host=f"{server.url}/v1", password=KEY, extra=OURS)
    hook = OpenAIHook(CONN_ID)
    hook.get_response("resp_1")
    hook.conn.close()
    assert [asked.path for asked in server.requests] == ["/v1/responses/resp_1"]


def test_the_official_hook_refuses_what_only_ours_can_open_and_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    connect(monkeypatch, host=AZURE, extra=ENTRA)
    with pytest.raises(ValueError, match="azure_entra_id"):
        OpenAIHook(CONN_ID).get_conn()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_ADMIN_KEY"])
def test_a_key_of_the_environment_stands_in_as_it_does_for_the_client(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, KEY)
    assert settings.read(Fields(password=None)).api_key is None


def test_the_settings_show_no_secret() -> None:
    extra = {
        "proxy": f"http://me:{KEY}@proxy.example",
        "openai_client_kwargs": {"default_headers": {"x-key": KEY}},
    }
    read = settings.read(Fields(extra=json.dumps(extra)))
    assert read.proxy == extra["proxy"]
    assert KEY not in repr(read)


def test_extras_nobody_reads_are_kept_in_mind() -> None:
    extra = json.dumps({"somebody_elses": 1, "model": "m", "proxy": "http://proxy.example"})
    assert settings.read(Fields(extra=extra)).unused_extras == ("model", "somebody_elses")


def test_a_field_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="extra"):
        raise FieldError("extra is wrong")
