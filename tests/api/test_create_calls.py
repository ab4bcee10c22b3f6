"""The operations that making runs needs beside retrieving them."""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.api.base import Request
from airflow_provider_openai_run.types.run_ref import RunRef

REF = RunRef("assistants", "run_1", "thread_1")


def answered(operation: calls.ApiCall[Any], *bodies: dict[str, Any]) -> tuple[list[Request], Any]:
    """The requests of an operation that is given these answers, and its result."""
    requests = [next(operation)]
    try:
        for body in bodies:
            requests.append(operation.send(body))  # noqa: PERF401 - the last one ends it
    except StopIteration as done:
        return requests, done.value
    raise AssertionError(f"it asks for more: {requests[-1]}")


def test_the_runs_of_a_thread_are_listed_newest_first_over_all_pages() -> None:
    pages = (
        {"data": [{"id": "run_3", "created_at": 3}, {"id": "run_2", "created_at": 2}], "has_more": True},
        {"data": [{"id": "run_1", "created_at": 1}], "has_more": False},
    )
    requests, runs = answered(calls.list_runs("assistants", "thread_1"), *pages)
    assert [request.path for request in requests] == ["/threads/thread_1/runs"] * 2
    assert requests[1].query["after"] == "run_2"
    assert [run.id for run in runs] == ["run_3", "run_2", "run_1"]


def test_runs_are_sorted_if_the_server_lists_the_oldest_first() -> None:
    page = {"data": [{"id": "run_1", "created_at": 1}, {"id": "run_2", "created_at": 2}]}
    _, runs = answered(calls.list_runs("assistants", "thread_1"), page)
    assert [run.id for run in runs] == ["run_2", "run_1"]


def test_only_the_messages_of_the_run_are_returned() -> None:
    page = {"data": [{"id": "msg_1", "run_id": "run_0"}, {"id": "msg_2", "run_id": "run_1"}, {"id": "msg_3"}]}
    requests, messages = answered(calls.list_messages(REF), page)
    assert requests[0].query == {"limit": "100", "order": "asc", "run_id": "run_1"}
    assert [message["id"] for message in messages] == ["msg_2"]


def test_creating_a_thread_returns_its_id() -> None:
    requests, thread_id = answered(calls.create_thread({"metadata": {}}), {"id": "thread_2"})
    assert (requests[0].method, requests[0].path, requests[0].body) == ("POST", "/threads", {"metadata": {}})
    assert thread_id == "thread_2"


def test_the_idempotency_key_is_sent_with_a_create() -> None:
    for operation in (
        calls.create_run("thread_1", {}, "key_1"),
        calls.create_response({}, "key_1"),
    ):
        assert next(operation).headers["Idempotency-Key"] == "key_1"
    assert "Idempotency-Key" not in next(calls.create_response({})).headers


def test_approvals_alone_are_sent_without_tool_outputs() -> None:
    approvals: list[Any] = [{"tool_call_id": "call_1", "approve": True}]
    request = next(calls.submit_tool_outputs(REF, [], {"tool_approvals": approvals}))
    assert request.body == {"tool_approvals": approvals}
