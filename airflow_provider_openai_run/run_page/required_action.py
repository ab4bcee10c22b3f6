"""The action that a run waits for, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import format_json, format_value, shorten
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


@dataclass(frozen=True, slots=True)
class RequiredActionView:
    """
    The action that a run waits for.

    :param title: a short description.
    :param calls: the pending tool calls.
    :param other: the action as text, if it has no tool calls.
    """

    title: str
    calls: tuple[CallView, ...] = ()
    other: str | None = None


_TITLES = {
    "submit_tool_outputs": "Waiting for tool outputs",
    "submit_tool_approval": "Waiting for approval",
}
_OTHER_TITLE = "Waiting for an action"


def view_required_action(action: Json, status: str | None) -> RequiredActionView | None:
    """
    Return the action that a run waits for; None if it waits for none.

    :param action: the run's attribute ``required_action``, of any JSON type.
    :param status: the run's status.
    """
    if not action:
        needs_action = classify_status(status) is RunState.NEEDS_ACTION
        return (
            RequiredActionView("Waiting for an action that the API does not name") if needs_action else None
        )
    required = RequiredAction.from_json(action)
    return RequiredActionView(
        title=_TITLES.get(required.type or "", _OTHER_TITLE),
        calls=tuple(map(_view_call, required.calls)),
        other=None if required.calls else format_value(action),
    )


def _view_call(call: PendingCall) -> CallView:
    name = f"{call.server_label}: {call.name}" if call.server_label else call.name
    arguments = format_json(call.raw) if call.arguments is None else format_value(call.arguments)
    return CallView(name=shorten(name), id=shorten(call.id), arguments=arguments)
