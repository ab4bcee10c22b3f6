"""Input from a person, through Airflow's human-in-the-loop: the task is parked without a trigger."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from uuid import UUID

    from airflow_provider_openai_run.types.json import Json
    from airflow_provider_openai_run.types.required_action import PendingCall
    from airflow_provider_openai_run.types.run_ref import RunRef

APPROVE = "Approve"
REJECT = "Reject"
SUBMIT = "Submit"
OUTPUT = "output"

#: The method in which the task continues after a person has responded.
RESUME_METHOD = "execute_answered"


def is_available() -> bool:
    """Whether this Airflow can park a task until a person responds: 3.3 and later."""
    if find_spec("airflow.sdk.execution_time.hitl") is None:
        return False
    from airflow.sdk import exceptions

    return hasattr(exceptions, "TaskAwaitingInput")


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanInputRequest:
    """
    A request to a person, as it is shown under "Required actions".

    :param subject: one line.
    :param body: Markdown; it holds the call's arguments.
    :param options: the buttons.
    :param params: the input fields, as serialized ``Param``.
    """

    subject: str
    body: str
    options: list[str]
    params: dict[str, Any] = field(default_factory=dict)


def build_request(call: PendingCall, ref: RunRef) -> HumanInputRequest:
    """
    Return the request for one call: an approval, or the call's output.

    :param call: the call.
    :param ref: the run that waits for it.
    """
    from airflow.sdk import Param

    server = f" of {call.server_label}" if call.server_label else ""
    body = f"{ref} waits for `{call.name}`{server} ({call.id}):\n\n```json\n{call.arguments_text}\n```"
    if call.kind == "approval":
        subject = f"May the model use {call.name}{server}?"
        return HumanInputRequest(subject=subject, body=body, options=[APPROVE, REJECT])
    output = Param("", type="string", description="The tool's output, which is submitted to the model")
    return HumanInputRequest(
        subject=f"Enter the output of {call.name}{server} for the model",
        body=body,
        options=[SUBMIT],
        params={OUTPUT: output.serialize()},
    )


def wait_for_person(
    ti_id: UUID, request: HumanInputRequest, kwargs: dict[str, Json], deadline: float | None
) -> NoReturn:
    """
    Park the task until a person responds; it continues in :data:`RESUME_METHOD`.

    :param ti_id: the id of the task instance.
    :param request: what the person sees.
    :param kwargs: what the method is called with, beside the event.
    :param deadline: when to give up, in epoch seconds; None waits as long as it takes.
    """
    from airflow.sdk.exceptions import TaskAwaitingInput
    from airflow.sdk.execution_time.hitl import upsert_hitl_detail

    upsert_hitl_detail(
        ti_id=ti_id,
        options=request.options,
        subject=request.subject,
        body=request.body,
        params=request.params,
    )
    timeout = None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()))
    raise TaskAwaitingInput(method_name=RESUME_METHOD, kwargs=kwargs, timeout=timeout)


def read_answer(event: dict[str, Any]) -> Json:
    """
    Return what a person has answered: True or False for an approval, else the tool's output.

    :param event: what Airflow resumed the task with.
    """
    chosen = event["chosen_options"]
    if SUBMIT not in chosen:
        return APPROVE in chosen
    output: Json = (event.get("params_input") or {}).get(OUTPUT, "")
    return output
