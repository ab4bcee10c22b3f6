"""The built-in scripts, by name."""

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

#: A PNG image of one blue pixel, in Base64.
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGOQz38NAAIqAXp4ksuCAAAAAElFTkSuQmCC"
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
_REASONING = Step(
    type="reasoning",
    at=0.5,
    seconds=1.0,
    details={"summary": [{"type": "summary_text", "text": "**Working it out**\n\n6 times 7 is 42."}]},
    usage={
        "prompt_tokens": 120,
        "completion_tokens": 94,
        "total_tokens": 214,
        "completion_tokens_details": {"reasoning_tokens": 64},
    },
)
_WEB_SEARCH = Step(
    type="web_search_call",
    at=0.5,
    seconds=1.0,
    details={
        "status": "completed",
        "action": {
            "type": "search",
            "query": "answer to everything",
            "queries": ["answer to everything"],
            "sources": [{"type": "url", "url": "https://example.com/answer"}],
        },
    },
)
_WEB_ANSWER = Step(
    at=2.0,
    seconds=1.0,
    text="The answer is 42 ([example.com](https://example.com/answer)).",
    annotations=(
        {
            "type": "url_citation",
            "start_index": 17,
            "end_index": 60,
            "title": "The answer",
            "url": "https://example.com/answer",
        },
    ),
)
_MCP_TOOLS = Step(
    type="mcp_list_tools",
    at=0.5,
    seconds=0.5,
    details={
        "server_label": "dice",
        "tools": [
            {
                "name": "roll",
                "description": "Roll dice.",
                "input_schema": {"type": "object", "properties": {"dice": {"type": "string"}}},
                "annotations": {"read_only": True},
            },
        ],
    },
)
_MCP_CALL = Step(
    type="mcp_call",
    at=1.0,
    seconds=1.0,
    details={
        "status": "completed",
        "approval_request_id": None,
        "arguments": '{"dice": "2d6"}',
        "error": None,
        "name": "roll",
        "output": "7",
        "server_label": "dice",
    },
)
_IMAGE = Step(
    type="image_generation_call",
    at=0.5,
    seconds=1.5,
    details={
        "status": "completed",
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "result": _PNG,
        "revised_prompt": "A blue square.",
        "size": "1024x1024",
    },
)
_CITED_ANSWER = Step(
    at=2.0,
    seconds=1.0,
    text="The answer is 42.【4:0†handbook.txt】",
    annotations=(
        {"type": "file_citation", "file_id": "file-sandbox", "filename": "handbook.txt", "index": 17},
    ),
)
_REFUSAL = Step(at=2.0, seconds=1.0, refusal="I'm sorry, I can't help with that.")
_SERVER_ERROR = {"code": "server_error", "message": "Sorry, something went wrong."}
_QUOTA = {
    "code": "rate_limit_exceeded",
    "message": "You exceeded your current quota, please check your plan and billing details.",
}


def _phases(status: str, *, after: float = 3.0, begins: float = 0.5) -> tuple[tuple[float, str], ...]:
    return ((0, "queued"), (begins, "in_progress"), (after, status))


_COMPLETED = Script(
    phases=_phases("completed"), steps=(_CALCULATION, _MESSAGE), description="completes after 3 s"
)
_ROUND = ((0, "queued"), (0.5, "in_progress"), (1.0, "requires_action"))
_REQUIRES_ACTION = Script(
    phases=_ROUND,
    steps=(_WEATHER,),
    after_outputs=Script(phases=_phases("completed", after=2.0), steps=(Step(at=1.0, seconds=1.0),)),
    description="requires two tool outputs after 1 s; completes 2 s after they are submitted",
)

#: Every script that the sandbox starts with, by name.
BUILTIN_SCRIPTS: Mapping[str, Script] = MappingProxyType(
    {
        "completed": _COMPLETED,
        "instant": Script(
            phases=((0, "completed"),), steps=(Step(),), description="completed as soon as it is created"
        ),
        "minute": Script(
            phases=_phases("completed", after=60.0, begins=2.0),
            steps=many_steps(6, seconds=58.0),
            description="completes after 60 s, in six steps",
        ),
        "many_steps": Script(
            phases=_phases("completed"),
            steps=many_steps(45, seconds=2.5),
            description="completes after 3 s, in 45 steps",
        ),
        "file_search": Script(
            phases=_phases("completed"),
            steps=(_SEARCH, _MESSAGE),
            description="completes after 3 s, with a file search",
        ),
        "reasoning": Script(
            phases=_phases("completed"),
            steps=(_REASONING, _MESSAGE),
            description="completes after 3 s, with a reasoning summary",
        ),
        "web_search": Script(
            phases=_phases("completed"),
            steps=(_WEB_SEARCH, _WEB_ANSWER),
            description="completes after 3 s, with a web search and a cited URL",
        ),
        "mcp": Script(
            phases=_phases("completed"),
            steps=(_MCP_TOOLS, _MCP_CALL, _MESSAGE),
            description="completes after 3 s, with the call of an MCP tool",
        ),
        "image_generation": Script(
            phases=_phases("completed"),
            steps=(_IMAGE, _MESSAGE),
            description="completes after 3 s, with a generated image (one blue pixel)",
        ),
        "citations": Script(
            phases=_phases("completed"),
            steps=(_SEARCH, _CITED_ANSWER),
            description="completes after 3 s, with a file search and a cited file",
        ),
        "refusal": Script(
            phases=_phases("completed"),
            steps=(_REFUSAL,),
            description="completes after 3 s, but the model refuses to answer",
        ),
        "no_usage": Script(
            phases=_phases("completed"),
            steps=(_MESSAGE,),
            usage=None,
            description="completes after 3 s without token usage",
        ),
        "failed": Script(
            phases=_phases("failed"),
            steps=(_CALCULATION, Step(at=2.0, seconds=5.0)),
            last_error=_SERVER_ERROR,
            description="fails after 3 s, in its second step",
        ),
        "failed_at_once": Script(
            phases=((0, "failed"),),
            last_error=_QUOTA,
            description="failed as soon as it is created (quota exceeded)",
        ),
        "rate_limited": Script(
            phases=_phases("failed", after=1.0),
            last_error=_QUOTA,
            description="fails after 1 s without a step (quota exceeded)",
        ),
        "incomplete": Script(
            phases=_phases("incomplete"),
            steps=(_MESSAGE,),
            incomplete_details={"reason": "max_completion_tokens"},
            description="incomplete after 3 s: it reached its token limit",
        ),
        "expired": Script(
            phases=_phases("expired"),
            steps=(_CALCULATION, Step(at=2.0, seconds=5.0)),
            description="expires after 3 s",
        ),
        "cancelled": Script(
            phases=((0, "queued"), (0.5, "in_progress"), (2.0, "cancelling"), (3.0, "cancelled")),
            steps=(_CALCULATION, Step(at=1.5, seconds=5.0)),
            description="cancelling after 2 s, cancelled after 3 s",
        ),
        "cancelling": Script(
            phases=((0, "queued"), (0.5, "in_progress"), (1.0, "cancelling")),
            description="cancelling after 1 s, until it expires",
        ),
        "queued": Script(phases=((0, "queued"),), description="queued until it expires"),
        "in_progress": Script(
            phases=((0, "queued"), (0.5, "in_progress")),
            steps=(_CALCULATION,),
            description="in progress until it expires",
        ),
        "requires_action": _REQUIRES_ACTION,
        "requires_action_twice": Script(
            phases=_ROUND,
            steps=(_TIME,),
            after_outputs=_REQUIRES_ACTION,
            description="requires tool outputs in two rounds",
        ),
        "requires_action_without_details": Script(
            phases=_ROUND,
            steps=(_WEATHER,),
            required_action=None,
            after_outputs=_REQUIRES_ACTION.after_outputs,
            description="requires tool outputs, but required_action is null",
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
            description="requires the approval of an MCP tool call",
        ),
        "unknown_status": Script(
            phases=((0, "queued"), (0.5, "in_progress"), (1.0, "paused_by_vendor")),
            description="enters an undocumented status, until it expires",
        ),
        "unknown_status_then_completed": Script(
            phases=((0, "queued"), (0.5, "paused_by_vendor"), (2.0, "in_progress"), (3.0, "completed")),
            steps=(_MESSAGE,),
            description="passes through an undocumented status, completes after 3 s",
        ),
        "unknown_steps": Script(
            phases=_phases("completed"),
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
            description="completes after 3 s with undocumented steps and tools",
        ),
        "resurrected": Script(
            phases=((0, "queued"), (1.0, "cancelled"), (2.0, "in_progress"), (3.0, "completed")),
            steps=(_MESSAGE,),
            description="cancelled after 1 s, then completes (as with one gateway)",
        ),
    },
)
