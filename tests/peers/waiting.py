"""The four ways in which this package waits for a run, with one signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES

CONN_ID = "openai_peer"
PACE: dict[str, Any] = {"poll_interval": 0.05, "max_poll_interval": 0.05}

#: Waits for a run of ``openai_peer``, and returns its final status.
Waiter = Callable[[OpenAIRunHook, str, str | None], str | None]

_OPTIONS: dict[str, Any] = {"accepted_statuses": TERMINAL_STATUSES, "timeout": 30, **PACE}


def event_of(run_id: str, thread_id: str | None = None, **options: Any) -> dict[str, Any]:
    """Return the event that the trigger sends to the task."""
    now = time.time()
    trigger = OpenAIRunTrigger(
        conn_id=CONN_ID,
        run_id=run_id,
        thread_id=thread_id,
        **{"started_at": now, "deadline": now + 30, **PACE, **options},
    )

    async def only_event() -> dict[str, Any]:
        (event,) = [dict(event.payload) async for event in trigger.run()]
        # Unlike a triggerer's, this loop ends: not before what the trigger opened is closed.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return event

    return asyncio.run(only_event())


def with_the_hook(hook: OpenAIRunHook, run_id: str, thread_id: str | None = None) -> str | None:
    return hook.wait_for_run(run_id=run_id, thread_id=thread_id, **_OPTIONS).status


def with_the_async_hook(hook: OpenAIRunHook, run_id: str, thread_id: str | None = None) -> str | None:
    return asyncio.run(hook.await_for_run(run_id=run_id, thread_id=thread_id, **_OPTIONS)).status


def with_the_trigger(hook: OpenAIRunHook, run_id: str, thread_id: str | None = None) -> str | None:
    event = event_of(run_id, thread_id)
    assert (event["run_id"], event["parent_id"]) == (run_id, thread_id)
    status: str = event["status"]
    return status


def with_the_sensor(hook: OpenAIRunHook, run_id: str, thread_id: str | None = None) -> str | None:
    sensor = OpenAIRunSensor(
        task_id="wait", run_id=run_id, thread_id=thread_id, conn_id=CONN_ID, deferrable=False, **_OPTIONS
    )
    found: dict[str, Any] = sensor.execute({})
    assert (found["run_id"], found["thread_id"]) == (run_id, thread_id)
    status: str = found["status"]
    return status


WAITERS = [with_the_hook, with_the_async_hook, with_the_trigger, with_the_sensor]
