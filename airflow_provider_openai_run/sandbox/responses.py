"""Endpoints of the Responses API.

See https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, missing
from airflow_provider_openai_run.sandbox.includes import check_include
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.response_json import (
    input_items,
    response_json,
    response_status,
)
from airflow_provider_openai_run.sandbox.scripts import TERMINAL, JsonObject, Script
from airflow_provider_openai_run.sandbox.store import Store, StoredResponse, read_metadata
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

#: How long a background response with ``store=False`` can be retrieved after its end.
_UNSTORED_SECONDS = 600.0
_OUTPUT_ITEMS = {"function_call_output", "mcp_approval_response"}
_COMPLETION_WINDOWS = ("soonest", "2h", "8h")
#: Default settings of a response.
_DEFAULTS: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def create_response(
    store: Store,
    body: JsonObject,
    *,
    script: Script | None = None,
    response_id: str | None = None,
    origin: JsonObject | None = None,
) -> JsonObject:
    """
    Create a response. Without ``background`` it has reached the end of its script at once.

    :param store: the sandbox's data.
    :param body: the request body.
    :param script: the script, unless the metadata selects one.
    :param response_id: ID of the response; a new one by default.
    :param origin: what the list of created responses says of the request, e.g. its idempotency key.
    """
    _require_input(body)
    include = body.get("include") or ()
    check_include(include)
    metadata = read_metadata(body)
    previous = _previous(store, body)
    response_id = response_id or store.new_id("resp")
    items = input_items(body.get("input"), response_id)
    default, selecting_metadata = script, metadata
    if previous is not None:
        _require_outputs(store, previous, items)
        if default is None and any(item["type"] in _OUTPUT_ITEMS for item in items):
            default = previous.timeline.script.after_outputs
            if metadata == previous.body["metadata"]:
                # Metadata repeated on each response of a conversation select the first one's script only.
                selecting_metadata = {}
    selected = store.script_for(selecting_metadata, default)
    background = bool(body.get("background"))
    timeline = RunTimeline(
        response_id,
        created_at=store.now(),
        script=selected if background else selected.scaled_to(0),
        expires=False,
    )
    fields = _settings(body) | {"background": background, "metadata": metadata}
    created = {"id": response_id, "created_at": store.now(), "metadata": metadata, "model": fields["model"]}
    store.created_responses.append({**created, **(origin or {})})
    store.responses[response_id] = StoredResponse(timeline=timeline, body=fields, input_items=items)
    return response_json(store.responses[response_id], store.now(), include)


def create_response_once(store: Store, body: JsonObject, idempotency_key: str | None) -> JsonObject:
    """
    Create a response, or return the one that was created with the same key before.

    :param store: the sandbox's data; keys are ignored unless ``honours_idempotency_keys`` is set.
    :param body: the request body.
    :param idempotency_key: the request's ``Idempotency-Key``, if it has one.
    """
    origin = {} if idempotency_key is None else {"idempotency_key": idempotency_key}
    if idempotency_key is None or not store.honours_idempotency_keys:
        return create_response(store, body, origin=origin)
    if idempotency_key in store.response_ids_by_key:
        return get_response(store, store.response_ids_by_key[idempotency_key])
    response = create_response(store, body, origin=origin)
    store.response_ids_by_key[idempotency_key] = response["id"]
    return response


def get_response(store: Store, response_id: str, include: Sequence[str] = ()) -> JsonObject:
    """
    Retrieve a response.

    :param store: the sandbox's data.
    :param response_id: ID of the response.
    :param include: names of further output to return.
    """
    check_include(include)
    return response_json(find_response(store, response_id), store.now(), include)


def cancel_response(store: Store, response_id: str) -> JsonObject:
    """
    Cancel a background response. A second cancellation returns the same JSON.

    :param store: the sandbox's data.
    :param response_id: ID of the response.
    """
    response = find_response(store, response_id)
    if response.seeded is None:
        snapshot = response.timeline.at(store.now())
        if not response.body["background"]:
            raise APIError(400, "Cannot cancel a synchronous response.")
        status = response_status(snapshot)
        if status in TERMINAL and status != "cancelled":
            raise APIError(400, f"Cannot cancel a {status} response.")
        if status != "cancelled":
            response.timeline.cancel(store.now(), seconds=0)
    return response_json(response, store.now())


def delete_response(store: Store, response_id: str) -> JsonObject:
    """
    Delete a response.

    :param store: the sandbox's data.
    :param response_id: ID of the response.
    """
    find_response(store, response_id)
    del store.responses[response_id]
    return {"id": response_id, "object": "response.deleted", "deleted": True}


def list_input_items(store: Store, response_id: str, cursor: Cursor) -> JsonObject:
    """
    List the input items of a response.

    :param store: the sandbox's data.
    :param response_id: ID of the response.
    :param cursor: which page to return.
    """
    return page(find_response(store, response_id).input_items, cursor, kind="item")


def create_conversation(store: Store, body: JsonObject) -> JsonObject:
    """
    Create a conversation.

    :param store: the sandbox's data.
    :param body: the request body.
    """
    conversation: JsonObject = {
        "id": store.new_id("conv"),
        "object": "conversation",
        "created_at": int(store.now()),
        "metadata": read_metadata(body),
    }
    store.conversations[conversation["id"]] = conversation
    return conversation


def get_conversation(store: Store, conversation_id: str) -> JsonObject:
    """
    Retrieve a conversation.

    :param store: the sandbox's data.
    :param conversation_id: ID of the conversation.
    """
    if conversation_id not in store.conversations:
        raise APIError(404, f"Conversation with id '{conversation_id}' not found.")
    return store.conversations[conversation_id]


def seed_response(store: Store, body: JsonObject, items: list[JsonObject]) -> JsonObject:
    """
    Store a response whose JSON is returned unchanged.

    :param store: the sandbox's data.
    :param body: the response's JSON, with ``id``.
    :param items: its input items, oldest first.
    """
    if not body.get("id"):
        raise missing("id")
    timeline = RunTimeline(
        body["id"], created_at=store.now(), script=Script(phases=((0, "completed"),)), expires=False
    )
    fields = {"background": bool(body.get("background")), "store": True}
    store.responses[body["id"]] = StoredResponse(
        timeline=timeline, body=fields, input_items=items, seeded=body
    )
    return body


def find_response(store: Store, response_id: str) -> StoredResponse:
    """
    Return a stored response.

    :param store: the sandbox's data.
    :param response_id: ID of the response.
    :raises APIError: 404 if it does not exist, or had ``store=False`` and its retention is over.
    """
    response = store.responses.get(response_id)
    if response is None or _is_deleted(response, store.now()):
        raise APIError(404, f"Response with id '{response_id}' not found.")
    return response


def _is_deleted(response: StoredResponse, now: float) -> bool:
    if response.body["store"] or response.seeded is not None:
        return False
    snapshot = response.timeline.at(now)
    if response_status(snapshot) not in TERMINAL:
        return False
    return not response.body["background"] or now >= snapshot.changes[-1].at + _UNSTORED_SECONDS


def _require_input(body: JsonObject) -> None:
    if body.get("stream"):
        raise APIError(400, "Sandbox: streaming is not supported.", param="stream")
    if body.get("model") is None and body.get("prompt") is None:
        raise missing("model")
    context = ("input", "prompt", "previous_response_id", "conversation")
    if all(body.get(name) is None for name in context):
        raise missing("input")


def _previous(store: Store, body: JsonObject) -> StoredResponse | None:
    previous_id = body.get("previous_response_id")
    if previous_id is None:
        return None
    previous = store.responses.get(str(previous_id))
    if previous is None:
        message = f"Previous response with id '{previous_id}' not found."
        raise APIError(400, message, param="previous_response_id", code="previous_response_not_found")
    return previous


def _require_outputs(store: Store, previous: StoredResponse, items: list[JsonObject]) -> None:
    submitted = [item.get("call_id") for item in items if item["type"] == "function_call_output"]
    pending = [call["id"] for call in previous.timeline.at(store.now()).pending_calls()]
    for call_id in pending:
        if call_id not in submitted:
            raise APIError(400, f"No tool output found for function call {call_id}.", param="input")
    for call_id in submitted:
        if call_id not in pending:
            message = f"No tool call found for function call output with call_id {call_id}."
            raise APIError(400, message, param="input")


def _settings(body: JsonObject) -> JsonObject:
    settings = dict(_DEFAULTS)
    settings |= {name: body[name] for name in _DEFAULTS if body.get(name) is not None}
    settings |= _background_options(body)
    settings["tools"] = [_tool(tool) for tool in body.get("tools") or ()]
    settings["reasoning"] = {"effort": None, "summary": None} | (body.get("reasoning") or {})
    text = body.get("text") or {}
    settings["text"] = {"format": {"type": "text"}, "verbosity": "medium"} | text
    conversation = body.get("conversation")
    if conversation is not None:
        conversation_id = conversation if isinstance(conversation, str) else conversation.get("id")
        settings["conversation"] = {"id": conversation_id}
    return settings


def _background_options(body: JsonObject) -> JsonObject:
    """Return the options of background mode as the API returns them; empty if the request has none."""
    options = body.get("background_options")
    if options is None:
        return {}
    window = options.get("completion_window") if isinstance(options, dict) else None
    if not body.get("background"):
        message = "'background_options' needs 'background' to be true."
        raise APIError(400, message, param="background_options")
    if window not in _COMPLETION_WINDOWS:
        names = ", ".join(map(repr, _COMPLETION_WINDOWS))
        message = f"Invalid value: '{window}'. Supported values are: {names}."
        raise APIError(400, message, param="background_options.completion_window", code="invalid_value")
    return {"background_options": {"continuation_id": None, **options}}


def _tool(tool: dict[str, Any]) -> JsonObject:
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "description": None, "strict": True, "parameters": None} | tool
