"""The JSON of runs and their steps, with the fields, nulls and absences of the recorded ones."""

from __future__ import annotations

from airflow_provider_openai_run.sandbox.scripts import Json
from airflow_provider_openai_run.sandbox.store import Store, StoredRun
from airflow_provider_openai_run.sandbox.threads import message_id_of
from airflow_provider_openai_run.sandbox.timeline import USAGE_DETAILS, Snapshot, StepSnapshot

_ENDED_AT = ("completed", "expired", "incomplete")
_DEFAULT_ERROR = {"code": "server_error", "message": "Sorry, something went wrong."}


def run_json(store: Store, run: StoredRun) -> Json:
    """
    Give the JSON of a run as it stands.

    :param store: what the sandbox remembers.
    :param run: the run.
    """
    if run.seeded is not None:
        return run.seeded
    life, moment = run.life, run.life.at(store.now())
    return {
        "id": life.id,
        "object": "thread.run",
        "created_at": int(life.created_at),
        "assistant_id": run.body["assistant_id"],
        "thread_id": run.body["thread_id"],
        "status": moment.status,
        "started_at": _seconds(moment.last_entered("in_progress")),
        "expires_at": None if moment.has_ended else _seconds(life.expires_at),
        "cancelled_at": _seconds(moment.since("cancelled")),
        "failed_at": _seconds(moment.since("failed")),
        "completed_at": _seconds(moment.since(*_ENDED_AT)),
        "required_action": _required_action(moment),
        "last_error": (moment.script.last_error or _DEFAULT_ERROR) if moment.status == "failed" else None,
        **_taken(run, "model", "instructions", "tools"),
        "tool_resources": {},
        **_taken(run, "metadata", "temperature", "top_p", "reasoning_effort"),
        **_taken(run, "max_completion_tokens", "max_prompt_tokens", "truncation_strategy"),
        "incomplete_details": moment.script.incomplete_details if moment.status == "incomplete" else None,
        "usage": moment.usage(),
        **_taken(run, "response_format", "tool_choice", "parallel_tool_calls"),
    }


def steps_json(store: Store, run: StoredRun) -> list[Json]:
    """
    Give the JSON of a run's steps as they stand, oldest first.

    :param store: what the sandbox remembers.
    :param run: the run.
    """
    if run.seeded is not None:
        return run.seeded_steps
    moment = run.life.at(store.now())
    return [_step_json(run, moment, played) for played in moment.steps]


def _taken(run: StoredRun, *names: str) -> Json:
    return {name: run.body[name] for name in names}


def _step_json(run: StoredRun, moment: Snapshot, played: StepSnapshot) -> Json:
    step = played.step
    error = step.last_error
    if played.status == "failed" and error is None:
        error = moment.script.last_error or _DEFAULT_ERROR
    expires_at = run.life.expires_at if played.status == "in_progress" else None
    return {
        "id": played.id,
        "object": "thread.run.step",
        "created_at": int(played.began_at),
        "run_id": run.life.id,
        "assistant_id": run.body["assistant_id"],
        "thread_id": run.body["thread_id"],
        "type": step.type,
        "status": played.status,
        "cancelled_at": _seconds(played.ended_at if played.status == "cancelled" else None),
        "completed_at": _seconds(played.ended_at if played.status == "completed" else None),
        "expires_at": _seconds(expires_at),
        "failed_at": _seconds(played.ended_at if played.status == "failed" else None),
        "last_error": error if played.status == "failed" else None,
        "step_details": _step_details(played),
        "usage": _step_usage(played),
    }


def _step_details(played: StepSnapshot) -> Json:
    step = played.step
    if step.type == "message_creation":
        return {"type": step.type, "message_creation": {"message_id": message_id_of(played.id)}}
    if step.type == "tool_calls":
        return {"type": step.type, "tool_calls": played.calls}
    return {"type": step.type, **step.details}


def _step_usage(played: StepSnapshot) -> Json | None:
    if played.usage is None:
        return None
    return played.usage | USAGE_DETAILS


def _required_action(moment: Snapshot) -> Json | None:
    if moment.status != "requires_action":
        return None
    if moment.script.required_action != "calls":
        return moment.script.required_action
    calls = []
    for call in moment.pending_calls():
        function = {name: call["function"][name] for name in ("name", "arguments")}
        calls.append({"id": call["id"], "type": "function", "function": function})
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


def _seconds(time: float | None) -> int | None:
    return None if time is None else int(time)
