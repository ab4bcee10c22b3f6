"""The page as HTML: whatever stands in XCom, it is text."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.run_page.rendering import MOST_STEPS, MOST_TEXT, rendered, text_of
from airflow_provider_openai_run.run_page.xcom_data import ATTRIBUTES
from airflow_provider_openai_run.types.run import Run
from tests.browser.hostile import ATTACKS, EVERYTHING
from tests.json_strategies import json_values
from tests.run_page.pages import NOW, RUN, Page, task, view
from tests.run_strategies import runs

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"
QUICK_SECONDS = 4.0
#: What the templates are made of.
OURS = frozenset(
    (
        *("html", "head", "meta", "title", "script", "link", "body", "main", "section", "header", "div"),
        *("span", "dl", "dt", "dd", "bdi", "button", "svg", "path", "time", "p", "h1", "h2", "h3", "h4"),
        *("pre", "code", "details", "summary", "a", "rect", "line", "text", "ol", "ul", "li", "strong"),
    )
)
slowly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_is_ours(page: Page) -> None:
    assert set(page.tags) <= OURS
    assert page.tags.count("script") == 2
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"style", "srcdoc"}]
    links = [value or "" for name, value in page.attributes if name in {"href", "src"}]
    assert all(link.startswith(("#step-", "static/")) for link in links)


@slowly
@given(runs)
def test_any_run_makes_a_page_of_our_own_elements(run: Run) -> None:
    assert_is_ours(Page(view({"return_value": run.to_xcom()})))


@slowly
@given(st.dictionaries(st.sampled_from([*ATTRIBUTES, "return_value", PROGRESS_KEY, "answer"]), json_values))
def test_any_json_makes_a_page_of_our_own_elements(xcoms: dict[str, Any]) -> None:
    assert_is_ours(Page(view(xcoms)))


@slowly
@given(st.sampled_from([*RUN, "incomplete_details", "answer", "expires_at", "conversation_id"]), json_values)
def test_any_json_for_one_attribute_makes_a_page(name: str, value: Any) -> None:
    assert_is_ours(Page(view({"return_value": {**RUN, name: value}})))
    assert_is_ours(Page(view({**RUN, name: value}, facts=task(state="deferred"))))


@slowly
@given(
    st.sampled_from(["run", "statuses", "seen_at", "request_id", "reason", "error"]),
    json_values,
    st.sampled_from([*RUN, "required_action"]),
)
def test_any_json_that_was_published_makes_a_page(part: str, value: Any, name: str) -> None:
    whole = {"run": RUN, "statuses": [{"status": value, "at": value}, value], "seen_at": NOW}
    facts = task(state="deferred")
    for published in (value, {**whole, part: value}, {**whole, "run": {**RUN, name: value}}):
        assert_is_ours(Page(view({PROGRESS_KEY: published, "token_usage": value}, facts=facts)))


@slowly
@given(json_values)
def test_any_json_for_steps_and_action_makes_a_page(value: Any) -> None:
    assert_is_ours(Page(view(steps=[value, {"details": value}], required_action=value, last_error=value)))


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_is_shown_as_text(attack: str) -> None:
    details = {"type": "function_call", "name": attack, "arguments": attack}
    step = {"id": attack, "type": attack, "status": attack, "details": json.dumps(details)}
    page = Page(view(model=attack, steps=[step], last_error={"code": attack, "message": attack}))
    assert_is_ours(page)
    assert " ".join(attack.replace("\x00", "").split()) in " ".join(page.text.replace("\x00", "").split())


def test_hostile_text_in_what_was_published_is_text_too() -> None:
    run = {**RUN, "status": EVERYTHING, "model": EVERYTHING}
    value = {
        "run": run,
        "statuses": [{"status": EVERYTHING, "at": NOW}],
        "reason": EVERYTHING,
        "request_id": EVERYTHING,
    }
    assert_is_ours(Page(view({PROGRESS_KEY: value}, facts=task(state="deferred"))))


def test_half_of_a_surrogate_pair_makes_a_page() -> None:
    assert "?" in Page(view(model="\ud800")).text


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/recorded is not there")
def test_every_recorded_response_makes_a_page() -> None:
    made = 0
    for path in sorted((RECORDED / "response").glob("*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        run = get_api("responses").read_run(body.get("response", body))
        page = Page(view({"return_value": run.to_xcom()}))
        assert_is_ours(page)
        assert run.id in page.text
        made += 1
    assert made > 50


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/recorded is not there")
def test_every_recorded_list_of_steps_makes_a_page_with_a_timeline() -> None:
    for path in sorted((RECORDED / "steps").glob("*.json")):
        steps = json.loads(path.read_text(encoding="utf-8")).get("data", [])
        shown = view(steps=[{**step, "details": json.dumps(step["step_details"])} for step in steps])
        assert_is_ours(Page(shown))
        assert (shown.timeline is not None) == bool(steps)


def test_a_thousand_steps_and_five_megabytes_are_a_small_page_soon() -> None:
    logs = "0123456789" * 500
    call = {
        "type": "code_interpreter",
        "code_interpreter": {"input": "x", "outputs": [{"type": "logs", "logs": logs}]},
    }
    details = json.dumps({"type": "tool_calls", "tool_calls": [call]})
    steps = [
        {"id": f"step_{n}", "created_at": NOW - 100, "completed_at": NOW - 99, "details": details}
        for n in range(1000)
    ]
    began = time.process_time()
    page = Page(view(steps=steps))
    assert time.process_time() - began < QUICK_SECONDS
    assert len(page.html) < 1_500_000
    assert page.tags.count("li") == 1000 + 3
    assert logs[:100] not in page.html


def test_few_steps_are_there_at_once_and_many_are_fetched() -> None:
    step = {
        "details": json.dumps(
            {"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]}
        )
    }
    assert "data-step" not in Page(view(steps=[step] * MOST_STEPS)).html
    many = Page(view(steps=[step] * (MOST_STEPS + 1)))
    assert ("data-step", "31") in many.attributes


def test_of_a_long_text_the_page_has_the_beginning_and_a_button_for_all() -> None:
    answer = "word " * 10_000
    shown = view({"return_value": {**RUN, "answer": answer}})
    page = Page(shown)
    assert ("data-text", "answer") in page.attributes
    assert len(page.html) < 10 * MOST_TEXT
    assert text_of(shown, "answer") == answer


@pytest.mark.parametrize("name", ["answer", "step-1-0", "error-0", "call-0"])
def test_each_long_text_can_be_had_in_full_under_the_name_the_page_gives_it(name: str) -> None:
    long = "x" * (MOST_TEXT + 1)
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": long}}
    shown = view(
        {
            "return_value": {
                **RUN,
                "answer": long,
                "steps": [{"details": json.dumps({"type": "program", "code": long})}],
                "last_error": {"message": long},
                "required_action": {"submit_tool_outputs": {"tool_calls": [call]}},
            }
        }
    )
    assert ("data-text", name) in Page(shown).attributes
    assert text_of(shown, name) == long


@pytest.mark.parametrize(
    "name", ["", "answer-1", "step-9-9", "step-0-0", "step-x-1", "call-7", "error--1", "nothing"]
)
def test_a_text_that_is_not_there_is_none(name: str) -> None:
    assert text_of(view(), name) is None


def test_a_step_is_a_piece_of_a_page() -> None:
    shown = view(steps=[{"details": json.dumps({"type": "program", "code": "<b>1</b>"})}])
    assert shown.steps is not None
    assert "&lt;b&gt;1&lt;/b&gt;" in rendered("step.html", NOW, step=shown.steps[0]).decode()
