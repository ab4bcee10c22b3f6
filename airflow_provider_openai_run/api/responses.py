"""The Responses API: ``/responses/{response_id}`` and its output items.

https://platform.openai.com/docs/api-reference/responses, and for ``background``
https://platform.openai.com/docs/guides/background. Its output items are the run's steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from airflow_provider_openai_run.api.base import Capabilities, Request, RunApi
from airflow_provider_openai_run.api.parsing import (
    dict_or_none,
    dump_json,
    list_or_none,
    parse_error,
    parse_usage,
    string_items,
    text_or_none,
    unix_seconds,
)
from airflow_provider_openai_run.types.json import Json
from airflow_provider_openai_run.types.run import Run, RunStep
from airflow_provider_openai_run.types.run_ref import RunRef
from airflow_provider_openai_run.types.status import RunState, classify_status

#: The names of this API and of the Batch API for the counts of tokens, with those of ``Usage``.
USAGE_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


class ResponsesApi(RunApi):
    """The Responses API: a response stands alone, and its output items are its steps."""

    name = "responses"
    title = "Responses API"
    capabilities = Capabilities(answers_in_successor=True, takes_include=True)

    def retrieve(self, ref: RunRef, include: Sequence[str] = ()) -> Request:
        """Return the request for the response; ``include`` names output that the API leaves out otherwise."""
        return Request("GET", f"/responses/{ref.run_id}", include=tuple(include))

    def create(self, parent_id: str | None, params: dict[str, Json]) -> Request:  # noqa: ARG002 - see there
        """
        Return the request that creates a response.

        :param parent_id: not used; responses stand alone.
        :param params: the body; ``background`` and ``store`` are true unless it says otherwise.
        """
        return Request("POST", "/responses", body={"background": True, "store": True, **params})

    def submit_tool_outputs(self, ref: RunRef, outputs: Sequence[Json], params: dict[str, Json]) -> Request:
        """
        Return the request that creates the successor of a response, with the outputs as its input.

        :param ref: the response.
        :param outputs: ``[{"tool_call_id": …, "output": …}]``, or input items as the API has them.
        :param params: further keys of the body, such as ``model`` and ``tools``.
        """
        items = [_input_item(output) for output in outputs]
        return self.create(None, {"previous_response_id": ref.run_id, **params, "input": items})

    def cancel(self, ref: RunRef) -> Request:
        """Return the request that cancels the response, which must run in the background."""
        return Request("POST", f"/responses/{ref.run_id}/cancel")

    def console_url(self, ref: RunRef) -> str:
        """Return the response's page in OpenAI's logs."""
        return f"https://platform.openai.com/logs/{quote(ref.run_id, safe='')}"

    def read_run(self, body: dict[str, Json]) -> Run:
        """Return the run that a response object describes, its output items as the steps."""
        items = [item for item in list_or_none(body.get("output")) or () if isinstance(item, dict)]
        status = text_or_none(body.get("status"))
        tools = list_or_none(body.get("tools"))
        return Run(
            id=str(text_or_none(body["id"])),
            api=self.name,
            model=text_or_none(body.get("model")),
            instructions=body.get("instructions"),
            tools=tools,
            file_ids=_file_ids(tools or []),
            metadata=dict_or_none(body.get("metadata")),
            status=status,
            created_at=unix_seconds(body.get("created_at")),
            completed_at=unix_seconds(body.get("completed_at")),
            object=text_or_none(body.get("object")),
            usage=parse_usage(body.get("usage"), USAGE_NAMES),
            tool_usage=dict_or_none(body.get("tool_usage")),
            steps=tuple(self.read_step(item) for item in items),
            last_error=parse_error(body.get("error")),
            required_action=_required_action(items) if _may_need_action(status) else None,
            incomplete_details=dict_or_none(body.get("incomplete_details")),
            conversation_id=_conversation_id(body.get("conversation")),
            previous_response_id=text_or_none(body.get("previous_response_id")),
        )

    def read_step(self, body: dict[str, Json]) -> RunStep:
        """Return the step that an output item describes; the whole item is the step's details."""
        return RunStep(
            id=text_or_none(body.get("id")),
            object=text_or_none(body.get("object")),
            created_at=unix_seconds(body.get("created_at")),
            type=text_or_none(body.get("type")),
            status=text_or_none(body.get("status")),
            details=dump_json(body),
            completed_at=unix_seconds(body.get("completed_at")),
            last_error=parse_error(body.get("error")),
        )


def _may_need_action(status: str | None) -> bool:
    return classify_status(status) in (RunState.SUCCEEDED, RunState.NEEDS_ACTION)


def _required_action(items: list[dict[str, Json]]) -> dict[str, Json] | None:
    """
    Return the unanswered calls and approvals, in the form that the Assistants API has for them.

    A call that the caller must run has a ``call_id``, and is answered by an item with the same ``call_id``;
    a call that the API runs itself has none. So new kinds of calls are recognized too.
    """
    outputs = [item for item in items if str(item.get("type")).endswith("_output")]
    answered = {text_or_none(item.get("call_id")) for item in outputs}
    answered |= {text_or_none(item.get("approval_request_id")) for item in items}
    calls = [item for item in items if _is_call(item) and text_or_none(item["call_id"]) not in answered]
    requests = [item for item in items if item.get("type") == "mcp_approval_request"]
    approvals = [item for item in requests if text_or_none(item.get("id")) not in answered]
    action: dict[str, Json] = {}
    if calls:
        action["submit_tool_outputs"] = {"tool_calls": [_tool_call(item) for item in calls]}
    if approvals:
        action["submit_tool_approval"] = {"tool_calls": [_approval(item) for item in approvals]}
    return {"type": next(iter(action)), **action} if action else None


def _is_call(item: dict[str, Json]) -> bool:
    return str(item.get("type")).endswith("_call") and bool(item.get("call_id"))


def _tool_call(item: dict[str, Json]) -> dict[str, Json]:
    if item["type"] != "function_call":
        kind = str(item["type"])
        return {"id": item["call_id"], "type": kind, kind: item}
    function: dict[str, Json] = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item["call_id"], "type": "function", "function": function}


def _approval(item: dict[str, Json]) -> dict[str, Json]:
    fields = {key: item.get(key) for key in ("server_label", "name", "arguments")}
    return {"id": item.get("id"), "type": "mcp", **fields}


def _input_item(output: Json) -> Json:
    if isinstance(output, dict) and "tool_call_id" in output and "type" not in output:
        return {
            "type": "function_call_output",
            "call_id": output["tool_call_id"],
            "output": output.get("output"),
        }
    return output


def _conversation_id(value: Json) -> str | None:
    return text_or_none(value.get("id") if isinstance(value, dict) else value)


def _file_ids(tools: list[Json]) -> list[str]:
    """Return the files in the containers of the tools."""
    file_ids: dict[str, None] = {}
    for tool in tools:
        container = tool.get("container") if isinstance(tool, dict) else None
        if isinstance(container, dict):
            file_ids.update(dict.fromkeys(string_items(container.get("file_ids"))))
    return list(file_ids)
