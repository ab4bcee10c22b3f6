"""The URL of a run's page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_openai_run.connection.run_url import parse_link_template, run_url
from airflow_provider_openai_run.types.run_ref import RunRef

RESPONSE = RunRef("responses", "resp_1")
RUN = RunRef("assistants", "run_1", "thread_1")
TEMPLATE = "https://console.example/runs/{run_id}?thread={thread_id}"


@pytest.mark.parametrize(
    ("ref", "base_url", "url"),
    [
        (RESPONSE, "https://api.openai.com/v1/", "https://platform.openai.com/logs/resp_1"),
        (RESPONSE, "https://eu.api.openai.com/v1/", "https://platform.openai.com/logs/resp_1"),
        (RUN, "https://api.openai.com/v1/", None),
        (RUN, "https://r.services.ai.azure.com/api/projects/p", "https://ai.azure.com/"),
        (RESPONSE, "https://r.openai.azure.com/openai/v1/", "https://ai.azure.com/"),
        (RESPONSE, "https://r.openai.azure.us/openai/v1/", "https://ai.azure.us/"),
        (RESPONSE, "https://r.openai.azure.cn/openai/v1/", None),
        (RESPONSE, "https://api.openai.com.example/v1", None),
        (RESPONSE, "https://azure.com.example/v1", None),
        (RESPONSE, "https://my-own.eastus.cloudapp.azure.com/v1", None),
        (RESPONSE, "http://127.0.0.1:8085/v1", None),
        (RESPONSE, "", None),
    ],
)
def test_the_url_depends_on_the_endpoint(ref: RunRef, base_url: str, url: str | None) -> None:
    assert run_url(ref, base_url) == url


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8085/v1", "https://api.openai.com/v1"])
def test_a_template_overrides_the_vendors_page(base_url: str) -> None:
    assert run_url(RUN, base_url, TEMPLATE) == "https://console.example/runs/run_1?thread=thread_1"
    assert run_url(RESPONSE, base_url, TEMPLATE) == "https://console.example/runs/resp_1?thread="


@pytest.mark.parametrize("hostile", ["a&b=c", "<script>", '"onload=1', "é:@", "{run_id}"])
def test_ids_are_quoted(hostile: str) -> None:
    url = run_url(RunRef("assistants", hostile, hostile), "http://runs.example/v1", TEMPLATE)
    assert url is not None
    parts = urlsplit(url)
    assert (parts.hostname, parts.path.count("/"), parts.query.count("&")) == ("console.example", 2, 0)
    assert not set(url) & set("<>\"'{} ")
    openai = run_url(RunRef("responses", hostile), "https://api.openai.com/v1") or ""
    assert openai.count("/") == 4
    assert openai.isascii()


@pytest.mark.parametrize(
    "template",
    [TEMPLATE, "http://127.0.0.1/{run_id}", "https://ai.azure.com/x?wsid=/s/1&t={thread_id}", None],
)
def test_a_valid_template_is_returned_unchanged(template: str | None) -> None:
    assert parse_link_template(template) == template


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (7, "must be text, not a number"),
        ("", "must be text, not empty"),
        ("https://console.example/", "must contain"),
        ("https://console.example/{run}", "no other braces"),
        ("https://console.example/{run_id!r}", "no other braces"),
        ("https://console.example/{run_id:>9999999}", "no other braces"),
        ("https://console.example/{run_id.__class__}", "no other braces"),
        ("https://console.example/{0}", "no other braces"),
        ("https://console.example/{}", "no other braces"),
        ("https://console.example/{run_id", "unmatched brace"),
        ("https://console.example/run_id}", "unmatched brace"),
        ("javascript:alert('{run_id}')", "must be a URL with https://"),
        ("data:text/html,{run_id}", "must be a URL with https://"),
        ("//console.example/{run_id}", "must be a URL with https://"),
        ("https:///{run_id}", "must be a URL with https://"),
        ("https://{run_id}.example/", "must be a URL with https://"),
        ("https://console.example/{run_id} x", "must be a URL with https://"),
        ("https://console.example/{run_id}\n", "must be a URL with https://"),
        ("https://[::1/{run_id}", "must be a URL with https://"),
    ],
)
def test_an_invalid_template_raises(template: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"extra run_link_template .*{expected}"):
        parse_link_template(template)
