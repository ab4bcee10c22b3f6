"""The address of a run's page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_openai_run.connection.run_url import checked_template, run_url
from airflow_provider_openai_run.types.run_ref import RunRef

RESPONSE = RunRef("responses", "resp_1")
RUN = RunRef("assistants", "run_1", "thread_1")
TEMPLATE = "https://console.example/runs/{run_id}?thread={thread_id}"


@pytest.mark.parametrize(
    ("ref", "base_url", "link"),
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
def test_a_run_has_a_page_where_its_vendor_has_a_console(
    ref: RunRef, base_url: str, link: str | None
) -> None:
    assert run_url(ref, base_url) == link


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8085/v1", "https://api.openai.com/v1"])
def test_a_template_goes_before_any_vendors_page(base_url: str) -> None:
    assert run_url(RUN, base_url, TEMPLATE) == "https://console.example/runs/run_1?thread=thread_1"
    assert run_url(RESPONSE, base_url, TEMPLATE) == "https://console.example/runs/resp_1?thread="


@pytest.mark.parametrize("hostile", ["a&b=c", "<script>", '"onload=1', "é:@", "{run_id}"])
def test_an_id_stays_one_part_of_the_address(hostile: str) -> None:
    link = run_url(RunRef("assistants", hostile, hostile), "http://runs.example/v1", TEMPLATE)
    assert link is not None
    parts = urlsplit(link)
    assert (parts.hostname, parts.path.count("/"), parts.query.count("&")) == ("console.example", 2, 0)
    assert not set(link) & set("<>\"'{} ")
    openai = run_url(RunRef("responses", hostile), "https://api.openai.com/v1") or ""
    assert openai.count("/") == 4
    assert openai.isascii()


@pytest.mark.parametrize(
    "template",
    [TEMPLATE, "http://127.0.0.1/{run_id}", "https://ai.azure.com/x?wsid=/s/1&t={thread_id}", None],
)
def test_a_template_is_taken_as_it_is(template: str | None) -> None:
    assert checked_template(template) == template


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (7, "must be text"),
        ("", "holds neither"),
        ("https://console.example/", "holds neither"),
        ("https://console.example/{run}", "no other braces"),
        ("https://console.example/{run_id!r}", "no other braces"),
        ("https://console.example/{run_id:>9999999}", "no other braces"),
        ("https://console.example/{run_id.__class__}", "no other braces"),
        ("https://console.example/{0}", "no other braces"),
        ("https://console.example/{}", "no other braces"),
        ("https://console.example/{run_id", "brace without its other half"),
        ("https://console.example/run_id}", "brace without its other half"),
        ("javascript:alert('{run_id}')", "must begin with https://"),
        ("data:text/html,{run_id}", "must begin with https://"),
        ("//console.example/{run_id}", "must begin with https://"),
        ("https:///{run_id}", "must begin with https://"),
        ("https://{run_id}.example/", "must begin with https://"),
        ("https://console.example/{run_id} x", "must begin with https://"),
        ("https://console.example/{run_id}\n", "must begin with https://"),
        ("https://[::1/{run_id}", "must begin with https://"),
    ],
)
def test_a_template_that_makes_no_address_is_refused(template: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"extra run_link_template .*{said}"):
        checked_template(template)
