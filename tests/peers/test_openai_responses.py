"""A stateful mock of the Assistants API, seeded with payloads recorded at the vendors' servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_openai_run.api.assistants import AssistantsApi
from airflow_provider_openai_run.exceptions import RunCancelledError, RunEndedError, RunNotFoundError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES
from tests.peers.peer import PEERS
from tests.peers.waiting import PACE, WAITERS, Waiter

RECORDED = PEERS.parent / "recorded"
THREAD_ID = "thread_of_peers"

Seed = Callable[[dict[str, Any]], None]


@pytest.fixture
def hook(openai_responses: str, connect: Callable[[str], OpenAIRunHook]) -> OpenAIRunHook:
    return connect(openai_responses)


@pytest.fixture
def api(openai_responses: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Creates what the hook has no methods for: threads and assistants."""

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"authorization": "Bearer no-key-is-checked"}
        response = requests.post(openai_responses + path, json=body, headers=headers, timeout=10)
        response.raise_for_status()
        created: dict[str, Any] = response.json()
        return created

    return post


@pytest.fixture
def seed(openai_responses: str) -> Seed:
    """Puts a run, a step, or a page of steps into the server."""

    def put(recorded: dict[str, Any]) -> None:
        response = requests.post(f"{openai_responses.removesuffix('/v1')}/_seed", json=recorded, timeout=10)
        response.raise_for_status()

    return put


def recorded(kind: str) -> list[Path]:
    return sorted((RECORDED / kind).glob("*.json"))


def a_recorded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    return content


def a_run(run_id: str, **changes: Any) -> dict[str, Any]:
    run = a_recorded("run/openai-dotnet-v2-run-completed-code_interpreter.json")
    return {**run, "id": run_id, "thread_id": THREAD_ID, **changes}


def a_step(run_id: str, step_id: str, **changes: Any) -> dict[str, Any]:
    step = a_recorded("steps/ruby-openai-step-message_creation-completed.json")
    return {**step, "id": step_id, "run_id": run_id, "thread_id": THREAD_ID, **changes}


def without_nulls(value: Any) -> Any:
    """The server dumps the SDK's models, which put nulls where the vendors had no key."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.recorded
@pytest.mark.parametrize("path", recorded("run"), ids=lambda path: path.stem)
def test_a_recorded_run_is_retrieved_with_every_attribute(
    hook: OpenAIRunHook, seed: Seed, path: Path
) -> None:
    original = json.loads(path.read_text(encoding="utf-8"))
    seed(original)
    run = hook.get_run(run_id=original["id"], thread_id=original["thread_id"], include_steps=False)
    expected = AssistantsApi().read_run(original)
    assert without_nulls(run.to_xcom()) == without_nulls(expected.to_xcom())
    assert run.to_xcom().keys() >= set(DOCUMENTED_ATTRIBUTES)


@pytest.mark.recorded
@pytest.mark.parametrize("path", recorded("steps"), ids=lambda path: path.stem)
def test_recorded_steps_are_listed_whole_and_oldest_first(
    hook: OpenAIRunHook, seed: Seed, path: Path
) -> None:
    original = json.loads(path.read_text(encoding="utf-8"))
    steps = original["data"] if original["object"] == "list" else [original]
    run_id = "run_of_" + re.sub(r"\W", "_", path.stem)
    seed(a_run(run_id))
    for step in reversed(steps):
        seed({**step, "run_id": run_id, "thread_id": THREAD_ID})
    listed = hook.list_steps(run_id=run_id, thread_id=THREAD_ID)
    assert {step.id for step in listed} == {step["id"] for step in steps}
    assert list(listed) == sorted(listed, key=lambda step: step.created_at or 0)
    for step in listed:
        (sent,) = (item for item in steps if item["id"] == step.id)
        assert without_nulls(json.loads(step.details or "")) == without_nulls(sent["step_details"])
        for name in ("type", "status", "created_at", "completed_at"):
            assert getattr(step, name) == sent[name]


@pytest.fixture
def long_run(seed: Seed) -> str:
    """A run with two pages and a half of steps; the server says ``has_more`` on the last page too."""
    run_id = "run_with_many_steps"
    seed(a_run(run_id))
    for number in range(250):
        seed(a_step(run_id, f"step_{number:03}", created_at=1_700_000_000 + number))
    return run_id


def test_all_pages_of_steps_are_read_oldest_first(hook: OpenAIRunHook, long_run: str) -> None:
    expected = [f"step_{number:03}" for number in range(250)]
    assert [step.id for step in hook.list_steps(run_id=long_run, thread_id=THREAD_ID)] == expected
    run = asyncio.run(hook.aget_run(run_id=long_run, thread_id=THREAD_ID))
    assert [step.id for step in run.steps or ()] == expected


@pytest.mark.parametrize("wait", WAITERS)
@pytest.mark.parametrize("status", sorted(TERMINAL_STATUSES))
def test_every_way_of_waiting_ends_at_a_terminal_status(
    hook: OpenAIRunHook, seed: Seed, wait: Waiter, status: str
) -> None:
    run_id = f"run_{status}"
    seed(a_run(run_id, status=status))
    assert wait(hook, run_id, THREAD_ID) == status


@pytest.mark.parametrize("status", sorted(TERMINAL_STATUSES - {"completed"}))
def test_each_unsuccessful_end_raises_its_own_error(hook: OpenAIRunHook, seed: Seed, status: str) -> None:
    run_id = f"run_{status}"
    seed(a_run(run_id, status=status, last_error={"code": "server_error", "message": "It broke."}))
    with pytest.raises(RunEndedError, match=r"It broke\.") as caught:
        hook.wait_for_run(run_id=run_id, thread_id=THREAD_ID, timeout=30, **PACE)
    assert type(caught.value).__name__ == f"Run{status.capitalize()}Error"
    assert (caught.value.run_id, caught.value.thread_id) == (run_id, THREAD_ID)
    assert (caught.value.status, caught.value.code) == (status, "server_error")


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "cancelling", "new_status"])
def test_an_active_run_is_retrieved(hook: OpenAIRunHook, seed: Seed, status: str) -> None:
    run_id = f"run_{status}"
    seed(a_run(run_id, status=status))
    run = hook.get_run(run_id=run_id, thread_id=THREAD_ID)
    assert run.status == status


def test_a_run_is_created_and_cancelled(
    hook: OpenAIRunHook, api: Callable[[str, dict[str, Any]], dict[str, Any]]
) -> None:
    thread_id = api("/threads", {})["id"]
    assistant_id = api("/assistants", {"model": "gpt-4o"})["id"]
    run = hook.create_run(thread_id=thread_id, assistant_id=assistant_id, metadata={"kept": "here"})
    assert (run.status, run.thread_id, run.metadata) == ("queued", thread_id, {"kept": "here"})
    assert hook.cancel_run(run_id=run.id, thread_id=thread_id).status == "cancelling"
    with pytest.raises(RunCancelledError):
        hook.wait_for_run(run_id=run.id, thread_id=thread_id, timeout=30, **PACE)


def test_a_thread_and_a_run_are_created_at_once(
    hook: OpenAIRunHook, api: Callable[[str, dict[str, Any]], dict[str, Any]]
) -> None:
    assistant_id = api("/assistants", {"model": "gpt-4o"})["id"]
    created = asyncio.run(hook.acreate_run(assistant_id=assistant_id, thread={"messages": []}))
    assert created.thread_id
    assert hook.get_run(run_id=created.id, thread_id=created.thread_id).id == created.id


def test_tool_outputs_are_submitted_to_a_run(hook: OpenAIRunHook, seed: Seed) -> None:
    original = a_recorded("run/openai-dotnet-v2-run-requires_action-function.json")
    seed(original)
    ref = {"run_id": original["id"], "thread_id": original["thread_id"]}
    run = hook.get_run(**ref)
    action: dict[str, Any] = run.required_action or {}
    assert action == original["required_action"]
    calls = action["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": call["id"], "output": "rice"} for call in calls]
    assert hook.submit_tool_outputs(**ref, tool_outputs=outputs).id == original["id"]


@pytest.mark.parametrize(("run_id", "thread_id"), [("run_unknown", THREAD_ID), ("run_1", "thread_unknown")])
def test_an_unknown_run_is_not_found(hook: OpenAIRunHook, seed: Seed, run_id: str, thread_id: str) -> None:
    seed(a_run("run_1"))
    for retrieve in (hook.get_run, hook.list_steps, lambda **ref: asyncio.run(hook.aget_run(**ref))):
        with pytest.raises(RunNotFoundError) as caught:
            retrieve(run_id=run_id, thread_id=thread_id)
        assert (caught.value.http_status, caught.value.run_id) == (404, run_id)
        assert caught.value.thread_id == thread_id
