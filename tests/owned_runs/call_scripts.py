"""Scripts of the sandbox for runs that wait for approvals and function calls at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_openai_run.sandbox import Script, Step
from airflow_provider_openai_run.sandbox.scripts import function_call

JsonObject = dict[str, Any]


def approval(call_id: str, name: str, arguments: Mapping[str, Any], server: str = "bank") -> JsonObject:
    """Return a tool call of an MCP server that needs an approval."""
    call = {"id": call_id, "type": "mcp", "name": name, "server_label": server}
    return {**call, "arguments": json.dumps(arguments)}


def function(call_id: str, name: str, arguments: Mapping[str, Any]) -> JsonObject:
    """Return a call of a function."""
    return {"id": call_id, **function_call(name, arguments)}


def one_round(
    *,
    approvals: Sequence[JsonObject] = (),
    functions: Sequence[JsonObject] = (),
    then: Script,
    at: float = 1.0,
) -> Script:
    """
    Return a run that waits for calls, in the form of both APIs.

    :param approvals: the calls that need an approval.
    :param functions: the calls of functions.
    :param then: what happens once they are answered.
    :param at: when it waits for them, in seconds.
    """
    steps = [Step(type="tool_calls", at=at / 2, details={"tool_calls": [call]}) for call in functions]
    for call in approvals:
        details = {name: call[name] for name in ("name", "arguments", "server_label")}
        steps.append(Step(type="mcp_approval_request", at=at / 2, details=details))
    action: JsonObject = {"type": "submit_tool_outputs"}
    if functions:
        action["submit_tool_outputs"] = {"tool_calls": list(functions)}
    if approvals:
        action["submit_tool_approval"] = {"tool_calls": list(approvals)}
    return Script(
        phases=((0.0, "queued"), (at / 4, "in_progress"), (at, "requires_action")),
        steps=tuple(steps),
        required_action=action,
        after_outputs=then,
    )
