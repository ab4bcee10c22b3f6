"""A bulk task that defers: it waits for its active responses in one trigger, and resumes to create others."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggerer.connection_poller import wait_until_closed
from airflow_provider_openai_run.triggers.openai_owned_run_list import OpenAIOwnedRunListTrigger
from airflow_provider_openai_run.triggers.openai_run_list import OpenAIRunListTrigger
from tests.bulk.bulk_tasks import answered, operator, questions
from tests.owned_runs.task_attempts import TaskAttempts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def trigger_of(deferred: Any) -> OpenAIRunListTrigger:
    """The trigger a task has deferred to, rebuilt as a triggerer does."""
    assert isinstance(deferred, TaskDeferred)
    trigger = deferred.trigger
    assert isinstance(trigger, OpenAIRunListTrigger)
    _, kwargs = trigger.serialize()
    return type(trigger)(**{**kwargs, "earliest_resume_at": 0.0})


def event_of(trigger: OpenAIRunListTrigger) -> dict[str, Any]:
    async def first_event() -> Any:
        async with contextlib.aclosing(trigger.run()) as events:  # type: ignore[type-var]
            payload = (await anext(events)).payload
        await wait_until_closed()
        return payload

    payload: dict[str, Any] = asyncio.run(first_event())
    return payload


def run_until_done(attempts: TaskAttempts, sandbox: Sandbox) -> tuple[dict[str, Any], int]:
    """Run a task to its end, and return what it returned and how often it deferred."""
    result, deferrals = attempts.begin(), 0
    while isinstance(result, TaskDeferred):
        deferrals += 1
        sandbox.clock.advance(60)
        result = attempts.resume(result, event_of(trigger_of(result)))
    return result, deferrals


def test_a_task_whose_responses_are_all_active_waits_for_all(sandbox: Sandbox, folder: Path) -> None:
    attempts = TaskAttempts(operator(folder, questions(10), deferrable=True))
    deferred = attempts.begin()
    trigger = trigger_of(deferred)
    assert isinstance(trigger, OpenAIOwnedRunListTrigger)
    assert (trigger.wait_for, len(trigger.run_ids), trigger.api) == (10, 10, "responses")
    assert trigger.custom_ids == [f"q-{number}" for number in range(10)]
    assert sandbox.count("GET") == 0

    sandbox.clock.advance(60)
    manifest = attempts.resume(deferred, event_of(trigger))

    assert manifest["completed"] == 10
    assert answered(folder) == {f"q-{number}": 1 for number in range(10)}


def test_a_task_with_more_requests_resumes_when_a_quarter_has_ended(sandbox: Sandbox, folder: Path) -> None:
    attempts = TaskAttempts(operator(folder, questions(30), deferrable=True, max_active_runs=8))
    assert trigger_of(attempts.begin()).wait_for == 2
    manifest, deferrals = run_until_done(attempts, sandbox)
    assert (manifest["completed"], len(sandbox.list_responses())) == (30, 30)
    assert deferrals >= 4
    assert set(answered(folder).values()) == {1}


def test_only_those_that_have_ended_are_retrieved(sandbox: Sandbox, folder: Path) -> None:
    requests = questions(4)
    requests[2]["body"]["metadata"] = {"sandbox_script": '{"base": "completed", "seconds": 9999}'}
    attempts = TaskAttempts(operator(folder, requests, deferrable=True))
    deferred = attempts.begin()
    sandbox.clock.advance(60)
    event = {
        "total": 4,
        "statuses": {"completed": "0-1,3", "in_progress": "2"},
        "given_up": "",
        "error": None,
    }
    before = sandbox.count("GET")

    again = attempts.resume(deferred, event)

    assert sandbox.count("GET") - before == 3
    assert len(trigger_of(again).run_ids) == 1


def test_a_retry_of_a_deferred_task_creates_nothing_again(sandbox: Sandbox, folder: Path) -> None:
    attempts = TaskAttempts(operator(folder, questions(6), deferrable=True))
    first, second = trigger_of(attempts.begin()), trigger_of(attempts.begin())
    assert sorted(first.run_ids) == sorted(second.run_ids)
    assert len(sandbox.list_responses()) == 6


def test_an_event_of_an_earlier_deferral_loses_nothing(sandbox: Sandbox, folder: Path) -> None:
    attempts = TaskAttempts(operator(folder, questions(6), deferrable=True))
    old = attempts.begin()
    attempts.begin()
    sandbox.clock.advance(60)
    manifest = attempts.resume(old, {"total": 1, "statuses": {}, "given_up": "", "error": None})
    assert manifest["completed"] == 6


async def test_ending_the_deferred_task_cancels_all_its_responses(sandbox: Sandbox, folder: Path) -> None:
    task = operator(folder, questions(20), deferrable=True)
    deferred = await asyncio.to_thread(TaskAttempts(task).begin)
    await trigger_of(deferred).on_kill()
    await wait_until_closed()
    assert {each["status"] for each in sandbox.list_responses()} == {"cancelled"}


def test_responses_are_left_running_if_the_task_may_not_cancel_them(sandbox: Sandbox, folder: Path) -> None:
    task = operator(folder, questions(2), deferrable=True, cancel_on_kill=False)
    assert type(trigger_of(TaskAttempts(task).begin())) is OpenAIRunListTrigger
