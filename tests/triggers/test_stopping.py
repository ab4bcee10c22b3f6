"""A trigger may be stopped at any time, alone or with others on the same connection."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.triggers.conftest import trigger_for


def open_sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


async def interrupted(
    trigger: OpenAIRunTrigger, sandbox: Sandbox, condition: Callable[[], bool]
) -> list[Any]:
    """Stop a trigger once a condition holds, and return the events that it has sent."""
    events: list[Any] = []

    async def consume() -> None:
        events.extend([event async for event in trigger.run()])

    task = asyncio.create_task(consume())
    while not condition():
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return events


CONDITIONS: dict[str, Callable[[Sandbox], Callable[[], bool]]] = {
    "before the first poll": lambda sandbox: lambda: True,
    "during a poll": lambda sandbox: lambda: sandbox.count() >= 1,
    "between polls": lambda sandbox: lambda: any(request.status for request in sandbox.requests),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_stopped_trigger_leaves_nothing_open(
    sandbox: Sandbox, fake_clock: FakeClock, condition: str
) -> None:
    if condition == "during a poll":
        sandbox.faults.add("stalled")
    trigger = trigger_for(sandbox.create_run(script="in_progress"), fake_clock)
    before = open_sockets()
    left: set[asyncio.Task[Any]] = set()

    async def stop() -> list[Any]:
        events = await interrupted(trigger, sandbox, CONDITIONS[condition](sandbox))
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        left.update(asyncio.all_tasks() - {asyncio.current_task()})
        return events

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert fake_clock.run(stop()) == []
        gc.collect()
    assert left == set()
    # The sandbox's ends of the connections are this process's too; they close when it has seen ours close.
    for _ in range(1000):
        if open_sockets() <= before:
            break
        threading.Event().wait(0.01)
    assert open_sockets() <= before


def test_stopping_one_trigger_does_not_affect_others(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    completed, endless = sandbox.create_run(script="minute"), sandbox.create_run(script="in_progress")

    async def both() -> dict[str, Any]:
        waiting = asyncio.create_task(only_event(trigger_for(completed, fake_clock)))
        other = trigger_for(endless, fake_clock)
        await interrupted(other, sandbox, lambda: sandbox.count(path=endless["id"]) >= 1)
        return await waiting

    assert fake_clock.run(both())["status"] == "completed"


def test_triggers_of_a_connection_each_get_their_own_event(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    runs = [sandbox.create_run(script=script) for script in ("completed", "failed", "expired") * 4]

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*(only_event(trigger_for(run, fake_clock)) for run in runs))

    events = fake_clock.run(all_of_them())
    assert [event["run_id"] for event in events] == [run["id"] for run in runs]
    assert [event["status"] for event in events] == ["completed", "failed", "expired"] * 4


def test_two_triggers_may_wait_for_the_same_run(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run = sandbox.create_run(script="completed")

    async def twice() -> list[dict[str, Any]]:
        return await asyncio.gather(*(only_event(trigger_for(run, fake_clock)) for _ in range(2)))

    first, second = fake_clock.run(twice())
    assert (first["status"], second["status"]) == ("completed", "completed")


def test_a_new_key_is_used_when_the_old_one_is_refused(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock
) -> None:
    run = sandbox.create_run(script="in_progress")
    trigger = trigger_for(run, fake_clock, timeout=400)

    async def key_changes() -> dict[str, Any]:
        waiting = asyncio.create_task(only_event(trigger))
        while not any(request.status for request in sandbox.requests):
            assert not waiting.done()
            await asyncio.sleep(0)
        sandbox.api_key = "another-key"
        connect(password="another-key")
        return await waiting

    old = sandbox.api_key
    try:
        event = fake_clock.run(key_changes())
    finally:
        sandbox.api_key = old
    assert event["error"]["type"] == "RunWaitTimeoutError"
    assert "last status was in_progress" in event["error"]["message"]
