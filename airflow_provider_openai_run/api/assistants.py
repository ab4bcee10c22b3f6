"""The Assistants API: ``/threads/{thread_id}/runs/{run_id}`` and its steps.

https://platform.openai.com/docs/api-reference/runs and
https://platform.openai.com/docs/api-reference/run-steps. OpenAI ended it at api.openai.com on 2026-08-26;
Azure AI Foundry and self-hosted servers still serve it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from airflow_provider_openai_run.types.run_ref import RunRef, check_id
from airflow_provider_openai_run.types.status import RunState, classify_status

_BETA = {"OpenAI-Beta": "assistants=v2"}
_PAGE_SIZE = "100"


class AssistantsApi(RunApi):
    """The Assistants API: a run belongs to a thread, and its steps are a list of their own."""

    name = "assistants"
    title = "Assistants API"
    parent_argument = "thread_id"
    capabilities = Capabilities(lists_steps=True, lists_runs=True, takes_include=True)
    ended_at_openai = (
        "OpenAI ended the Assistants API on 2026-08-26, so api.openai.com has no threads and no runs. "
        "Use the Responses API: pass the id of a response as run_id, without a thread_id; or point the "
        "connection's host at a server that still serves threads and runs."
    )

    def retrieve(self, ref: RunRef, include: Sequence[str] = ()) -> Request:  # noqa: ARG002 - for its steps
        """Return the request for the run."""
        return self._request("GET", _path(ref))

    def list_steps(self, ref: RunRef, after: str | None, include: Sequence[str] = ()) -> Request:
        """Return the request for up to 100 steps after the one with the id ``after``, oldest first."""
        return self._page(f"{_path(ref)}/steps", after, order="asc", include=tuple(include))

    def create(self, parent_id: str | None, params: dict[str, Json]) -> Request:
        """Return the request for a new run on a thread, or on a new thread where ``parent_id`` is None."""
        path = "/threads/runs" if parent_id is None else f"{_thread_path(parent_id)}/runs"
        return self._request("POST", path, body=params)

    def create_thread(self, params: dict[str, Json]) -> Request:
        """Return the request that creates a thread, which costs nothing."""
        return self._request("POST", "/threads", body=params)

    def list_runs(self, parent_id: str, after: str | None) -> Request:
        """Return the request for up to 100 runs of a thread before the run ``after``, newest first."""
        return self._page(f"{_thread_path(parent_id)}/runs", after, order="desc")

    def list_messages(self, ref: RunRef, after: str | None) -> Request:
        """
        Return the request for up to 100 messages of the run's thread after ``after``, oldest first.

        Some servers ignore ``run_id`` and return the messages of other runs too.
        """
        request = self._page(f"{_thread_path(ref.parent_id)}/messages", after, order="asc")
        request.query["run_id"] = ref.run_id
        return request

    def _page(self, path: str, after: str | None, *, order: str, include: tuple[str, ...] = ()) -> Request:
        query = {"limit": _PAGE_SIZE, "order": order}
        if after is not None:
            query["after"] = after
        return self._request("GET", path, query=query, include=include, required_key="data")

    def _request(self, method: str, path: str, **more: Any) -> Request:
        return Request(method, path, headers=_BETA, ended_at_openai=self.ended_at_openai, **more)

    def submit_tool_outputs(self, ref: RunRef, outputs: Sequence[Json], params: dict[str, Json]) -> Request:
        """
        Return the request that submits outputs to the run, which then resumes.

        :param ref: the run.
        :param outputs: ``[{"tool_call_id": …, "output": …}]``.
        :param params: further keys of the body, such as ``tool_approvals``, with which ``outputs`` may be
            empty.
        """
        body = (
            dict(params)
            if params.get("tool_approvals") and not outputs
            else {**params, "tool_outputs": [*outputs]}
        )
        return self._request("POST", f"{_path(ref)}/submit_tool_outputs", body=body)

    def cancel(self, ref: RunRef) -> Request:
        """Return the request that cancels the run, which is ``cancelling`` at first."""
        return self._request("POST", f"{_path(ref)}/cancel")

    def read_run(self, body: dict[str, Json]) -> Run:
        """Return the run that a run object describes; its steps are a list of their own."""
        return Run(
            id=str(text_or_none(body["id"])),
            api=self.name,
            thread_id=text_or_none(body.get("thread_id")),
            assistant_id=text_or_none(body.get("assistant_id")),
            model=text_or_none(body.get("model")),
            instructions=body.get("instructions"),
            tools=list_or_none(body.get("tools")),
            file_ids=_file_ids(body),
            metadata=dict_or_none(body.get("metadata")),
            status=text_or_none(body.get("status")),
            created_at=unix_seconds(body.get("created_at")),
            started_at=unix_seconds(body.get("started_at")),
            completed_at=unix_seconds(body.get("completed_at")),
            object=text_or_none(body.get("object")),
            usage=parse_usage(body.get("usage"), {}),
            last_error=parse_error(body.get("last_error")),
            required_action=dict_or_none(body.get("required_action")),
            incomplete_details=dict_or_none(body.get("incomplete_details")),
            failed_at=unix_seconds(body.get("failed_at")),
            cancelled_at=unix_seconds(body.get("cancelled_at")),
            expires_at=unix_seconds(body.get("expires_at")),
        )

    def read_step(self, body: dict[str, Json]) -> RunStep:
        """Return the step that a run step object describes."""
        return RunStep(
            id=text_or_none(body.get("id")),
            object=text_or_none(body.get("object")),
            created_at=unix_seconds(body.get("created_at")),
            type=text_or_none(body.get("type")),
            status=text_or_none(body.get("status")),
            details=dump_json(body["step_details"]) if "step_details" in body else None,
            completed_at=unix_seconds(body.get("completed_at")),
            failed_at=unix_seconds(body.get("failed_at")),
            cancelled_at=unix_seconds(body.get("cancelled_at")),
            expires_at=unix_seconds(body.get("expires_at")),
            usage=parse_usage(body.get("usage"), {}),
            last_error=parse_error(body.get("last_error")),
        )

    def required_action_of(self, steps: list[dict[str, Json]]) -> dict[str, Json] | None:
        """
        Return the required action that is only in the steps: some servers leave it out of the run.

        :param steps: the steps of a run whose status is ``requires_action``, as the API sent them.
        :return: the function calls without an output, in the form of the API's ``required_action``; None if
            there are none.
        """
        pending: list[Json] = []
        for step in steps:
            details = step.get("step_details")
            if classify_status(text_or_none(step.get("status"))) is RunState.ACTIVE and isinstance(
                details, dict
            ):
                pending += _pending_calls(list_or_none(details.get("tool_calls")) or [])
        return (
            {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": pending}}
            if pending
            else None
        )


def _pending_calls(calls: list[Json]) -> list[dict[str, Json]]:
    pending = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(call, dict) and isinstance(function, dict) and function.get("output") is None:
            without_output = {key: value for key, value in function.items() if key != "output"}
            pending.append({**call, "function": without_output})
    return pending


def _path(ref: RunRef) -> str:
    return f"{_thread_path(ref.parent_id)}/runs/{ref.run_id}"


def _thread_path(thread_id: str | None) -> str:
    check_id("thread_id", thread_id)
    return f"/threads/{thread_id}"


def _file_ids(body: dict[str, Json]) -> list[str]:
    """Return ``file_ids`` (v1 of the API), or else the files in the run's ``tool_resources`` (v2)."""
    if isinstance(body.get("file_ids"), list):
        return string_items(body["file_ids"])
    file_ids: dict[str, None] = {}
    for resource in (dict_or_none(body.get("tool_resources")) or {}).values():
        if isinstance(resource, dict):
            file_ids.update(dict.fromkeys(string_items(resource.get("file_ids"))))
    return list(file_ids)
