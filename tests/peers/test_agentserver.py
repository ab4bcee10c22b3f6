"""Microsoft's Responses server: words in the input decide how a response ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import (
    RunCancelledError,
    RunFailedError,
    RunIncompleteError,
    RunNotFoundError,
    RunRequestError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES
from tests.peers.waiting import PACE, WAITERS, Waiter, event_of

#: By the input, a response's final status and the types of its steps.
ENDINGS = {
    "hello": ("completed", ["message"]),
    "queued": ("completed", ["message"]),
    "slow": ("completed", ["message"]),
    "reason": ("completed", ["reasoning", "message"]),
    "tool": ("completed", ["function_call"]),
    "reason tool": ("completed", ["reasoning", "function_call"]),
    "incomplete": ("incomplete", ["message"]),
    "fail": ("failed", []),
    "crash": ("failed", []),
    "early": ("failed", []),
}


@pytest.fixture
def hook(agentserver: str, connect: Callable[[str], OpenAIRunHook]) -> OpenAIRunHook:
    return connect(agentserver)


def create(hook: OpenAIRunHook, text: str) -> str:
    """Create a response in the background, and return its id."""
    return hook.create_response(model="echo", input=text).id


@pytest.mark.parametrize("wait", WAITERS)
@pytest.mark.parametrize(("text", "ending"), ENDINGS.items())
def test_every_way_of_waiting_returns_the_final_status(
    hook: OpenAIRunHook, wait: Waiter, text: str, ending: tuple[str, list[str]]
) -> None:
    status, types = ending
    run_id = create(hook, text)
    assert wait(hook, run_id, None) == status
    steps = hook.list_steps(run_id=run_id)
    assert [step.type for step in steps] == types


def test_a_response_is_retrieved_with_every_attribute(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "hello")
    hook.wait_for_run(run_id=run_id, timeout=30, **PACE)
    run = hook.get_run(run_id=run_id, include_raw=True)
    assert run.raw is not None
    assert (run.id, run.thread_id, run.object, run.model) == (run_id, None, "response", "echo")
    assert run.created_at is not None
    assert run.completed_at is not None
    assert time.time() - 60 < run.created_at <= run.completed_at <= time.time() + 1
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (11, 7, 18)
    assert run.last_error is None
    assert run.required_action is None
    assert [json.loads(step.details or "") for step in run.steps or ()] == run.raw["output"]


@pytest.mark.parametrize("text", ["hello", "tool", "fail", "incomplete"])
def test_sync_and_async_methods_return_the_same(hook: OpenAIRunHook, text: str) -> None:
    run_id = create(hook, text)
    hook.wait_for_run(run_id=run_id, accepted_statuses=TERMINAL_STATUSES, timeout=30, **PACE)
    run = hook.get_run(run_id=run_id)
    assert asyncio.run(hook.aget_run(run_id=run_id)) == run
    assert asyncio.run(hook.alist_steps(run_id=run_id)) == hook.list_steps(run_id=run_id) == run.steps


def test_steps_can_be_left_out(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "hello")
    hook.wait_for_run(run_id=run_id, timeout=30, **PACE)
    assert hook.get_run(run_id=run_id, include_steps=False).steps is None


def test_an_open_function_call_is_the_required_action(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "tool")
    run = hook.wait_for_run(run_id=run_id, timeout=30, **PACE)
    action: dict[str, Any] = run.required_action or {}
    (call,) = action["submit_tool_outputs"]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_001", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"location": "Seattle"}


def test_a_tool_output_goes_into_a_following_response(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "tool")
    hook.wait_for_run(run_id=run_id, timeout=30, **PACE)
    outputs = [{"tool_call_id": "call_001", "output": "rain"}]
    following = hook.submit_tool_outputs(run_id=run_id, tool_outputs=outputs, model="echo")
    assert following.id != run_id
    run = hook.wait_for_run(run_id=following.id, timeout=30, **PACE)
    assert (run.status, run.previous_response_id) == ("completed", run_id)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("fail", RunFailedError, ["server_error", "simulated failure"]),
        ("crash", RunFailedError, ["server_error", "internal server error"]),
        ("early", RunFailedError, ["server_error", "internal server error"]),
        ("incomplete", RunIncompleteError, ["max_output_tokens"]),
    ],
)
def test_an_unsuccessful_end_raises_the_reason(
    hook: OpenAIRunHook, text: str, error: type[RunFailedError | RunIncompleteError], words: list[str]
) -> None:
    run_id = create(hook, text)
    with pytest.raises(error) as caught:
        hook.wait_for_run(run_id=run_id, timeout=30, **PACE)
    assert caught.value.run_id == run_id
    assert caught.value.request_id
    for word in [run_id, *words]:
        assert word in caught.value.message


def test_a_response_may_have_failed_when_it_is_created(hook: OpenAIRunHook) -> None:
    run = hook.create_response(model="echo", input="early")
    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.code == "server_error"


def test_a_response_is_queued_at_first(hook: OpenAIRunHook) -> None:
    run = hook.create_response(model="echo", input="queued")
    assert (run.status, run.steps, run.usage) == ("queued", (), None)


@pytest.mark.parametrize("wait", WAITERS)
def test_a_cancelled_response_has_ended(hook: OpenAIRunHook, wait: Waiter) -> None:
    run_id = create(hook, "slow")
    assert hook.cancel_run(run_id=run_id).status == "cancelled"
    assert wait(hook, run_id, None) == "cancelled"
    with pytest.raises(RunCancelledError):
        hook.wait_for_run(run_id=run_id, timeout=30, **PACE)


def test_cancelling_twice_changes_nothing(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "slow")
    asyncio.run(hook.acancel_run(run_id=run_id))
    assert hook.cancel_run(run_id=run_id).status == "cancelled"


def test_cancelling_a_completed_response_raises(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "hello")
    hook.wait_for_run(run_id=run_id, timeout=30, **PACE)
    with pytest.raises(RunRequestError) as caught:
        hook.cancel_run(run_id=run_id)
    assert caught.value.http_status in {400, 409}
    assert caught.value.run_id == run_id
    assert caught.value.request_id


def test_a_timeout_has_the_last_status(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "slow")
    with pytest.raises(RunWaitTimeoutError) as caught:
        hook.wait_for_run(run_id=run_id, timeout=0.3, **PACE)
    assert (caught.value.run_id, caught.value.status) == (run_id, "in_progress")


def test_a_trigger_past_its_deadline_sends_a_timeout_error(hook: OpenAIRunHook) -> None:
    run_id = create(hook, "slow")
    event = event_of(run_id, deadline=time.time() + 0.3)
    assert (event["status"], event["error"]["type"]) == ("in_progress", "RunWaitTimeoutError")


def test_an_unknown_id_is_not_found(hook: OpenAIRunHook) -> None:
    known = create(hook, "hello")
    unknown = known[:-6] + ("aaaaaa" if not known.endswith("aaaaaa") else "bbbbbb")
    with pytest.raises(RunNotFoundError) as caught:
        hook.get_run(run_id=unknown)
    assert (caught.value.http_status, caught.value.run_id) == (404, unknown)
    assert caught.value.request_id


def test_a_malformed_id_ends_the_wait_at_once(hook: OpenAIRunHook) -> None:
    with pytest.raises(RunRequestError, match="Malformed identifier") as caught:
        hook.wait_for_run(run_id="resp_0123", timeout=30, **PACE)
    assert (caught.value.http_status, caught.value.code) == (400, "invalid_parameters")
    assert caught.value.request_id
