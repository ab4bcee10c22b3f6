from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_openai_run.run_page.steps import StepView, steps_of

BEGAN = 1_795_000_000


def step(details: Any, **more: Any) -> StepView:
    steps = steps_of([{"id": "step_1", "type": "tool_calls", "details": json.dumps(details), **more}])
    assert steps is not None
    return steps[0]


def told(of: StepView) -> dict[str, str]:
    return {block.label: block.text for block in of.content.blocks}


def call(kind: str, **inner: Any) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": [{"id": "call_1", "type": kind, kind: inner}]}


@pytest.mark.parametrize(
    ("details", "word", "title", "blocks"),
    [
        (
            call("code_interpreter", input="print(1)", outputs=[{"type": "logs", "logs": "1\n"}]),
            "Code interpreter",
            "print(1)",
            {"Code": "print(1)", "Output": "1\n"},
        ),
        (
            call(
                "code_interpreter", input="plot()", outputs=[{"type": "image", "image": {"file_id": "f_1"}}]
            ),
            "Code interpreter",
            "plot()",
            {"Code": "plot()", "Image": "f_1"},
        ),
        (
            call("function", name="weather", arguments='{"city":"Oslo"}', output="rain"),
            "Function",
            "weather",
            {"Arguments": '{\n  "city": "Oslo"\n}', "Output": "rain"},
        ),
        (
            call("file_search", results=[{"file_name": "a.txt", "score": 0.5, "content": [{"text": "A"}]}]),
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
                "action": {"query": "news", "sources": [{"url": "https://a.example"}]},
            },
            "Web search",
            "news",
            {"Query": "news", "Sources": "https://a.example"},
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
            {"Message id": "msg_1", "Text": "It stands in the thread, which is not read."},
        ),
    ],
)
def test_each_kind_of_step_is_readable(
    details: dict[str, Any], word: str, title: str, blocks: dict[str, str]
) -> None:
    shown = step(details)
    assert (shown.word, shown.content.title, told(shown)) == (word, title, blocks)


@pytest.mark.parametrize(
    "details",
    [
        {"type": "time_travel", "to": 1885},
        call("bing_grounding", requesturl="https://a.example"),
        {"type": "tool_calls", "tool_calls": [{"type": "function", "function": None}]},
    ],
)
def test_a_kind_nobody_knows_is_shown_as_its_json(details: dict[str, Any]) -> None:
    (text,) = told(step(details)).values()
    assert json.loads(text)


def test_times_tokens_and_errors_are_in_the_step() -> None:
    error = {"code": "server_error", "message": "Sorry."}
    times = {"created_at": BEGAN, "failed_at": BEGAN + 75, "last_error": error}
    shown = step(call("function", name="f"), status="failed", usage={"total_tokens": 1234}, **times)
    assert (shown.took, shown.tokens, shown.tone) == ("1 min 15 s", "1,234", "bad")
    assert shown.error == "server_error: Sorry."
    assert shown.label == "1. Function · f · failed · 1 min 15 s · 1,234 tokens"


def test_a_step_within_a_second_took_less_than_one() -> None:
    assert step({}, created_at=BEGAN, completed_at=BEGAN, status="completed").took == "< 1 s"


def test_a_step_that_ended_nobody_knows_when_does_not_go_on() -> None:
    assert step({}, created_at=BEGAN, status="completed").end == BEGAN
    assert step({}, created_at=BEGAN, status="in_progress").end is None


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
def test_a_step_of_any_shape_is_a_step(value: Any) -> None:
    steps = steps_of(value)
    assert steps is not None
    assert len(steps) == 1


def test_details_nested_beyond_reason_are_left_as_text() -> None:
    deep = "[" * 100_000
    steps = steps_of([{"details": deep}])
    assert steps is not None
    assert steps[0].content.blocks[0].text == deep
