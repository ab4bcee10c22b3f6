"""Reading the content of messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.types.message_content import Answer, read_answer, read_content
from tests.json_strategies import json_values, quick


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("bare text", ["bare text"]),
        ([{"type": "output_text", "text": "of a response"}], ["of a response"]),
        ([{"type": "text", "text": {"value": "of a thread"}}], ["of a thread"]),
        ([{"type": "image_file", "image_file": {}}], [None]),
        ([{"type": "refusal", "refusal": "No."}], ["No."]),
        ([1, None], []),
        (None, []),
    ],
)
def test_the_text_of_each_part_is_read(content: Any, texts: list[str | None]) -> None:
    assert [part.text for part in read_content(content)] == texts


def test_a_refusal_is_marked_and_not_part_of_the_text() -> None:
    content: list[Any] = [{"type": "refusal", "refusal": "No."}]
    assert [part.is_refusal for part in read_content(content)] == [True]
    assert read_answer([{"content": content}], "") == Answer(text=None, refusal="No.")


def test_text_and_refusal_of_one_answer_are_kept_apart() -> None:
    messages: list[dict[str, Any]] = [{"content": [{"text": "a"}, {"refusal": "No."}]}, {"content": "b"}]
    assert read_answer(messages, "") == Answer(text="ab", refusal="No.")


def test_the_texts_of_all_messages_are_joined() -> None:
    contents: list[Any] = [[{"text": "a"}, {"image_file": {}}, {"text": {"value": "b"}}], "c", None, ["d"]]
    messages: list[dict[str, Any]] = [{"content": content} for content in contents]
    assert read_answer(messages, "\n").text == "a\nb\nc\nd"


def test_without_a_text_there_is_no_answer() -> None:
    assert read_answer([], "") == Answer()
    assert read_answer([{"content": [{"type": "image_file"}]}], "") == Answer()
    assert read_answer([{"content": ""}], "").text == ""


@pytest.mark.parametrize("phase", [None, "final_answer", "new_phase"])
def test_commentary_is_left_out_beside_another_message(phase: str | None) -> None:
    commentary: dict[str, Any] = {"phase": "commentary", "content": "Looking it up."}
    assert read_answer([commentary, {"phase": phase, "content": "42"}], "").text == "42"
    assert read_answer([{"content": "42"}, commentary], "").text == "42"


def test_commentary_alone_is_the_answer() -> None:
    assert read_answer([{"phase": "commentary", "content": "Hm."}], "").text == "Hm."


@quick
@given(json_values)
def test_content_of_any_shape_can_be_read(value: Any) -> None:
    read_content(value)
    read_content([{"type": value, "text": value, "refusal": value}])
    read_answer([{"content": value, "phase": value}], "")
