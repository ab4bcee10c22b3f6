"""The JSON of runs and their steps, with the fields and nulls of recorded ones."""

from __future__ import annotations

from airflow_provider_openai_run.sandbox.scripts import JsonObject
from airflow_provider_openai_run.sandbox.store import Store, StoredRun
from airflow_provider_openai_run.sandbox.threads import message_id_of
from airflow_provider_openai_run.sandbox.timeline import USAGE_DETAILS, Snapshot, StepSnapshot

_SETS_COMPLETED_AT = ("completed", "expired", "incomplete")
_DEFAULT_ERROR = {"code": "server_error", "message": "Sorry, something went wrong."}


def run_json(store: Store, run: StoredRun) -> JsonObject:
    """
    Return the JSON of a run.

    :param store: the sandbox's data.
    :param run: the run.
    """
    if run.seeded is not None:
        return run.seeded
    timeline, snapshot = run.timeline, run.timeline.at(store.now())
    return {
        "id": timeline.id,
        "object": "thread.run",
        "created_at": int(timeline.created_at),
        "assistant_id": run.body["assistant_id"],
        "thread_id": run.body["thread_id"],
        "status": snapshot.status,
        "started_at": _seconds(snapshot.last_change_to("in_progress")),
        "expires_at": None if snapshot.has_ended else _seconds(timeline.expires_at),
        "cancelled_at": _seconds(snapshot.status_since("cancelled")),
        "failed_at": _seconds(snapshot.status_since("failed")),
        "completed_at": _seconds(snapshot.status_since(*_SETS_COMPLETED_AT)),
        "required_action": _required_action(snapshot),
        "last_error": (snapshot.script.last_error or _DEFAULT_ERROR) if snapshot.status == "failed" else None,
        **_fields(run, "model", "instructions", "tools"),
        "tool_resources": {},
        **_fields(run, "metadata", "temperature", "top_p", "reasoning_effort"),
        **_fields(run, "max_completion_tokens", "max_prompt_tokens", "truncation_strategy"),
        "incomplete_details": snapshot.script.incomplete_details if snapshot.status == "incomplete" else None,
        "usage": snapshot.usage(),
        **_fields(run, "response_format", "tool_choice", "parallel_tool_calls"),
    }


def steps_json(store: Store, run: StoredRun) -> list[JsonObject]:
    """
    Return the JSON of a run's steps, oldest first.

    :param store: the sandbox's data.
    :param run: the run.
    """
    if run.seeded is not None:
        return run.seeded_steps
    snapshot = run.timeline.at(store.now())
    return [_step_json(run, snapshot, step_snapshot) for step_snapshot in snapshot.steps]


def _fields(run: StoredRun, *names: str) -> JsonObject:
    return {name: run.body[name] for name in names}


def _step_json(run: StoredRun, snapshot: Snapshot, step_snapshot: StepSnapshot) -> JsonObject:
    step = step_snapshot.step
    error = step.last_error
    if step_snapshot.status == "failed" and error is None:
        error = snapshot.script.last_error or _DEFAULT_ERROR
    expires_at = run.timeline.expires_at if step_snapshot.status == "in_progress" else None
    return {
        "id": step_snapshot.id,
        "object": "thread.run.step",
        "created_at": int(step_snapshot.began_at),
        "run_id": run.timeline.id,
        "assistant_id": run.body["assistant_id"],
        "thread_id": run.body["thread_id"],
        "type": step.type,
        "status": step_snapshot.status,
        "cancelled_at": _seconds(step_snapshot.ended_at if step_snapshot.status == "cancelled" else None),
        "completed_at": _seconds(step_snapshot.ended_at if step_snapshot.status == "completed" else None),
        "expires_at": _seconds(expires_at),
        "failed_at": _seconds(step_snapshot.ended_at if step_snapshot.status == "failed" else None),
        "last_error": error if step_snapshot.status == "failed" else None,
        "step_details": _step_details(step_snapshot),
        "usage": _step_usage(step_snapshot),
    }


def _step_details(step_snapshot: StepSnapshot) -> JsonObject:
    step = step_snapshot.step
    if step.type == "message_creation":
        return {"type": step.type, "message_creation": {"message_id": message_id_of(step_snapshot.id)}}
    if step.type == "tool_calls":
        return {"type": step.type, "tool_calls": step_snapshot.calls}
    return {"type": step.type, **step.details}


def _step_usage(step_snapshot: StepSnapshot) -> JsonObject | None:
    if step_snapshot.usage is None:
        return None
    return USAGE_DETAILS | step_snapshot.usage


def _required_action(snapshot: Snapshot) -> JsonObject | None:
    if snapshot.status != "requires_action":
        return None
    if snapshot.script.required_action != "calls":
        return snapshot.script.required_action
    calls = []
    for call in snapshot.pending_calls():
        function = {name: call["function"][name] for name in ("name", "arguments")}
        calls.append({"id": call["id"], "type": "function", "function": function})
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


def _seconds(time: float | None) -> int | None:
    return None if time is None else int(time)
