"""Runs of the Assistants API.

See https://platform.openai.com/docs/api-reference/runs.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.sandbox.errors import APIError, missing, not_found
from airflow_provider_openai_run.sandbox.paging import Cursor, page
from airflow_provider_openai_run.sandbox.run_json import run_json, steps_json
from airflow_provider_openai_run.sandbox.scripts import Json, Script
from airflow_provider_openai_run.sandbox.store import Store, StoredRun, read_metadata
from airflow_provider_openai_run.sandbox.threads import active_run, add_messages, create_thread, find_thread
from airflow_provider_openai_run.sandbox.timeline import RunTimeline

#: What a run takes over from its assistant unless told otherwise, and what from one that nobody created here.
_FROM_ASSISTANT: Json = {
    "model": "gpt-4o",
    "instructions": None,
    "tools": [],
    "temperature": 1.0,
    "top_p": 1.0,
    "reasoning_effort": None,
    "response_format": "auto",
}
#: What a run is unless told otherwise.
_DEFAULTS: Json = {
    "max_completion_tokens": None,
    "max_prompt_tokens": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}


def create_run(store: Store, thread_id: str, body: Json, *, script: Script | None = None) -> Json:
    """
    Create a run.

    :param store: what the sandbox remembers.
    :param thread_id: the thread to run.
    :param body: the request's JSON.
    :param script: what becomes of it, unless its metadata says.
    """
    find_thread(store, thread_id)
    _refuse_stream(body)
    if not body.get("assistant_id"):
        raise missing("assistant_id")
    active = active_run(store, thread_id)
    if active is not None:
        raise APIError(400, f"Thread {thread_id} already has an active run {active}.")
    _require_something_to_do(store, thread_id, body)
    metadata = read_metadata(body)
    script = store.script_for(metadata, script)
    add_messages(store, thread_id, body.get("additional_messages") or [])
    run_id = store.new_id("run")
    now = store.now()
    life = RunTimeline(run_id, created_at=now, script=script, expires=True)
    settings = _settings(store, body)
    kept = {"assistant_id": body["assistant_id"], "thread_id": thread_id, "metadata": metadata, **settings}
    store.runs[run_id] = StoredRun(life=life, body=kept)
    return run_json(store, store.runs[run_id])


def create_thread_and_run(store: Store, body: Json) -> Json:
    """
    Create a thread and run it.

    :param store: what the sandbox remembers.
    :param body: the request's JSON.
    """
    if not body.get("assistant_id"):
        raise missing("assistant_id")
    thread = create_thread(store, body.get("thread") or {})
    return create_run(store, thread["id"], body)


def get_run(store: Store, thread_id: str, run_id: str) -> Json:
    """
    Retrieve a run.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its id.
    """
    return run_json(store, find_run(store, thread_id, run_id))


def list_runs(store: Store, thread_id: str, cursor: Cursor) -> Json:
    """
    List the runs of a thread.

    :param store: what the sandbox remembers.
    :param thread_id: the thread's id.
    :param cursor: which part of the list.
    """
    find_thread(store, thread_id)
    runs = [run_json(store, run) for run in store.runs.values() if run.body["thread_id"] == thread_id]
    return page(runs, cursor, kind="run")


def list_steps(store: Store, thread_id: str, run_id: str, cursor: Cursor) -> Json:
    """
    List the steps of a run.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its id.
    :param cursor: which part of the list.
    """
    return page(steps_json(store, find_run(store, thread_id, run_id)), cursor, kind="run step")


def get_step(store: Store, thread_id: str, run_id: str, step_id: str) -> Json:
    """
    Retrieve one step of a run.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its run's id.
    :param step_id: its id.
    """
    for step in steps_json(store, find_run(store, thread_id, run_id)):
        if step["id"] == step_id:
            return step
    raise not_found("run step", step_id)


def update_run(store: Store, thread_id: str, run_id: str, body: Json) -> Json:
    """
    Change the metadata of a run that has ended.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its id.
    :param body: the request's JSON.
    """
    run = find_run(store, thread_id, run_id)
    moment = run.life.at(store.now())
    if not moment.has_ended:
        raise APIError(400, f"Cannot update run with status '{moment.status}'.")
    run.body["metadata"] = {**run.body["metadata"], **read_metadata(body)}
    return run_json(store, run)


def cancel_run(store: Store, thread_id: str, run_id: str) -> Json:
    """
    Cancel a run; it is "cancelling" first.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its id.
    """
    run = find_run(store, thread_id, run_id)
    moment = run.life.at(store.now())
    if moment.has_ended or moment.status == "cancelling" or run.seeded is not None:
        status = moment.status if run.seeded is None else run.seeded.get("status")
        raise APIError(400, f"Cannot cancel run with status '{status}'.")
    run.life.cancel(store.now(), seconds=moment.script.cancel_seconds)
    return run_json(store, run)


def submit_tool_outputs(store: Store, thread_id: str, run_id: str, body: Json) -> Json:
    """
    Give a run the outputs (or, as on Azure, the approvals) it waits for; it is queued again.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its id.
    :param body: the request's JSON.
    """
    run = find_run(store, thread_id, run_id)
    _refuse_stream(body)
    moment = run.life.at(store.now())
    if moment.status != "requires_action":
        raise APIError(400, f'Runs in status "{moment.status}" do not accept tool outputs.')
    if "tool_outputs" not in body and "tool_approvals" not in body:
        raise missing("tool_outputs")
    outputs = {given.get("tool_call_id"): given.get("output", "") for given in body.get("tool_outputs") or ()}
    pending = [call["id"] for call in moment.pending_calls()]
    if set(pending) != set(outputs):
        raise APIError(400, f"Expected tool outputs for call_ids {pending}, got {list(outputs)}")
    run.life.resume(store.now(), outputs)
    return run_json(store, run)


def seed_run(store: Store, body: Json, steps: list[Json]) -> Json:
    """
    Put a run there that is answered exactly as given.

    :param store: what the sandbox remembers.
    :param body: the run's JSON, with an id and a thread id.
    :param steps: its steps' JSON, oldest first.
    """
    for name in ("id", "thread_id"):
        if not body.get(name):
            raise missing(name)
    if body["thread_id"] not in store.threads:
        create_thread(store, {}, thread_id=body["thread_id"])
    life = RunTimeline(
        body["id"], created_at=store.now(), script=Script(phases=((0, "completed"),)), expires=False
    )
    kept = {"thread_id": body["thread_id"], "assistant_id": body.get("assistant_id"), "metadata": {}}
    store.runs[body["id"]] = StoredRun(life=life, body=kept, seeded=body, seeded_steps=steps)
    return body


def find_run(store: Store, thread_id: str, run_id: str) -> StoredRun:
    """
    Find a run.

    :param store: what the sandbox remembers.
    :param thread_id: its thread's id.
    :param run_id: its id.
    :raises APIError: 404 when there is none.
    """
    find_thread(store, thread_id)
    run = store.runs.get(run_id)
    if run is None or run.body["thread_id"] != thread_id:
        raise not_found("run", run_id)
    return run


def _settings(store: Store, body: Json) -> Json:
    assistant = store.assistants.get(body["assistant_id"], {})
    settings: dict[str, Any] = {}
    for name, default in _FROM_ASSISTANT.items():
        given = body.get(name)
        settings[name] = assistant.get(name, default) if given is None else given
    for name, default in _DEFAULTS.items():
        given = body.get(name)
        settings[name] = default if given is None else given
    if body.get("additional_instructions"):
        parts = [settings["instructions"], body["additional_instructions"]]
        settings["instructions"] = "\n".join(part for part in parts if part)
    return settings


def _require_something_to_do(store: Store, thread_id: str, body: Json) -> None:
    """Refuse what the API refuses; an assistant nobody created here is taken to have instructions."""
    messages = [*store.threads[thread_id].messages, *(body.get("additional_messages") or ())]
    assistant = store.assistants.get(body["assistant_id"])
    if assistant is None or assistant["instructions"] or body.get("instructions"):
        return
    if not any(message.get("role") == "user" for message in messages):
        message = "Run creation requires a Thread with a user message or an assistant with instructions."
        raise APIError(400, message)


def _refuse_stream(body: Json) -> None:
    if body.get("stream"):
        raise APIError(400, "Sandbox: streaming is not played here.", param="stream")
