"""Runs of the Assistants API.

See https://platform.openai.com/docs/api-reference/runs.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, missing, not_found
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.run_json import run_json, steps_json
from airflow_provider_openai_run.sandbox.scripts import JsonObject, Script
from airflow_provider_openai_run.sandbox.store import Store, StoredRun, read_metadata
from airflow_provider_openai_run.sandbox.threads import active_run, add_messages, create_thread, find_thread
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

#: Settings that a run inherits from its assistant, with the defaults for an unknown assistant.
_FROM_ASSISTANT: JsonObject = {
    "model": "gpt-4o",
    "instructions": None,
    "tools": [],
    "temperature": 1.0,
    "top_p": 1.0,
    "reasoning_effort": None,
    "response_format": "auto",
}
#: Defaults of the settings that an assistant does not have.
_DEFAULTS: JsonObject = {
    "max_completion_tokens": None,
    "max_prompt_tokens": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}


def create_run(
    store: Store, thread_id: str, body: JsonObject, *, script: Script | None = None, run_id: str | None = None
) -> JsonObject:
    """
    Create a run.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    :param body: the request body.
    :param script: the script, unless the metadata selects one.
    :param run_id: ID of the run; a new one by default.
    """
    find_thread(store, thread_id)
    _reject_stream(body)
    if not body.get("assistant_id"):
        raise missing("assistant_id")
    active = active_run(store, thread_id)
    if active is not None:
        raise APIError(400, f"Thread {thread_id} already has an active run {active}.")
    _require_user_message(store, thread_id, body)
    metadata = read_metadata(body)
    script = store.script_for(metadata, script)
    add_messages(store, thread_id, body.get("additional_messages") or [])
    run_id = run_id or store.new_id("run")
    now = store.now()
    timeline = RunTimeline(run_id, created_at=now, script=script, expires=True)
    settings = _settings(store, body)
    fields = {"assistant_id": body["assistant_id"], "thread_id": thread_id, "metadata": metadata, **settings}
    store.runs[run_id] = StoredRun(timeline=timeline, body=fields)
    return run_json(store, store.runs[run_id])


def create_thread_and_run(store: Store, body: JsonObject) -> JsonObject:
    """
    Create a thread and run it.

    :param store: the sandbox's data.
    :param body: the request body.
    """
    if not body.get("assistant_id"):
        raise missing("assistant_id")
    thread = create_thread(store, body.get("thread") or {})
    return create_run(store, thread["id"], body)


def get_run(store: Store, thread_id: str, run_id: str) -> JsonObject:
    """
    Retrieve a run.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    """
    return run_json(store, find_run(store, thread_id, run_id))


def list_runs(store: Store, thread_id: str, cursor: Cursor) -> JsonObject:
    """
    List the runs of a thread.

    :param store: the sandbox's data.
    :param thread_id: ID of the thread.
    :param cursor: which page to return.
    """
    find_thread(store, thread_id)
    runs = [run_json(store, run) for run in store.runs.values() if run.body["thread_id"] == thread_id]
    return page(runs, cursor, kind="run")


def list_steps(store: Store, thread_id: str, run_id: str, cursor: Cursor) -> JsonObject:
    """
    List the steps of a run.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    :param cursor: which page to return.
    """
    return page(steps_json(store, find_run(store, thread_id, run_id)), cursor, kind="run step")


def get_step(store: Store, thread_id: str, run_id: str, step_id: str) -> JsonObject:
    """
    Retrieve one step of a run.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    :param step_id: ID of the step.
    """
    for step in steps_json(store, find_run(store, thread_id, run_id)):
        if step["id"] == step_id:
            return step
    raise not_found("run step", step_id)


def update_run(store: Store, thread_id: str, run_id: str, body: JsonObject) -> JsonObject:
    """
    Change the metadata of a run that has ended.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    :param body: the request body.
    """
    run = find_run(store, thread_id, run_id)
    snapshot = run.timeline.at(store.now())
    if not snapshot.has_ended:
        raise APIError(400, f"Cannot update run with status '{snapshot.status}'.")
    run.body["metadata"] = {**run.body["metadata"], **read_metadata(body)}
    return run_json(store, run)


def cancel_run(store: Store, thread_id: str, run_id: str) -> JsonObject:
    """
    Cancel a run. Its status is "cancelling" first.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    """
    run = find_run(store, thread_id, run_id)
    snapshot = run.timeline.at(store.now())
    if snapshot.has_ended or snapshot.status == "cancelling" or run.seeded is not None:
        status = snapshot.status if run.seeded is None else run.seeded.get("status")
        raise APIError(400, f"Cannot cancel run with status '{status}'.")
    run.timeline.cancel(store.now(), seconds=snapshot.script.cancel_seconds)
    return run_json(store, run)


def submit_tool_outputs(store: Store, thread_id: str, run_id: str, body: JsonObject) -> JsonObject:
    """
    Submit the tool outputs (on Azure also approvals) that a run waits for. The run is queued again.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    :param body: the request body.
    """
    run = find_run(store, thread_id, run_id)
    _reject_stream(body)
    snapshot = run.timeline.at(store.now())
    if snapshot.status != "requires_action":
        raise APIError(400, f'Runs in status "{snapshot.status}" do not accept tool outputs.')
    if "tool_outputs" not in body and "tool_approvals" not in body:
        raise missing("tool_outputs")
    outputs = {item.get("tool_call_id"): item.get("output", "") for item in body.get("tool_outputs") or ()}
    pending = [call["id"] for call in snapshot.pending_calls()]
    if set(pending) != set(outputs):
        raise APIError(400, f"Expected tool outputs for call_ids {pending}, got {list(outputs)}")
    run.timeline.resume(store.now(), outputs)
    return run_json(store, run)


def seed_run(store: Store, body: JsonObject, steps: list[JsonObject]) -> JsonObject:
    """
    Store a run whose JSON is returned unchanged.

    :param store: the sandbox's data.
    :param body: the run's JSON, with ``id`` and ``thread_id``.
    :param steps: its steps' JSON, oldest first.
    """
    for name in ("id", "thread_id"):
        if not body.get(name):
            raise missing(name)
    if body["thread_id"] not in store.threads:
        create_thread(store, {}, thread_id=body["thread_id"])
    timeline = RunTimeline(
        body["id"], created_at=store.now(), script=Script(phases=((0, "completed"),)), expires=False
    )
    fields = {"thread_id": body["thread_id"], "assistant_id": body.get("assistant_id"), "metadata": {}}
    store.runs[body["id"]] = StoredRun(timeline=timeline, body=fields, seeded=body, seeded_steps=steps)
    return body


def find_run(store: Store, thread_id: str, run_id: str) -> StoredRun:
    """
    Return a stored run.

    :param store: the sandbox's data.
    :param thread_id: ID of the run's thread.
    :param run_id: ID of the run.
    :raises APIError: 404 if it does not exist.
    """
    find_thread(store, thread_id)
    run = store.runs.get(run_id)
    if run is None or run.body["thread_id"] != thread_id:
        raise not_found("run", run_id)
    return run


def _settings(store: Store, body: JsonObject) -> JsonObject:
    assistant = store.assistants.get(body["assistant_id"], {})
    settings: dict[str, Any] = {}
    for name, default in _FROM_ASSISTANT.items():
        value = body.get(name)
        settings[name] = assistant.get(name, default) if value is None else value
    for name, default in _DEFAULTS.items():
        value = body.get(name)
        settings[name] = default if value is None else value
    if body.get("additional_instructions"):
        parts = [settings["instructions"], body["additional_instructions"]]
        settings["instructions"] = "\n".join(part for part in parts if part)
    return settings


def _require_user_message(store: Store, thread_id: str, body: JsonObject) -> None:
    """Raise the API's error for a run without input. An unknown assistant is assumed to have instructions."""
    messages = [*store.threads[thread_id].messages, *(body.get("additional_messages") or ())]
    assistant = store.assistants.get(body["assistant_id"])
    if assistant is None or assistant["instructions"] or body.get("instructions"):
        return
    if not any(message.get("role") == "user" for message in messages):
        message = "Run creation requires a Thread with a user message or an assistant with instructions."
        raise APIError(400, message)


def _reject_stream(body: JsonObject) -> None:
    if body.get("stream"):
        raise APIError(400, "Sandbox: streaming is not supported.", param="stream")
