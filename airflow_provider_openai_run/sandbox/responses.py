"""Responses, in background mode and without.

See https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, missing
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.response_json import (
    input_items,
    response_json,
    response_status,
)
from airflow_provider_openai_run.sandbox.scripts import TERMINAL, Json, Script
from airflow_provider_openai_run.sandbox.store import Store, StoredResponse, read_metadata
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

#: How long a background response that is not stored can still be had after its end.
_UNSTORED_SECONDS = 600.0
_ANSWERS = {"function_call_output", "mcp_approval_response"}
#: What a response is unless told otherwise.
_DEFAULTS: Json = {
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


def create_response(store: Store, body: Json, *, script: Script | None = None) -> Json:
    """
    Create a response. Without ``background`` its whole script has been played when the answer comes.

    :param store: what the sandbox remembers.
    :param body: the request's JSON.
    :param script: what becomes of it, unless its metadata says.
    """
    _require(body)
    metadata = read_metadata(body)
    previous = _previous(store, body)
    response_id = store.new_id("resp")
    items = input_items(body.get("input"), response_id)
    default, choosing = script, metadata
    if previous is not None:
        _require_outputs(store, previous, items)
        if default is None and any(item["type"] in _ANSWERS for item in items):
            default = previous.life.script.after_outputs
            if metadata == previous.body["metadata"]:
                # Sent along with each response of a conversation, it has chosen the first one's script.
                choosing = {}
    chosen = store.script_for(choosing, default)
    background = bool(body.get("background"))
    life = RunTimeline(
        response_id,
        created_at=store.now(),
        script=chosen if background else chosen.lasting(0),
        expires=False,
    )
    kept = _settings(body) | {"background": background, "metadata": metadata}
    store.responses[response_id] = StoredResponse(life=life, body=kept, input_items=items)
    return response_json(store.responses[response_id], store.now())


def get_response(store: Store, response_id: str) -> Json:
    """
    Retrieve a response.

    :param store: what the sandbox remembers.
    :param response_id: its id.
    """
    return response_json(find_response(store, response_id), store.now())


def cancel_response(store: Store, response_id: str) -> Json:
    """
    Cancel a background response; cancelling it twice gives the same answer twice.

    :param store: what the sandbox remembers.
    :param response_id: its id.
    """
    response = find_response(store, response_id)
    if response.seeded is None:
        moment = response.life.at(store.now())
        if not response.body["background"]:
            raise APIError(400, "Cannot cancel a synchronous response.")
        status = response_status(moment)
        if status in TERMINAL and status != "cancelled":
            raise APIError(400, f"Cannot cancel a {status} response.")
        if status != "cancelled":
            response.life.cancel(store.now(), seconds=0)
    return response_json(response, store.now())


def delete_response(store: Store, response_id: str) -> Json:
    """
    Delete a response.

    :param store: what the sandbox remembers.
    :param response_id: its id.
    """
    find_response(store, response_id)
    del store.responses[response_id]
    return {"id": response_id, "object": "response.deleted", "deleted": True}


def list_input_items(store: Store, response_id: str, cursor: Cursor) -> Json:
    """
    List what a response was made from.

    :param store: what the sandbox remembers.
    :param response_id: its id.
    :param cursor: which part of the list.
    """
    return page(find_response(store, response_id).input_items, cursor, kind="item")


def create_conversation(store: Store, body: Json) -> Json:
    """
    Create a conversation.

    :param store: what the sandbox remembers.
    :param body: the request's JSON.
    """
    conversation: Json = {
        "id": store.new_id("conv"),
        "object": "conversation",
        "created_at": int(store.now()),
        "metadata": read_metadata(body),
    }
    store.conversations[conversation["id"]] = conversation
    return conversation


def get_conversation(store: Store, conversation_id: str) -> Json:
    """
    Retrieve a conversation.

    :param store: what the sandbox remembers.
    :param conversation_id: its id.
    """
    if conversation_id not in store.conversations:
        raise APIError(404, f"Conversation with id '{conversation_id}' not found.")
    return store.conversations[conversation_id]


def seed_response(store: Store, body: Json, items: list[Json]) -> Json:
    """
    Put a response there that is answered exactly as given.

    :param store: what the sandbox remembers.
    :param body: the response's JSON, with an id.
    :param items: what it was made from, oldest first.
    """
    if not body.get("id"):
        raise missing("id")
    life = RunTimeline(
        body["id"], created_at=store.now(), script=Script(phases=((0, "completed"),)), expires=False
    )
    kept = {"background": bool(body.get("background")), "store": True}
    store.responses[body["id"]] = StoredResponse(life=life, body=kept, input_items=items, seeded=body)
    return body


def find_response(store: Store, response_id: str) -> StoredResponse:
    """
    Find a response.

    :param store: what the sandbox remembers.
    :param response_id: its id.
    :raises APIError: 404 when there is none, or it was not stored and its time is over.
    """
    response = store.responses.get(response_id)
    if response is None or _is_gone(response, store.now()):
        raise APIError(404, f"Response with id '{response_id}' not found.")
    return response


def _is_gone(response: StoredResponse, now: float) -> bool:
    if response.body["store"] or response.seeded is not None:
        return False
    moment = response.life.at(now)
    if response_status(moment) not in TERMINAL:
        return False
    return not response.body["background"] or now >= moment.entered[-1].at + _UNSTORED_SECONDS


def _require(body: Json) -> None:
    if body.get("stream"):
        raise APIError(400, "Sandbox: streaming is not played here.", param="stream")
    if body.get("model") is None and body.get("prompt") is None:
        raise missing("model")
    context = ("input", "prompt", "previous_response_id", "conversation")
    if all(body.get(name) is None for name in context):
        raise missing("input")


def _previous(store: Store, body: Json) -> StoredResponse | None:
    previous_id = body.get("previous_response_id")
    if previous_id is None:
        return None
    previous = store.responses.get(str(previous_id))
    if previous is None:
        message = f"Previous response with id '{previous_id}' not found."
        raise APIError(400, message, param="previous_response_id", code="previous_response_not_found")
    return previous


def _require_outputs(store: Store, previous: StoredResponse, items: list[Json]) -> None:
    given = [item.get("call_id") for item in items if item["type"] == "function_call_output"]
    asked = [call["id"] for call in previous.life.at(store.now()).pending_calls()]
    for call_id in asked:
        if call_id not in given:
            raise APIError(400, f"No tool output found for function call {call_id}.", param="input")
    for call_id in given:
        if call_id not in asked:
            message = f"No tool call found for function call output with call_id {call_id}."
            raise APIError(400, message, param="input")


def _settings(body: Json) -> Json:
    settings = dict(_DEFAULTS)
    settings |= {name: body[name] for name in _DEFAULTS if body.get(name) is not None}
    settings["tools"] = [_tool(tool) for tool in body.get("tools") or ()]
    settings["reasoning"] = {"effort": None, "summary": None} | (body.get("reasoning") or {})
    text = body.get("text") or {}
    settings["text"] = {"format": {"type": "text"}, "verbosity": "medium"} | text
    conversation = body.get("conversation")
    if conversation is not None:
        conversation_id = conversation if isinstance(conversation, str) else conversation.get("id")
        settings["conversation"] = {"id": conversation_id}
    return settings


def _tool(tool: dict[str, Any]) -> Json:
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "description": None, "strict": True, "parameters": None} | tool
