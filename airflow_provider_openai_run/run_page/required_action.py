"""What a run waits for."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import first_line, pretty, readable
from airflow_provider_openai_run.types.required_action import PendingCall, RequiredAction
from airflow_provider_openai_run.types.run import Json
from airflow_provider_openai_run.types.status import RunState, classify_status


@dataclass(frozen=True, slots=True)
class CallView:
    """
    A call that waits for its output or its approval, as the page shows it.

    :param name: the function's or the tool's.
    :param id: the call's.
    :param arguments: as text.
    """

    name: str
    id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Pending:
    """
    What a run waits for.

    :param title: in a few words.
    :param calls: the calls that wait.
    :param other: what it says beside calls, as JSON.
    """

    title: str
    calls: tuple[CallView, ...]
    other: str | None = None


_TITLES = {
    "submit_tool_outputs": "Waits for tool outputs",
    "submit_tool_approval": "Waits for an approval",
}


def pending_of(action: Json, status: str | None) -> Pending | None:
    """
    Read what a run waits for.

    :param action: the attribute ``required_action``.
    :param status: the run's.
    :return: None if it waits for nothing.
    """
    if not action:
        asks = classify_status(status) is RunState.NEEDS_ACTION
        return Pending("Waits for an action that the API does not name", ()) if asks else None
    if not isinstance(action, dict):
        return Pending("Waits for an action", (), readable(action))
    required = RequiredAction.from_json(action)
    title = _TITLES.get(required.type or "", "Waits for an action")
    return Pending(title, tuple(map(_view, required.calls)), None if required.calls else pretty(action))


def _view(call: PendingCall) -> CallView:
    name = f"{call.server_label}: {call.name}" if call.server_label else call.name
    arguments = pretty(call.raw) if call.arguments is None else readable(call.arguments)
    return CallView(name=first_line(name), id=first_line(call.id), arguments=arguments)
