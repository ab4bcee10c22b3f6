"""What a run waits for."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openai_run.run_page.formatting import first_line, pretty, readable
from airflow_provider_openai_run.types.run import Json
from airflow_provider_openai_run.types.status import RunState, classify_status


@dataclass(frozen=True, slots=True)
class PendingCall:
    """
    A call that waits for its output or its approval.

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
    calls: tuple[PendingCall, ...]
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
    calls: list[Json] = []
    for kind in _TITLES:
        inner = action.get(kind)
        found = inner.get("tool_calls") if isinstance(inner, dict) else None
        calls += [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []
    title = _TITLES.get(str(action.get("type")), "Waits for an action")
    return Pending(title, tuple(map(_call, calls)), None if calls else pretty(action))


def _call(call: dict[str, Json]) -> PendingCall:
    function = call.get("function")
    inner = {**call, **function} if isinstance(function, dict) else call
    name = str(inner.get("name") or inner.get("type") or "call")
    server = inner.get("server_label")
    arguments = inner.get("arguments")
    return PendingCall(
        name=first_line(f"{server}: {name}" if server else name),
        id=first_line(str(call.get("id") or call.get("call_id") or "")),
        arguments=pretty(call) if arguments is None else readable(arguments),
    )
