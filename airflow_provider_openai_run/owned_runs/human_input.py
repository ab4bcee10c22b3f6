"""Asking a person through Airflow's own human-in-the-loop, which parks a task with no trigger from 3.3 on."""

from __future__ import annotations

import time
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.owned_runs.continuation import Continuation
    from airflow_provider_openai_run.owned_runs.tools import PendingToolCall
    from airflow_provider_openai_run.types.run import Json

APPROVE = "Approve"
REJECT = "Reject"
SUBMIT = "Submit"
OUTPUT = "output"

#: The method a task goes on in after a person has answered.
RESUMES_IN = "execute_answered"


def can_be_asked() -> bool:
    """Whether this Airflow can park a task until a person has answered: 3.3 and later."""
    if find_spec("airflow.sdk.execution_time.hitl") is None:
        return False
    from airflow.sdk import exceptions

    return hasattr(exceptions, "TaskAwaitingInput")


def ask(
    context: Context, call: PendingToolCall, progress: Continuation, *, deadline: float | None
) -> NoReturn:
    """
    Park the task until a person has answered one call; it goes on in ``execute_answered``.

    :param context: of the running task.
    :param call: what the run asks for. Its arguments are shown to the person and kept by Airflow.
    :param progress: how far the task has come.
    :param deadline: when to give up, in epoch seconds.
    """
    from airflow.sdk import Param
    from airflow.sdk.exceptions import TaskAwaitingInput
    from airflow.sdk.execution_time.hitl import upsert_hitl_detail

    is_approval = call.kind == "approval"
    where = f" of {call.where}" if call.where else ""
    asked = "May the model use" if is_approval else "Please answer for the model:"
    output = Param("", type="string", description="What the model is given as the tool's output")
    upsert_hitl_detail(
        ti_id=context["ti"].id,
        options=[APPROVE, REJECT] if is_approval else [SUBMIT],
        subject=f"{asked} {call.name}{where}{'?' if is_approval else ''}",
        body=f"{progress.ref} asks for `{call.name}`{where} ({call.id}):\n\n```json\n{call.arguments}\n```",
        params={} if is_approval else {OUTPUT: output.serialize()},
    )
    left = None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()))
    kwargs = {"progress": progress.to_json(), "call_id": call.id}
    raise TaskAwaitingInput(method_name=RESUMES_IN, kwargs=kwargs, timeout=left)


def answer_of(event: dict[str, Json]) -> Json:
    """
    Give what a person has answered: True or False for an approval, else the tool's output.

    :param event: what Airflow resumed the task with.
    """
    chosen = event["chosen_options"]
    return (event.get("params_input") or {}).get(OUTPUT, "") if SUBMIT in chosen else APPROVE in chosen
