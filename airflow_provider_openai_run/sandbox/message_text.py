"""The texts of messages: fixed, or JSON where a request requires it."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_openai_run.sandbox.json_sample import sample
from airflow_provider_openai_run.sandbox.scripts import JsonObject, Step

DEFAULT_TEXT = "The answer is 42."


def message_text(step: Step, response_format: Any) -> str:
    """
    Return the text of a message step.

    :param step: the step. Its own text, if it has one, is returned unchanged.
    :param response_format: ``text.format`` of a response, or ``response_format`` of a run.
    :return: the step's text, JSON that fits the format's schema, or a fixed sentence.
    """
    if step.text is not None:
        return step.text
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_schema":
        # Runs nest the schema one level deeper than responses.
        definition = response_format.get("json_schema", response_format)
        return json.dumps(sample(definition.get("schema", {})))
    return json.dumps({"answer": DEFAULT_TEXT}) if kind == "json_object" else DEFAULT_TEXT


def file_annotations(step: Step, text: str) -> list[JsonObject]:
    """
    Return the annotations of a run's message, in the form of the Assistants API.

    :param step: the message step; its ``annotations`` have the form of the Responses API.
    :param text: the text of the message, with a mark like 【4:0†file.txt】 at the index of a citation.
    """
    return [
        _file_annotation(text, annotation)
        for annotation in step.annotations
        if annotation.get("type") == "file_citation"
    ]


def _file_annotation(text: str, annotation: JsonObject) -> JsonObject:
    start = annotation["index"]
    end = text.find("】", start) + 1 or len(text)
    return {
        "type": "file_citation",
        "text": text[start:end],
        "start_index": start,
        "end_index": end,
        "file_citation": {"file_id": annotation["file_id"]},
    }
