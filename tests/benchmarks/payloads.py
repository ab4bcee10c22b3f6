"""The response bodies of the stub: objects of the API, filled up to a given size."""

from __future__ import annotations

import json
from typing import Any

ID = "@the-id@"
CREATED_AT = 1_790_000_000
USAGE = {
    "input_tokens": 1520,
    "input_tokens_details": {"cached_tokens": 1024},
    "output_tokens": 811,
    "output_tokens_details": {"reasoning_tokens": 640},
    "total_tokens": 2331,
}


class Bodies:
    """The response bodies for an active and for a completed run.

    :param size: approximate size in bytes. A list of turns always has one turn.
    """

    def __init__(self, size: int) -> None:
        self._templates = {
            (resource, ended): _encoded(resource, ended=ended, size=size)
            for resource in _SHAPES
            for ended in (False, True)
        }

    def body(self, resource: str, run_id: str, *, ended: bool) -> bytes:
        """Return the body for a run: of ``responses``, ``batches``, ``agents/sessions`` or ``turns``."""
        return self._templates[resource, ended].replace(ID.encode(), run_id.encode())


def error(code: str, message: str) -> bytes:
    """Return the body of an error."""
    return json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}}).encode()


def _encoded(resource: str, *, ended: bool, size: int) -> bytes:
    payload, filling = _SHAPES[resource](ended)
    fillers = 0
    while filling is not None and len(json.dumps(payload)) < size:
        fillers += 1
        filling.append(_FILLERS[resource](fillers))
    return json.dumps(payload).encode()


def _response(ended: bool) -> tuple[dict[str, Any], list[Any] | None]:
    message = {
        "id": "msg_68f7a1c2",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Done.", "annotations": [], "logprobs": []}],
    }
    tools: list[Any] = []
    payload = {
        "id": ID,
        "object": "response",
        "created_at": CREATED_AT,
        "status": "completed" if ended else "in_progress",
        "background": True,
        "error": None,
        "incomplete_details": None,
        "instructions": "Answer in one sentence, and name the sources you used.",
        "max_output_tokens": None,
        "model": "gpt-5.2",
        "output": [message] if ended else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": tools,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE if ended else None,
        "user": None,
        "metadata": {},
    }
    return payload, tools


def _batch(ended: bool) -> tuple[dict[str, Any], list[Any] | None]:
    errors: list[Any] = []
    payload = {
        "id": ID,
        "object": "batch",
        "endpoint": "/v1/responses",
        "errors": {"object": "list", "data": errors},
        "input_file_id": "file-68f7a1c2",
        "completion_window": "24h",
        "status": "completed" if ended else "in_progress",
        "output_file_id": "file-68f7a1c3" if ended else None,
        "error_file_id": None,
        "created_at": CREATED_AT,
        "in_progress_at": CREATED_AT + 60,
        "expires_at": CREATED_AT + 86_400,
        "finalizing_at": None,
        "completed_at": CREATED_AT + 600 if ended else None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 100, "completed": 95, "failed": 0},
        "metadata": {},
    }
    return payload, errors


def _session(ended: bool) -> tuple[dict[str, Any], list[Any] | None]:
    tools: list[Any] = []
    payload = {
        "id": ID,
        "object": "agent.session",
        "agent": {
            "id": "agent_68f7a1c2",
            "instructions": "Answer in one sentence, and name the sources you used.",
            "model": "gpt-5.2",
            "multi_agent": {"enabled": False, "max_concurrent_subagents": None},
            "name": None,
            "reasoning": {"effort": "medium", "summary": None},
            "service_tier": "auto",
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tools": tools,
        },
        "created_at": CREATED_AT,
        "environment": {"type": "none"},
        "error": None,
        "last_active_at": CREATED_AT + 30,
        "metadata": {},
        "required_actions": [],
        "status": "idle" if ended else "in_progress",
        "usage": USAGE if ended else None,
        "vault_ids": [],
    }
    return payload, tools


def _turns(ended: bool) -> tuple[dict[str, Any], list[Any] | None]:
    turn = {
        "id": "turn_68f7a1c2",
        "object": "agent.session.turn",
        "agent_id": "agent_68f7a1c2",
        "session_id": ID,
        "subagent_id": None,
        "created_at": CREATED_AT,
        "started_at": CREATED_AT + 1,
        "completed_at": CREATED_AT + 600 if ended else None,
        "error": None,
        "status": "completed" if ended else "in_progress",
        "usage": USAGE if ended else None,
    }
    first = turn["id"]
    return {"object": "list", "data": [turn], "first_id": first, "last_id": first, "has_more": False}, None


def _function_tool(number: int) -> dict[str, Any]:
    properties = {
        "place": {"type": "string", "description": "The city and the country, such as Bogotá, Colombia."},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    }
    return {
        "type": "function",
        "name": f"get_weather_{number}",
        "description": "Returns the current weather at a place.",
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": ["place", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    }


def _batch_error(number: int) -> dict[str, Any]:
    return {
        "code": "invalid_request",
        "line": number,
        "message": "The model of this line is not known.",
        "param": None,
    }


_SHAPES = {"responses": _response, "batches": _batch, "agents/sessions": _session, "turns": _turns}
_FILLERS = {"responses": _function_tool, "batches": _batch_error, "agents/sessions": _function_tool}
