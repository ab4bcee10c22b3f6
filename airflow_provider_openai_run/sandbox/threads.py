"""Endpoints for assistants, threads and messages.

See https://platform.openai.com/docs/api-reference/threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, missing, not_found
from airflow_provider_openai_run.sandbox.message_text import file_annotations, message_text
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.scripts import JsonObject, Step
from airflow_provider_openai_run.sandbox.store import Store, Thread, read_metadata
from airflow_provider_openai_run.sandbox.timeline import opaque_id


def create_assistant(store: Store, body: JsonObject) -> JsonObject:
    """
    Create an assistant.

    :param store: the sandbox's data.
    :param body: the request body.
    """
    if not body.get("model"):
        raise missing("model")
    assistant = {
        "id": store.new_id("asst"),
        "object": "assistant",
        "created_at": int(store.now()),
        "name": body.get("name"),
        "description": body.get("description"),
        "model": body["model"],
        "instructions": body.get("instructions"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "temperature": body.get("temperature", 1.0),
        "reasoning_effort": body.get("reasoning_effort"),
        "tool_resources": body.get("tool_resources") or {},
        "metadata": read_metadata(body),
        "response_format": body.get("response_format") or "auto",
    }
    store.assistants[assistant["id"]] = assistant
    return assistant


def get_assistant(store: Store, assistant_id: str) -> JsonObject:
    """
    Retrieve an assistant.

    :param store: the sandbox's data.
    :param assistant_id: ID of the assistant.
    """
    if assistant_id not in store.assistants:
        raise not_found("assistant", assistant_id)
    return store.assistants[assistant_id]


def create_thread(store: Store, body: JsonObject, *, thread_id: str | None = None) -> JsonObject:
    """
    Create a thread.

    :param store: the sandbox's data.
    :param body: the request body.
    :param thread_id: ID of the thread; a new one by default.
    """
    thread = Thread(
        body={
            "id": thread_id or store.new_id("thread"),
            "object": "thread",
            "created_at": int(store.now()),
            "metadata": read_metadata(body),
            "tool_resources": body.get("tool_resources") or {},
        },
    )
    messages = [_message(store, thread.body["id"], message) for message in body.get("messages") or ()]
    thread.messages.extend(messages)
    store.threads[thread.body["id"]] = thread
    return thread.body


def find_thread(store: Store, thread_id: str) -> Thread:
    """
    Return a stored thread.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    :raises APIError: 404 if it does not exist.
    """
    if thread_id not in store.threads:
        raise not_found("thread", thread_id)
    return store.threads[thread_id]


def active_run(store: Store, thread_id: str) -> str | None:
    """
    Return the ID of a thread's active run, or None.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    """
    for run_id, run in store.runs.items():
        is_scripted = run.body["thread_id"] == thread_id and run.seeded is None
        if is_scripted and not run.timeline.at(store.now()).has_ended:
            return run_id
    return None


def delete_thread(store: Store, thread_id: str) -> JsonObject:
    """
    Delete a thread and its runs.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    """
    find_thread(store, thread_id)
    del store.threads[thread_id]
    for run_id in [run_id for run_id, run in store.runs.items() if run.body["thread_id"] == thread_id]:
        del store.runs[run_id]
    return {"id": thread_id, "object": "thread.deleted", "deleted": True}


def create_message(store: Store, thread_id: str, body: JsonObject) -> JsonObject:
    """
    Create a message in a thread.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    :param body: the request body.
    """
    thread = find_thread(store, thread_id)
    active = active_run(store, thread_id)
    if active is not None:
        raise APIError(400, f"Can't add messages to {thread_id} while a run {active} is active.")
    message = _message(store, thread_id, body)
    thread.messages.append(message)
    return message


def add_messages(store: Store, thread_id: str, messages: list[JsonObject]) -> None:
    """
    Add a run's additional messages to its thread.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    :param messages: the messages' JSON from the request.
    """
    find_thread(store, thread_id).messages.extend(_message(store, thread_id, message) for message in messages)


def list_messages(store: Store, thread_id: str, cursor: Cursor) -> JsonObject:
    """
    List the messages of a thread, including the messages of its runs.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    :param cursor: which page to return.
    """
    messages = [*find_thread(store, thread_id).messages, *_run_messages(store, thread_id)]
    return page(sorted(messages, key=lambda message: float(message["created_at"])), cursor, kind="message")


def message_id_of(step_id: str) -> str:
    """
    Return the ID of the message that a step creates.

    :param step_id: ID of the step.
    """
    return opaque_id("msg", step_id)


def _run_messages(store: Store, thread_id: str) -> list[JsonObject]:
    messages = []
    for run_id, run in store.runs.items():
        if run.body["thread_id"] != thread_id:
            continue
        for snapshot in run.timeline.at(store.now()).steps:
            if snapshot.step.type == "message_creation" and snapshot.status == "completed":
                content = _content(snapshot.step, run.body.get("response_format"))
                message = _message_body(thread_id, snapshot.began_at, "assistant", content, {})
                message |= {
                    "id": message_id_of(snapshot.id),
                    "assistant_id": run.body["assistant_id"],
                    "run_id": run_id,
                }
                messages.append(message)
    return messages


def _message(store: Store, thread_id: str, body: JsonObject) -> JsonObject:
    for name in ("role", "content"):
        if name not in body:
            raise missing(name)
    content = body["content"]
    parts = _text(content) if isinstance(content, str) else [_part(part) for part in content]
    message = _message_body(thread_id, store.now(), body["role"], parts, read_metadata(body))
    message |= {"id": store.new_id("msg"), "attachments": body.get("attachments") or []}
    return message


def _message_body(
    thread_id: str, created_at: float, role: str, content: list[JsonObject], metadata: dict[str, str]
) -> JsonObject:
    return {
        "id": None,
        "object": "thread.message",
        "created_at": int(created_at),
        "assistant_id": None,
        "thread_id": thread_id,
        "run_id": None,
        "role": role,
        "content": content,
        "attachments": [],
        "metadata": metadata,
    }


def _content(step: Step, response_format: Any) -> list[JsonObject]:
    if step.refusal is not None:
        return [{"type": "refusal", "refusal": step.refusal}]
    text = message_text(step, response_format)
    return _text(text, file_annotations(step, text))


def _text(text: str, annotations: Sequence[JsonObject] = ()) -> list[JsonObject]:
    return [{"type": "text", "text": {"value": text, "annotations": list(annotations)}}]


def _part(part: dict[str, Any]) -> JsonObject:
    text = part.get("text")
    return _text(text)[0] if part.get("type") == "text" and isinstance(text, str) else part
