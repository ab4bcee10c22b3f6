from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_openai_run.run_page.steps import StepView, read_steps

START = 1_795_000_000


def make_step(details: Any, **values: Any) -> StepView:
    steps = read_steps([{"id": "step_1", "type": "tool_calls", "details": json.dumps(details), **values}])
    assert steps is not None
    return steps[0]


def texts_by_label(step: StepView) -> dict[str, str]:
    return {block.label: block.text for block in step.content.blocks}


def make_call(kind: str, **inner: Any) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": [{"id": "call_1", "type": kind, kind: inner}]}


@pytest.mark.parametrize(
    ("details", "label", "title", "texts"),
    [
        (
            make_call("code_interpreter", input="print(1)", outputs=[{"type": "logs", "logs": "1\n"}]),
            "Code interpreter",
            "print(1)",
            {"Code": "print(1)", "Output": "1\n"},
        ),
        (
            make_call(
                "code_interpreter", input="plot()", outputs=[{"type": "image", "image": {"file_id": "f_1"}}]
            ),
            "Code interpreter",
            "plot()",
            {"Code": "plot()", "Image": "f_1"},
        ),
        (
            make_call("function", name="weather", arguments='{"city":"Oslo"}', output="rain"),
            "Function",
            "weather",
            {"Arguments": '{\n  "city": "Oslo"\n}', "Output": "rain"},
        ),
        (
            make_call(
                "file_search", results=[{"file_name": "a.txt", "score": 0.5, "content": [{"text": "A"}]}]
            ),
            "File search",
            "A",
            {"Hit 1: a.txt, score 0.500": "A"},
        ),
        (
            {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
            "Message",
            "Hello",
            {"Text": "Hello"},
        ),
        (
            {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
            "Message",
            "No.",
            {"Refusal": "No."},
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Because."}]},
            "Reasoning",
            "Because.",
            {"Summary": "Because."},
        ),
        (
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1"},
            "Function",
            "f",
            {"Arguments": "{}"},
        ),
        (
            {
                "type": "mcp_call",
                "server_label": "dice",
                "name": "roll",
                "arguments": "{}",
                "error": "no dice",
            },
            "MCP call",
            "dice: roll",
            {"Arguments": "{}", "Error": "no dice"},
        ),
        (
            {
                "type": "web_search_call",
                "action": {"query": "weather", "sources": [{"url": "https://a.example"}]},
            },
            "Web search",
            "weather",
            {"Query": "weather", "Sources": "https://a.example"},
        ),
        (
            {"type": "file_search_call", "queries": ["q"], "results": [{"filename": "a", "text": "T"}]},
            "File search",
            "q",
            {"Queries": "q", "Hit 1: a": "T"},
        ),
        (
            {"type": "shell_call", "action": {"commands": ["ls", "pwd"]}},
            "Shell",
            "",
            {"Commands": "ls\npwd"},
        ),
        (
            {"type": "message_creation", "message_creation": {"message_id": "msg_1"}},
            "Message",
            "msg_1",
            {
                "Message id": "msg_1",
                "Text": "The message is in the thread, which the provider does not read.",
            },
        ),
    ],
)
def test_each_kind_of_step_has_a_label_a_title_and_texts(
    details: dict[str, Any], label: str, title: str, texts: dict[str, str]
) -> None:
    step = make_step(details)
    assert (step.label, step.content.title, texts_by_label(step)) == (label, title, texts)


@pytest.mark.parametrize(
    "details",
    [
        {"type": "time_travel", "to": 1885},
        make_call("bing_grounding", requesturl="https://a.example"),
        {"type": "tool_calls", "tool_calls": [{"type": "function", "function": None}]},
    ],
)
def test_an_unknown_kind_of_step_is_displayed_as_json(details: dict[str, Any]) -> None:
    (text,) = texts_by_label(make_step(details)).values()
    assert json.loads(text)


def test_a_step_has_its_duration_tokens_and_error() -> None:
    error = {"code": "server_error", "message": "Sorry."}
    times = {"created_at": START, "failed_at": START + 75, "last_error": error}
    step = make_step(make_call("function", name="f"), status="failed", usage={"total_tokens": 1234}, **times)
    assert (step.duration, step.tokens, step.severity) == ("1 min 15 s", "1,234", "failure")
    assert step.error == "server_error: Sorry."
    assert step.tooltip == "1. Function · f · failed · 1 min 15 s · 1,234 tokens"


def test_a_step_within_one_second_has_a_duration_below_a_second() -> None:
    assert make_step({}, created_at=START, completed_at=START, status="completed").duration == "< 1 s"


def test_an_ended_step_without_an_end_time_ends_at_its_start() -> None:
    assert make_step({}, created_at=START, status="completed").end == START
    assert make_step({}, created_at=START, status="in_progress").end is None


@pytest.mark.parametrize(
    "value",
    [
        [None],
        ["text"],
        [[]],
        [{}],
        [{"details": {"type": "message", "content": "?"}}],
        [{"details": '{"tool_calls": [1, null, {"type": 7}]}', "type": 7, "status": {}, "usage": []}],
        [{"created_at": 10**400, "completed_at": "yesterday"}],
        [{"step_details": {"type": "message_creation"}, "last_error": "bad"}],
        '[{"id": "step_1"}]',
    ],
)
def test_a_step_of_an_unexpected_type_is_still_a_step(value: Any) -> None:
    steps = read_steps(value)
    assert steps is not None
    assert len(steps) == 1


def test_details_nested_too_deeply_are_displayed_as_text() -> None:
    deep = "[" * 100_000
    steps = read_steps([{"details": deep}])
    assert steps is not None
    assert steps[0].content.blocks[0].text == deep
