"""The JSON of responses and their items, with the fields and nulls of recorded ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow_provider_openai_run.sandbox.includes import without_others
from airflow_provider_openai_run.sandbox.message_text import message_text
from airflow_provider_openai_run.sandbox.scripts import TERMINAL, JsonObject, Step
from airflow_provider_openai_run.sandbox.store import StoredResponse
from airflow_provider_openai_run.sandbox.timeline import Snapshot, StepSnapshot, opaque_id

#: Statuses of responses for those that only runs have. A response that calls a function ends; none expires.
_TRANSLATED = {"requires_action": "completed", "cancelling": "in_progress", "expired": "failed"}
_EXPIRED = {"code": "server_error", "message": "The response took too long to complete."}
_ERROR = {"code": "server_error", "message": "An error occurred while processing your request."}
_REASONS = {"max_completion_tokens": "max_output_tokens", "max_prompt_tokens": "max_output_tokens"}

#: The ID prefixes of output items, by their type.
_ID_PREFIXES = {
    "image_generation_call": "ig",
    "mcp_approval_request": "mcpr",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "reasoning": "rs",
    "web_search_call": "ws",
}


def response_status(snapshot: Snapshot) -> str:
    """
    Return the status of a response.

    :param snapshot: its script's state.
    """
    return _TRANSLATED.get(snapshot.status, snapshot.status)


def response_json(response: StoredResponse, now: float, include: Collection[str] = ()) -> JsonObject:
    """
    Return the JSON of a response.

    :param response: the response.
    :param now: current time in epoch seconds.
    :param include: names of further output to return.
    """
    if response.seeded is not None:
        return response.seeded
    snapshot = response.timeline.at(now)
    status = response_status(snapshot)
    body = {
        "id": response.timeline.id,
        "object": "response",
        "created_at": int(response.timeline.created_at),
        "status": status,
        "background": response.body["background"],
        "billing": {"payer": "developer"},
        "completed_at": int(snapshot.changes[-1].at) if status == "completed" else None,
        "error": _error(snapshot, status),
        "frequency_penalty": 0.0,
        "incomplete_details": _incomplete_details(snapshot) if status == "incomplete" else None,
        "output": [
            without_others(item, include) for item in output_items(snapshot, response.body.get("text"))
        ]
        if status in {"completed", "incomplete"}
        else [],
        "presence_penalty": 0.0,
        "usage": _usage(snapshot, status),
    }
    return {**body, **{name: value for name, value in response.body.items() if name not in body}}


def output_items(snapshot: Snapshot, text_settings: JsonObject | None = None) -> list[JsonObject]:
    """
    Return the output items of a response: the steps of its script.

    :param snapshot: its script's state.
    :param text_settings: ``text`` of the request, whose ``format`` may require JSON.
    """
    response_format = (text_settings or {}).get("format")
    return [
        item
        for step_snapshot in snapshot.steps
        for item in _items(step_snapshot, snapshot.status, response_format)
    ]


def input_items(value: object, response_id: str) -> list[JsonObject]:
    """
    Return the input items of a response.

    :param value: the request's ``input``: a text or a list of items.
    :param response_id: ID of the response, from which the item IDs are derived.
    """
    items = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not isinstance(items, list):
        return []
    return [_input_item(item, response_id, number) for number, item in enumerate(items)]


def _input_item(item: JsonObject, response_id: str, number: int) -> JsonObject:
    if item.get("type", "message") != "message":
        prefix = {"function_call_output": "fc", "mcp_approval_response": "mcpr"}.get(item["type"], "item")
        extra = {"status": "completed"} if item["type"] == "function_call_output" else {}
        return {"id": opaque_id(prefix, response_id, "in", number), **extra, **item}
    content = item.get("content", "")
    kind = "output_text" if item.get("role") == "assistant" else "input_text"
    return {
        "id": item.get("id", opaque_id("msg", response_id, "in", number)),
        "type": "message",
        "status": "completed",
        "content": [{"type": kind, "text": content}] if isinstance(content, str) else content,
        "role": item.get("role", "user"),
    }


def _items(step_snapshot: StepSnapshot, run_status: str, response_format: Any) -> list[JsonObject]:
    step = step_snapshot.step
    if step.type == "message_creation":
        status = "incomplete" if run_status == "incomplete" else "completed"
        return [_message(step_snapshot, status, response_format)]
    if step.type == "tool_calls":
        return [_call_item(step_snapshot, call, number) for number, call in enumerate(step_snapshot.calls)]
    return [{"id": opaque_id(_prefix(step), step_snapshot.id), "type": step.type, **step.details}]


def _message(step_snapshot: StepSnapshot, status: str, response_format: Any) -> JsonObject:
    step = step_snapshot.step
    content: JsonObject = {
        "type": "output_text",
        "annotations": list(step.annotations),
        "logprobs": [],
        "text": message_text(step, response_format),
    }
    if step.refusal is not None:
        content = {"type": "refusal", "refusal": step.refusal}
    return {
        "id": opaque_id("msg", step_snapshot.id),
        "type": "message",
        "status": status,
        "content": [content],
        "role": "assistant",
    }


def _call_item(step_snapshot: StepSnapshot, call: JsonObject, number: int) -> JsonObject:
    kind = call["type"]
    if kind == "function":
        return {
            "id": opaque_id("fc", step_snapshot.id, number),
            "type": "function_call",
            "status": "completed",
            "arguments": call["function"]["arguments"],
            "call_id": call["id"],
            "name": call["function"]["name"],
        }
    if kind == "code_interpreter":
        return {
            "id": opaque_id("ci", step_snapshot.id, number),
            "type": "code_interpreter_call",
            "status": "completed",
            "code": call["code_interpreter"]["input"],
            "container_id": opaque_id("cntr", step_snapshot.id),
            "outputs": call["code_interpreter"]["outputs"],
        }
    if kind == "file_search":
        return {
            "id": opaque_id("fs", step_snapshot.id, number),
            "type": "file_search_call",
            "status": "completed",
            "queries": ["What is the answer?"],
            "results": [_search_result(result) for result in call["file_search"].get("results") or ()],
        }
    return {
        "id": opaque_id("item", step_snapshot.id, number),
        "type": f"{kind}_call",
        "status": "completed",
        **{name: value for name, value in call.items() if name not in {"id", "type"}},
    }


def _search_result(result: JsonObject) -> JsonObject:
    """Return the hit of a run step as responses have it."""
    text = "\n".join(part["text"] for part in result.get("content") or ())
    return {
        "attributes": result.get("attributes"),
        "file_id": result["file_id"],
        "filename": result["file_name"],
        "score": result["score"],
        "text": text,
    }


def _prefix(step: Step) -> str:
    return _ID_PREFIXES.get(step.type, "item")


def _error(snapshot: Snapshot, status: str) -> JsonObject | None:
    if status != "failed":
        return None
    return _EXPIRED if snapshot.status == "expired" else snapshot.script.last_error or _ERROR


def _incomplete_details(snapshot: Snapshot) -> JsonObject:
    reason = (snapshot.script.incomplete_details or {}).get("reason", "max_output_tokens")
    return {"reason": _REASONS.get(reason, reason)}


def _usage(snapshot: Snapshot, status: str) -> JsonObject | None:
    if status not in {"completed", "incomplete"}:
        return None
    usage = snapshot.usage() if snapshot.status in TERMINAL else snapshot.summed_usage()
    if usage is None:
        return None
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    return {
        "input_tokens": prompt,
        "input_tokens_details": usage.get("prompt_token_details", {"cached_tokens": 0}),
        "output_tokens": completion,
        "output_tokens_details": usage.get("completion_tokens_details", {"reasoning_tokens": 0}),
        "total_tokens": usage.get("total_tokens", prompt + completion),
    }
