"""The JSON of responses and their items, with the fields, nulls and absences of the recorded ones."""

from __future__ import annotations

from airflow_provider_openai_run.sandbox.scripts import TERMINAL, Json, Step
from airflow_provider_openai_run.sandbox.store import StoredResponse
from airflow_provider_openai_run.sandbox.timeline import Snapshot, StepSnapshot, opaque_id

#: What a response calls the statuses that only a run has: it ends when it asks for something; none expires.
_TRANSLATED = {"requires_action": "completed", "cancelling": "in_progress", "expired": "failed"}
_EXPIRED = {"code": "server_error", "message": "The response took too long and was given up."}
_ERROR = {"code": "server_error", "message": "An error occurred while processing your request."}
_REASONS = {"max_completion_tokens": "max_output_tokens", "max_prompt_tokens": "max_output_tokens"}


def response_status(moment: Snapshot) -> str:
    """
    Tell the status of a response.

    :param moment: where its script is.
    """
    return _TRANSLATED.get(moment.status, moment.status)


def response_json(response: StoredResponse, now: float) -> Json:
    """
    Give the JSON of a response as it stands.

    :param response: the response.
    :param now: epoch seconds.
    """
    if response.seeded is not None:
        return response.seeded
    moment = response.life.at(now)
    status = response_status(moment)
    body = {
        "id": response.life.id,
        "object": "response",
        "created_at": int(response.life.created_at),
        "status": status,
        "background": response.body["background"],
        "billing": {"payer": "developer"},
        "completed_at": int(moment.entered[-1].at) if status == "completed" else None,
        "error": _error(moment, status),
        "frequency_penalty": 0.0,
        "incomplete_details": _incomplete_details(moment) if status == "incomplete" else None,
        "output": output_items(moment) if status in {"completed", "incomplete"} else [],
        "presence_penalty": 0.0,
        "usage": _usage(moment, status),
    }
    return {**body, **{name: value for name, value in response.body.items() if name not in body}}


def output_items(moment: Snapshot) -> list[Json]:
    """
    Give what a response put out: the steps of its script, as items.

    :param moment: where its script is.
    """
    return [item for played in moment.steps for item in _items(played, moment.status)]


def input_items(given: object, response_id: str) -> list[Json]:
    """
    Give the items that a response is made from.

    :param given: the ``input`` of the request: a text or a list of items.
    :param response_id: the response's id, which the ids of its items follow from.
    """
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        return []
    return [_input_item(item, response_id, number) for number, item in enumerate(items)]


def _input_item(item: Json, response_id: str, number: int) -> Json:
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


def _items(played: StepSnapshot, run_status: str) -> list[Json]:
    step = played.step
    if step.type == "message_creation":
        return [_message(played, "incomplete" if run_status == "incomplete" else "completed")]
    if step.type == "tool_calls":
        return [_call_item(played, call, number) for number, call in enumerate(played.calls)]
    return [{"id": opaque_id(_prefix(step), played.id), "type": step.type, **step.details}]


def _message(played: StepSnapshot, status: str) -> Json:
    text = {"type": "output_text", "annotations": [], "logprobs": [], "text": played.step.text}
    return {
        "id": opaque_id("msg", played.id),
        "type": "message",
        "status": status,
        "content": [text],
        "role": "assistant",
    }


def _call_item(played: StepSnapshot, call: Json, number: int) -> Json:
    kind = call["type"]
    if kind == "function":
        return {
            "id": opaque_id("fc", played.id, number),
            "type": "function_call",
            "status": "completed",
            "arguments": call["function"]["arguments"],
            "call_id": call["id"],
            "name": call["function"]["name"],
        }
    if kind == "code_interpreter":
        return {
            "id": opaque_id("ci", played.id, number),
            "type": "code_interpreter_call",
            "status": "completed",
            "code": call["code_interpreter"]["input"],
            "container_id": opaque_id("cntr", played.id),
            "outputs": None,
        }
    if kind == "file_search":
        return {
            "id": opaque_id("fs", played.id, number),
            "type": "file_search_call",
            "status": "completed",
            "queries": ["What is the answer?"],
            "results": None,
        }
    return {
        "id": opaque_id("item", played.id, number),
        "type": f"{kind}_call",
        "status": "completed",
        **{name: value for name, value in call.items() if name not in {"id", "type"}},
    }


def _prefix(step: Step) -> str:
    return {"mcp_approval_request": "mcpr", "mcp_call": "mcp", "reasoning": "rs"}.get(step.type, "item")


def _error(moment: Snapshot, status: str) -> Json | None:
    if status != "failed":
        return None
    return _EXPIRED if moment.status == "expired" else moment.script.last_error or _ERROR


def _incomplete_details(moment: Snapshot) -> Json:
    reason = (moment.script.incomplete_details or {}).get("reason", "max_output_tokens")
    return {"reason": _REASONS.get(reason, reason)}


def _usage(moment: Snapshot, status: str) -> Json | None:
    if status not in {"completed", "incomplete"}:
        return None
    usage = moment.usage() if moment.status in TERMINAL else moment.summed_usage()
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
