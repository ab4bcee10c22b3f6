"""The required action of a run: one reader of the attribute ``required_action`` for all APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from airflow_provider_openai_run.types.storable import bounded_text

if TYPE_CHECKING:
    from airflow_provider_openai_run.types.json import Json

CallKind: TypeAlias = Literal["function", "approval", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """
    One call that a run waits for.

    :param id: the call's id, by which its output or approval is submitted; empty where the API sent none.
    :param kind: ``"function"`` for a function's output, ``"approval"`` for a tool that the API runs itself
        once it is approved, ``"other"`` for a kind of call that has no function.
    :param name: the function, or the tool to approve.
    :param arguments: as the API sent them: JSON text, if the model kept to the rules; None if there are none.
    :param server_label: the MCP server that has the tool, for an approval.
    :param raw: the call as the API sent it.
    """

    id: str
    kind: CallKind
    name: str
    arguments: Json = None
    server_label: str | None = None
    raw: dict[str, Json] = field(default_factory=dict, compare=False, repr=False)

    @property
    def arguments_text(self) -> str:
        """The arguments as text, ``{}`` if there are none."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments or {})

    def __str__(self) -> str:
        return f"{bounded_text(self.name)} ({bounded_text(self.id)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredAction:
    """
    The calls that a run waits for.

    :param type: the API's word for it, such as ``submit_tool_outputs``.
    :param calls: the calls that wait for an output, then those that wait for an approval.
    """

    type: str | None = None
    calls: tuple[PendingCall, ...] = ()

    @classmethod
    def from_json(cls, action: Json) -> RequiredAction:
        """
        Read the attribute ``required_action``; nothing about its shape is trusted.

        :param action: the attribute, of any API.
        """
        if not isinstance(action, dict):
            return cls()
        outputs = [_output_call(call) for call in _raw_calls(action.get("submit_tool_outputs"))]
        approvals = [_approval_call(call) for call in _raw_calls(action.get("submit_tool_approval"))]
        kind = action.get("type")
        return cls(type=str(kind) if kind else None, calls=(*outputs, *approvals))


def _raw_calls(part: Json) -> list[dict[str, Json]]:
    calls = part.get("tool_calls") if isinstance(part, dict) else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _output_call(call: dict[str, Json]) -> PendingCall:
    function = call.get("function")
    if not isinstance(function, dict):
        return _call(call, "other")
    return _call({**call, **function, "id": call.get("id")}, "function", raw=call)


def _approval_call(call: dict[str, Json]) -> PendingCall:
    return _call(call, "approval")


def _call(fields: dict[str, Json], kind: CallKind, raw: dict[str, Json] | None = None) -> PendingCall:
    server_label = fields.get("server_label")
    return PendingCall(
        id=str(fields.get("id") or fields.get("call_id") or ""),
        kind=kind,
        name=str(fields.get("name") or fields.get("type") or "call"),
        arguments=fields.get("arguments"),
        server_label=str(server_label) if server_label else None,
        raw=fields if raw is None else raw,
    )
