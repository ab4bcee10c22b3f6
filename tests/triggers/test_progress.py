"""The XComs that a trigger pushes while it waits: one for each change of the status."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_openai_run import progress
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.test_progress import Task, xcom
from tests.triggers.conftest import trigger_for

__all__ = ["xcom"]


def trigger_of(task: Task, run: dict[str, Any], fake_clock: FakeClock, **options: Any) -> Any:
    trigger = trigger_for(run, fake_clock, **options)
    # Airflow's own setter, from 3.2 on, looks for the templates of the task, too.
    is_property = isinstance(getattr(type(trigger), "task_instance", None), property)
    setattr(trigger, "_task_instance" if is_property else "task_instance", task)
    return trigger


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("completed", ["queued", "in_progress", "completed"]),
        ("failed", ["queued", "in_progress", "failed"]),
        ("requires_action", ["queued", "in_progress", "requires_action"]),
    ],
)
def test_each_change_of_status_is_pushed_once(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task, script: str, statuses: list[str]
) -> None:
    run = sandbox.create_run(script={"base": script, "seconds": 60})
    options = {"poll_interval": 1.0, "max_poll_interval": 1.0}
    fake_clock.run(only_event(trigger_of(xcom, run, fake_clock, **options)))
    pushed = [entry["status"] for entry in xcom.xcoms[PROGRESS_KEY]["statuses"]]
    assert pushed == statuses
    assert xcom.xcoms[PROGRESS_KEY]["run"]["model"] == run["model"]


def test_the_required_action_is_pushed(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task) -> None:
    run = sandbox.create_run(script="requires_action")
    fake_clock.run(only_event(trigger_of(xcom, run, fake_clock)))
    action = xcom.xcoms[PROGRESS_KEY]["run"]["required_action"]
    assert action["submit_tool_outputs"]["tool_calls"][0]["function"]["name"] == "get_weather"


def test_a_failed_push_is_logged_once_and_the_wait_continues(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task, caplog: pytest.LogCaptureFixture
) -> None:
    xcom.error = OSError("the bucket is gone")
    run = sandbox.create_run(script={"base": "failed", "seconds": 60})
    event = fake_clock.run(only_event(trigger_of(xcom, run, fake_clock)))
    assert event["status"] == "failed"
    messages = [record for record in caplog.records if "the bucket is gone" in record.getMessage()]
    assert len(messages) == 1


def test_the_event_of_an_end_does_not_wait_for_a_push(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any, **__: Any) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(progress, "push_async", never)
    run = sandbox.create_run(script={"base": "failed", "seconds": 60})
    began = fake_clock.time()
    event = fake_clock.run(
        only_event(trigger_of(xcom, run, fake_clock, poll_interval=1.0, max_poll_interval=1.0))
    )
    assert event["status"] == "failed"
    assert fake_clock.time() - began < 65


def test_push_progress_false_pushes_nothing(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task) -> None:
    run = sandbox.create_run(script="failed")
    fake_clock.run(only_event(trigger_of(xcom, run, fake_clock, push_progress=False)))
    assert xcom.xcoms == {}
