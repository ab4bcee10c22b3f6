"""The action that a run waits for, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import format_json, format_value, shorten
from airflow_provider_openai_run.run_page.links import Link, required_action_link
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.required_action import PendingCall, RequiredAction
from airflow_provider_openai_run.types.status import RunState, classify_status


@dataclass(frozen=True, slots=True)
class CallView:
    """
    A tool call that waits for its output or for approval.

    :param name: the name of the function or the tool, after the name of its MCP server.
    :param arguments: the call's arguments as text.
    """

    name: str
    id: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredActionView:
    """
    The action that a run waits for, or the calls with which a response has ended.

    :param title: a short description.
    :param severity: one of :data:`~airflow_provider_openai_run.run_page.severity.SEVERITIES`.
    :param note: a sentence about it.
    :param link: where a person answers, if the task waits for one.
    :param calls: the tool calls.
    :param other: the action as text, if it has no tool calls.
    """

    title: str
    severity: str = "waiting"
    note: str | None = None
    link: Link | None = None
    calls: tuple[CallView, ...] = ()
    other: str | None = None


_TITLES = {
    "submit_tool_outputs": "Waiting for tool outputs",
    "submit_tool_approval": "Waiting for approval",
}
_OTHER_TITLE = "Waiting for an action"
_FOR_PERSON = "Waiting for a person"


def view_required_action(
    action: Json, status: str | None, task: TaskInstanceInfo
) -> RequiredActionView | None:
    """
    Return the action that a run waits for; None if it waits for none.

    :param action: the run's attribute ``required_action``, of any JSON type.
    :param status: the run's status.
    :param task: the task instance.
    """
    needs_action = classify_status(status) is RunState.NEEDS_ACTION
    required = RequiredAction.from_json(action)
    calls = tuple(map(_view_call, required.calls))
    other = format_value(action) if action and not calls else None
    if task.waits_for_person:
        return RequiredActionView(
            title=_FOR_PERSON, link=required_action_link(task), calls=calls, other=other
        )
    if not action:
        title = "Waiting for an action that the API does not name"
        return RequiredActionView(title=title) if needs_action else None
    if needs_action:
        return RequiredActionView(
            title=_TITLES.get(required.type or "", _OTHER_TITLE), calls=calls, other=other
        )
    if task.is_live:
        return RequiredActionView(
            title="The task is answering these calls", severity="active", calls=calls, other=other
        )
    return RequiredActionView(
        title="Requested calls",
        severity="unknown",
        note="The run has ended with these calls. The API does not say whether they were answered.",
        calls=calls,
        other=other,
    )


def _view_call(call: PendingCall) -> CallView:
    name = f"{call.server_label}: {call.name}" if call.server_label else call.name
    arguments = format_json(call.raw) if call.arguments is None else format_value(call.arguments)
    return CallView(name=shorten(name), id=shorten(call.id), arguments=arguments)
