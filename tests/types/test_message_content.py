"""Reading the content of messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.types.message_content import output_text, read_content
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


def test_a_refusal_is_marked_and_not_part_of_the_output_text() -> None:
    content: list[Any] = [{"type": "refusal", "refusal": "No."}]
    assert [part.is_refusal for part in read_content(content)] == [True]
    assert output_text([content], "") == ""


def test_the_texts_of_all_messages_are_joined() -> None:
    contents: list[Any] = [[{"text": "a"}, {"image_file": {}}, {"text": {"value": "b"}}], "c", None]
    assert output_text(contents, "\n") == "a\nb\nc"


def test_without_a_message_there_is_no_output_text() -> None:
    assert output_text([], "") is None


@quick
@given(json_values)
def test_content_of_any_shape_can_be_read(value: Any) -> None:
    read_content(value)
    read_content([{"type": value, "text": value, "refusal": value}])
