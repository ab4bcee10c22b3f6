from __future__ import annotations

import json
from typing import Any

from airflow_provider_openai_run.run_page.step_list import build_step_list, search_steps
from airflow_provider_openai_run.run_page.steps import StepView, read_steps
from tests.run_page.pages import NOW, ParsedPage, make_view


def make_steps(*values: dict[str, Any]) -> tuple[StepView, ...]:
    steps = read_steps(list(values))
    assert steps is not None
    return steps


def make_step(code: str, **values: Any) -> dict[str, Any]:
    return {"status": "completed", "details": json.dumps({"type": "program", "code": code}), **values}


THOUSAND = [make_step(f"print({number})") for number in range(1000)]
THOUSAND[616] = make_step("crash()", status="failed", last_error={"code": "server_error", "message": "Sorry"})


def test_one_failed_step_of_a_thousand_is_named() -> None:
    found = build_step_list(make_steps(*THOUSAND))
    assert ([step.number for step in found.failed], found.failed_count) == ([617], 1)
    assert [(item.status, item.count) for item in found.counts] == [("completed", 999)]
    page = ParsedPage(make_view(steps=THOUSAND))
    assert "1 step failed:" in page.text
    assert "617. Program: server_error: Sorry" in page.text
    assert {"href": "#step-617"} in page.links


def test_a_step_with_an_error_has_failed_whatever_its_status() -> None:
    call = {"type": "mcp_call", "name": "roll", "arguments": "{}", "error": "no dice"}
    steps = make_steps(
        make_step("1", last_error={"message": "Sorry"}),
        {"status": "completed", "details": json.dumps(call)},
        make_step("2"),
    )
    assert [step.has_failed for step in steps] == [True, True, False]


def test_only_columns_with_values_are_drawn() -> None:
    page = ParsedPage(make_view(steps=[{"details": '{"type": "program", "code": "1"}'}]))
    for name in ("Duration", "Tokens", "Status", "Time", "Order"):
        assert f">{name}</span>" not in page.html
    times = {"created_at": NOW - 90, "completed_at": NOW - 80, "usage": {"total_tokens": 3}}
    full = ParsedPage(make_view(steps=[make_step("1", **times)]))
    for name in ("Duration", "Tokens", "Status", "Time"):
        assert f">{name}</span>" in full.html


def test_a_search_finds_titles_errors_and_content() -> None:
    steps = make_steps(*THOUSAND, {"details": json.dumps({"type": "message", "content": "Grüße AUS Oslo"})})
    assert search_steps(steps, "print(123)") == [124]
    assert search_steps(steps, "SERVER_error") == [617]
    assert search_steps(steps, "aus oslo") == [1001]
    assert search_steps(steps, "nowhere") == []


def test_few_steps_have_no_filters() -> None:
    assert "data-filters" not in ParsedPage(make_view(steps=THOUSAND[:9])).html
    assert "data-filters" in ParsedPage(make_view(steps=THOUSAND[:10])).html
