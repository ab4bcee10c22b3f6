"""The scripts that have names from the start."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_provider_openai_run.sandbox.scripts import (
    Script,
    Step,
    code_interpreter_call,
    function_call,
    many_steps,
)

_CALCULATION = Step(
    type="tool_calls",
    at=0.5,
    seconds=1.0,
    details={"tool_calls": [code_interpreter_call("print(6 * 7)", logs="42\n")]},
)
_SEARCH = Step(
    type="tool_calls",
    at=0.5,
    seconds=1.0,
    details={
        "tool_calls": [
            {
                "type": "file_search",
                "file_search": {
                    "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0},
                    "results": [
                        {
                            "file_id": "file-sandbox",
                            "file_name": "handbook.txt",
                            "score": 0.75,
                            "attributes": {},
                            "content": [{"type": "text", "text": "The answer is 42."}],
                        },
                    ],
                },
            },
        ],
    },
)
_MESSAGE = Step(at=2.0, seconds=1.0)
_WEATHER = Step(
    type="tool_calls",
    at=0.5,
    details={
        "tool_calls": [
            function_call("get_weather", {"city": "Oslo"}),
            function_call("get_weather", {"city": "Lima"}),
        ],
    },
)
_TIME = Step(type="tool_calls", at=0.5, details={"tool_calls": [function_call("get_time", {"city": "Oslo"})]})
_APPROVAL = Step(
    type="mcp_approval_request",
    at=0.5,
    details={"name": "roll", "arguments": '{"dice": "2d6"}', "server_label": "dice"},
)
_SERVER_ERROR = {"code": "server_error", "message": "Sorry, something went wrong."}
_QUOTA = {
    "code": "rate_limit_exceeded",
    "message": "You exceeded your current quota, please check your plan and billing details.",
}


def _ends(status: str, *, after: float = 3.0, begins: float = 0.5) -> tuple[tuple[float, str], ...]:
    return ((0, "queued"), (begins, "in_progress"), (after, status))


_COMPLETED = Script(phases=_ends("completed"), steps=(_CALCULATION, _MESSAGE), about="completes after 3 s")
_ROUND = ((0, "queued"), (0.5, "in_progress"), (1.0, "requires_action"))
_REQUIRES_ACTION = Script(
    phases=_ROUND,
    steps=(_WEATHER,),
    after_outputs=Script(phases=_ends("completed", after=2.0), steps=(Step(at=1.0, seconds=1.0),)),
    about="asks for two tool outputs after 1 s, and completes 2 s after it has them",
)

#: Every script that comes with the sandbox, by name.
BUILTIN_SCRIPTS: Mapping[str, Script] = MappingProxyType(
    {
        "completed": _COMPLETED,
        "instant": Script(
            phases=((0, "completed"),), steps=(Step(),), about="is completed as soon as it is created"
        ),
        "minute": Script(
            phases=_ends("completed", after=60.0, begins=2.0),
            steps=many_steps(6, seconds=58.0),
            about="completes after a minute, in six steps",
        ),
        "many_steps": Script(
            phases=_ends("completed"), steps=many_steps(45, seconds=2.5), about="completes in 45 steps"
        ),
        "file_search": Script(
            phases=_ends("completed"), steps=(_SEARCH, _MESSAGE), about="completes after a file search"
        ),
        "no_usage": Script(
            phases=_ends("completed"),
            steps=(_MESSAGE,),
            usage=None,
            about="completes without telling its usage",
        ),
        "failed": Script(
            phases=_ends("failed"),
            steps=(_CALCULATION, Step(at=2.0, seconds=5.0)),
            last_error=_SERVER_ERROR,
            about="fails after 3 s, in its second step",
        ),
        "failed_at_once": Script(
            phases=((0, "failed"),), last_error=_QUOTA, about="has failed when it is created"
        ),
        "rate_limited": Script(
            phases=_ends("failed", after=1.0),
            last_error=_QUOTA,
            about="fails for want of quota, without a step",
        ),
        "incomplete": Script(
            phases=_ends("incomplete"),
            steps=(_MESSAGE,),
            incomplete_details={"reason": "max_completion_tokens"},
            about="stops at its token limit after 3 s",
        ),
        "expired": Script(
            phases=_ends("expired"),
            steps=(_CALCULATION, Step(at=2.0, seconds=5.0)),
            about="expires after 3 s",
        ),
        "cancelled": Script(
            phases=((0, "queued"), (0.5, "in_progress"), (2.0, "cancelling"), (3.0, "cancelled")),
            steps=(_CALCULATION, Step(at=1.5, seconds=5.0)),
            about="is cancelled by somebody else after 3 s",
        ),
        "cancelling": Script(
            phases=((0, "queued"), (0.5, "in_progress"), (1.0, "cancelling")),
            about="is cancelling after 1 s, until it expires",
        ),
        "queued": Script(phases=((0, "queued"),), about="is queued until it expires"),
        "in_progress": Script(
            phases=((0, "queued"), (0.5, "in_progress")),
            steps=(_CALCULATION,),
            about="is in progress until it expires",
        ),
        "requires_action": _REQUIRES_ACTION,
        "requires_action_twice": Script(
            phases=_ROUND,
            steps=(_TIME,),
            after_outputs=_REQUIRES_ACTION,
            about="asks for outputs in two rounds",
        ),
        "requires_action_untold": Script(
            phases=_ROUND,
            steps=(_WEATHER,),
            required_action=None,
            after_outputs=_REQUIRES_ACTION.after_outputs,
            about="asks for tool outputs, which only its steps tell",
        ),
        "requires_approval": Script(
            phases=_ROUND,
            steps=(_APPROVAL,),
            required_action={
                "type": "submit_tool_approval",
                "submit_tool_approval": {
                    "tool_calls": [
                        {
                            "id": "call_roll",
                            "type": "mcp",
                            "name": "roll",
                            "arguments": '{"dice": "2d6"}',
                            "server_label": "dice",
                        },
                    ],
                },
            },
            after_outputs=_REQUIRES_ACTION.after_outputs,
            about="asks for the approval of an MCP tool call",
        ),
        "unknown_status": Script(
            phases=((0, "queued"), (0.5, "in_progress"), (1.0, "paused_by_vendor")),
            about="comes into a status nobody knows, until it expires",
        ),
        "unknown_status_then_completed": Script(
            phases=((0, "queued"), (0.5, "paused_by_vendor"), (2.0, "in_progress"), (3.0, "completed")),
            steps=(_MESSAGE,),
            about="comes through a status nobody knows",
        ),
        "unknown_steps": Script(
            phases=_ends("completed"),
            steps=(
                Step(
                    type="tool_calls",
                    at=0.5,
                    seconds=0.5,
                    details={
                        "tool_calls": [
                            {
                                "type": "bing_grounding",
                                "bing_grounding": {"requesturl": "https://example.com/?q=42"},
                            },
                        ],
                    },
                ),
                Step(
                    type="activities",
                    at=1.0,
                    seconds=0.5,
                    details={
                        "activities": [{"type": "mcp_list_tools", "tools": {"roll": {"parameters": {}}}}]
                    },
                ),
                _MESSAGE,
            ),
            about="completes with steps and tools nobody knows",
        ),
        "resurrected": Script(
            phases=((0, "queued"), (1.0, "cancelled"), (2.0, "in_progress"), (3.0, "completed")),
            steps=(_MESSAGE,),
            about="is cancelled and yet completes later, as one gateway has it",
        ),
    },
)
