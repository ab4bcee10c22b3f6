"""The input file of a batch: its lines, or why it is invalid.

See https://platform.openai.com/docs/guides/batch. The codes are those that the API documents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_openai_run.sandbox.scripts import JsonObject

#: How many requests a batch can have.
MAX_REQUESTS = 50_000
#: How many errors a batch reports.
_MAX_ERRORS = 100
_MAX_CUSTOM_ID = 512


@dataclass(frozen=True, kw_only=True)
class BatchInput:
    """
    The content of an input file.

    :param requests: its requests, if it is valid.
    :param errors: the items of the batch's ``errors``, if it is not.
    :param model: the model of all its requests.
    """

    requests: list[JsonObject] = field(default_factory=list)
    errors: list[JsonObject] = field(default_factory=list)
    model: str | None = None


def batch_error(code: str, message: str, line: int | None = None, param: str | None = None) -> JsonObject:
    """
    Return an item of a batch's ``errors``.

    :param code: the API's code.
    :param message: the message.
    :param line: the number of the line, from 1.
    :param param: the key of the line that is wrong.
    """
    return {"code": code, "message": message, "param": param, "line": line}


def read_batch_input(content: bytes, endpoint: str) -> BatchInput:
    """
    Return the requests of an input file, or its errors.

    :param content: the file.
    :param endpoint: the batch's endpoint, which each line must name as its ``url``.
    """
    lines = content.split(b"\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        return BatchInput(errors=[batch_error("empty_file", "The input file is empty.")])
    if len(numbered) > MAX_REQUESTS:
        message = f"The batch has {len(numbered)} requests. The maximum is {MAX_REQUESTS}."
        return BatchInput(errors=[batch_error("too_many_tasks", message)])
    requests: list[JsonObject] = []
    errors: list[JsonObject] = []
    models: list[str] = []
    custom_ids: set[str] = set()
    for number, line in numbered:
        request = _parse(line)
        error = _error_of(request, number, endpoint, custom_ids, models)
        if error is not None:
            errors.append(error)
        elif request is not None:
            requests.append(request)
    if errors:
        return BatchInput(errors=errors[:_MAX_ERRORS])
    return BatchInput(requests=requests, model=models[0] if models else None)


def _parse(line: bytes) -> JsonObject | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _error_of(
    request: JsonObject | None, line: int, endpoint: str, custom_ids: set[str], models: list[str]
) -> JsonObject | None:
    """Return the error of a line, after adding its ID and its model to those before."""
    if request is None:
        return batch_error("invalid_json_line", "This line is not parseable as valid JSON.", line)
    for name in ("custom_id", "method", "url", "body"):
        if request.get(name) in (None, ""):
            message = f"Missing required parameter: '{name}'."
            return batch_error("missing_required_parameter", message, line, name)
    problem = (
        _problem_of_id(request["custom_id"], custom_ids)
        or _problem_of_target(request, endpoint)
        or _problem_of_model(request["body"], models)
    )
    return None if problem is None else batch_error(problem[0], problem[1], line, problem[2])


def _problem_of_id(custom_id: Any, known: set[str]) -> tuple[str, str, str] | None:
    """Return the code, the message and the parameter of an error; None if there is none."""
    if not isinstance(custom_id, str) or len(custom_id) > _MAX_CUSTOM_ID:
        message = f"custom_id must be a string of up to {_MAX_CUSTOM_ID} characters."
        return "invalid_custom_id", message, "custom_id"
    if custom_id in known:
        message = f"The custom_id '{custom_id}' for this request is a duplicate of another request."
        return "duplicate_custom_id", message, "custom_id"
    known.add(custom_id)
    return None


def _problem_of_target(request: JsonObject, endpoint: str) -> tuple[str, str, str] | None:
    if request["method"] != "POST":
        return "invalid_method", "The method must be POST.", "method"
    if request["url"] != endpoint:
        message = f"The URL provided for this request does not match the batch endpoint '{endpoint}'."
        return "url_mismatch", message, "url"
    if not isinstance(request["body"], dict):
        return "invalid_body", "The body must be an object.", "body"
    return None


def _problem_of_model(body: JsonObject, models: list[str]) -> tuple[str, str, str] | None:
    model = body.get("model")
    if not isinstance(model, str):
        return None
    if models and model != models[0]:
        message = f"The provided model '{model}' does not match the batch's model '{models[0]}'."
        return "model_mismatch", message, "body.model"
    models[:] = [model]
    return None
