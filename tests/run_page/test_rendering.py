"""The HTML of the page: XCom values of any kind are shown as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_openai_run.api.registry import get_api
from airflow_provider_openai_run.links.openai_run import LINK_KEY
from airflow_provider_openai_run.owned_runs.rounds import ROUNDS_KEY
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.run_page.markdown import MAX_CHARACTERS
from airflow_provider_openai_run.run_page.rendering import (
    MAX_INLINE_STEPS,
    MAX_TEXT_LENGTH,
    find_text,
    render,
)
from airflow_provider_openai_run.run_page.view import build_view
from airflow_provider_openai_run.run_page.xcom_data import ATTRIBUTES
from airflow_provider_openai_run.types.run import Run
from tests.browser.hostile import ATTACKS, EVERYTHING, MARKDOWN_ATTACKS
from tests.json_strategies import json_values
from tests.run_page.pages import NOW, RUN, ParsedPage, make_task, make_view
from tests.run_strategies import runs

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"
#: The elements that the templates use.
TEMPLATE_TAGS = frozenset(
    (
        *("html", "head", "meta", "title", "script", "link", "body", "main", "section", "header", "div"),
        *("span", "dl", "dt", "dd", "bdi", "button", "svg", "path", "time", "p", "h1", "h2", "h3", "h4"),
        *("pre", "code", "details", "summary", "a", "rect", "line", "text", "ol", "ul", "li", "strong"),
        *("nav", "form", "label", "input", "table", "thead", "tbody", "tr", "th", "td"),
    )
)
#: The elements that Markdown can become, beside those of the templates.
MARKDOWN_TAGS = frozenset(
    (
        *("em", "s", "hr", "br", "blockquote", "h5", "h6"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    )
)
#: Where the page's own links lead.
OWN_LINKS = ("#step-", "#round", "#after-steps", "static/", "../../../../dags/")
without_deadline = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_is_safe(page: ParsedPage) -> None:
    assert set(page.tags) <= TEMPLATE_TAGS | MARKDOWN_TAGS
    assert page.tags.count("script") == 2
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"style", "srcdoc"}]
    sources = [value or "" for name, value in page.attributes if name in {"href", "src"}]
    away = [link for link in sources if not link.startswith(OWN_LINKS)]
    assert all(link.lower().startswith(("https://", "http://")) for link in away)
    links = [link for link in page.links if link["href"] in away]
    assert len(links) == len(away)
    assert all("noopener noreferrer" in str(link["rel"]) for link in links)


@without_deadline
@given(runs)
def test_any_run_renders_with_template_elements_only(run: Run) -> None:
    assert_is_safe(ParsedPage(make_view({"return_value": run.to_xcom()})))


@without_deadline
@given(st.dictionaries(st.sampled_from([*ATTRIBUTES, "return_value", PROGRESS_KEY, "answer"]), json_values))
def test_any_xcoms_render_with_template_elements_only(xcoms: dict[str, Any]) -> None:
    assert_is_safe(ParsedPage(make_view(xcoms)))


@without_deadline
@given(st.sampled_from([*RUN, "incomplete_details", "answer", "expires_at", "conversation_id"]), json_values)
def test_an_attribute_with_any_json_renders(name: str, value: Any) -> None:
    assert_is_safe(ParsedPage(make_view({"return_value": {**RUN, name: value}})))
    assert_is_safe(ParsedPage(make_view({**RUN, name: value}, task=make_task(state="deferred"))))


@without_deadline
@given(
    st.sampled_from(["run", "statuses", "polled_at", "request_id", "reason", "error"]),
    json_values,
    st.sampled_from([*RUN, "required_action"]),
)
def test_progress_with_any_json_renders(part: str, value: Any, name: str) -> None:
    progress = {"run": RUN, "statuses": [{"status": value, "at": value}, value], "polled_at": NOW}
    task = make_task(state="deferred")
    for progress_value in (value, {**progress, part: value}, {**progress, "run": {**RUN, name: value}}):
        assert_is_safe(ParsedPage(make_view({PROGRESS_KEY: progress_value, "token_usage": value}, task=task)))


@without_deadline
@given(json_values)
def test_steps_and_required_action_with_any_json_render(value: Any) -> None:
    assert_is_safe(
        ParsedPage(make_view(steps=[value, {"details": value}], required_action=value, last_error=value))
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_is_shown_as_text(attack: str) -> None:
    details = {"type": "function_call", "name": attack, "arguments": attack}
    step = {"id": attack, "type": attack, "status": attack, "details": json.dumps(details)}
    call = {"id": attack, "name": attack, "arguments": attack, "output": attack, "server_label": attack}
    rounds = [{"run_id": attack, "calls": [call]}]
    attributes = {"model": attack, "instructions": attack, "metadata": {attack: attack}, "refusal": attack}
    run = {**RUN, **attributes, "steps": [step], "last_error": {"code": attack, "message": attack}}
    values: dict[str, Any] = {"return_value": run, ROUNDS_KEY: rounds, LINK_KEY: attack}
    rendered: dict[str, Any] = {"input": attack, "thread": {attack: attack}}
    page = ParsedPage(build_view(values, make_task(), NOW, rendered=rendered))
    assert_is_safe(page)
    assert not page.links_to_web
    assert " ".join(attack.replace("\x00", "").split()) in " ".join(page.text.replace("\x00", "").split())


@pytest.mark.parametrize("attack", [*ATTACKS, *MARKDOWN_ATTACKS])
def test_hostile_markdown_in_an_answer_becomes_no_script(attack: str) -> None:
    page = ParsedPage(make_view({"return_value": {**RUN, "answer": f"# Title\n\n{attack}\n"}}))
    assert_is_safe(page)
    assert "Title" in page.text


@without_deadline
@given(st.text(alphabet="<>[]()!`*_#|-:\\\n\t &;\"'=/ajshtp.", max_size=200))
def test_any_answer_renders_with_safe_elements_only(answer: str) -> None:
    assert_is_safe(ParsedPage(make_view({"return_value": {**RUN, "answer": answer}})))


@without_deadline
@given(json_values)
def test_rounds_and_rendered_fields_with_any_json_render(value: Any) -> None:
    rounds = [value, {"calls": [value, {"name": value, "output": value, "approved": value}], "usage": value}]
    xcoms = {"return_value": {**RUN, "refusal": value}, LINK_KEY: value}
    rendered = dict.fromkeys(("input", "thread", "instructions", "tools", "metadata"), value)
    for entry in (value, rounds):
        view = build_view({**xcoms, ROUNDS_KEY: entry}, make_task(), NOW, rendered=rendered)
        assert_is_safe(ParsedPage(view))


def test_hostile_text_in_the_progress_is_shown_as_text() -> None:
    run = {**RUN, "status": EVERYTHING, "model": EVERYTHING}
    value = {
        "run": run,
        "statuses": [{"status": EVERYTHING, "at": NOW}],
        "reason": EVERYTHING,
        "request_id": EVERYTHING,
    }
    assert_is_safe(ParsedPage(make_view({PROGRESS_KEY: value}, task=make_task(state="deferred"))))


def test_a_lone_surrogate_is_replaced_on_the_page() -> None:
    assert "?" in ParsedPage(make_view(model="\ud800")).text


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/recorded is not there")
def test_every_recorded_response_renders() -> None:
    count = 0
    for path in sorted((RECORDED / "response").glob("*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        run = get_api("responses").read_run(body.get("response", body))
        page = ParsedPage(make_view({"return_value": run.to_xcom()}))
        assert_is_safe(page)
        assert run.id in page.text
        count += 1
    assert count > 50


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/recorded is not there")
def test_every_recorded_list_of_steps_renders_with_a_timeline() -> None:
    for path in sorted((RECORDED / "steps").glob("*.json")):
        steps = json.loads(path.read_text(encoding="utf-8")).get("data", [])
        view = make_view(steps=[{**step, "details": json.dumps(step["step_details"])} for step in steps])
        assert_is_safe(ParsedPage(view))
        assert (view.timeline is not None) == bool(steps)


def test_a_thousand_steps_with_five_megabytes_render_as_a_small_page() -> None:
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
    page = ParsedPage(make_view(steps=steps))
    assert len(page.html) < 1_500_000
    assert page.tags.count("li") == 1000 + 3
    assert logs[:100] not in page.html


def test_few_steps_are_inline_and_many_are_loaded_on_demand() -> None:
    step = {
        "details": json.dumps(
            {"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]}
        )
    }
    assert "data-load-step" not in ParsedPage(make_view(steps=[step] * MAX_INLINE_STEPS)).html
    many = ParsedPage(make_view(steps=[step] * (MAX_INLINE_STEPS + 1)))
    assert ("data-load-step", "31") in many.attributes


def test_a_long_text_is_shortened_with_a_button_to_load_all_of_it() -> None:
    answer = "word " * 10_000
    view = make_view({"return_value": {**RUN, "answer": answer, "refusal": answer}})
    page = ParsedPage(view)
    assert ("data-load-text", "answer") in page.attributes
    assert ("data-load-text", "refusal") in page.attributes
    assert len(page.html) < 10 * MAX_TEXT_LENGTH
    assert find_text(view, "answer") == answer


@pytest.mark.parametrize(
    "name",
    [
        *("answer", "refusal", "step-1-0", "error-0", "call-0", "input-0"),
        *("arguments-0-0", "output-0-0"),
    ],
)
def test_each_long_text_is_found_by_the_name_on_its_button(name: str) -> None:
    long = "x" * (MAX_CHARACTERS + 1)
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": long}}
    view = make_view(
        {
            "return_value": {
                **RUN,
                "answer": {"text": long} if name != "answer" else long,
                "refusal": long,
                "instructions": long,
                "steps": [{"details": json.dumps({"type": "program", "code": long})}],
                "last_error": {"message": long},
                "required_action": {"submit_tool_outputs": {"tool_calls": [call]}},
            },
            ROUNDS_KEY: [{"run_id": "resp_1", "calls": [{"name": "f", "arguments": long, "output": long}]}],
        }
    )
    assert ("data-load-text", name) in ParsedPage(view).attributes
    assert find_text(view, name) == long


@pytest.mark.parametrize(
    "name",
    [
        *("", "answer-1", "step-9-9", "step-0-0", "step-x-1", "call-7", "error--1", "nothing"),
        *("refusal", "input-0", "arguments-0-0", "output-1-0"),
    ],
)
def test_an_unknown_text_name_returns_none(name: str) -> None:
    assert find_text(make_view(), name) is None


def test_a_step_renders_as_a_fragment() -> None:
    view = make_view(steps=[{"details": json.dumps({"type": "program", "code": "<b>1</b>"})}])
    assert view.steps is not None
    assert "&lt;b&gt;1&lt;/b&gt;" in render("step.html", NOW, step=view.steps[0]).decode()
