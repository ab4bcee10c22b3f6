"""The trigger in an event loop, as a triggerer has it: with others beside it, and stopped at any time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.airflow_task import Trigger, only_event
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.task_log import TaskLog
from tests.triggers.conftest import trigger_for


def rebuilt(trigger: OpenAIRunTrigger) -> OpenAIRunTrigger:
    classpath, arguments = trigger.serialize()
    assert classpath == "airflow_provider_openai_run.triggers.openai_run.OpenAIRunTrigger"
    return OpenAIRunTrigger(**Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(arguments)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"deadline": None},
        {"poll_interval": 0.5, "max_poll_interval": None},
        {"on_requires_action": "fail", "max_consecutive_failures": 3},
    ],
)
def test_serialized_arguments_build_an_equal_trigger(fake_clock: FakeClock, options: dict[str, Any]) -> None:
    trigger = trigger_for({"id": "run_1", "thread_id": "thread_1"}, fake_clock, **options)
    assert rebuilt(trigger).serialize() == trigger.serialize()
    assert json.loads(json.dumps(trigger.serialize()[1])) == trigger.serialize()[1]


def test_arguments_and_event_contain_no_secret_and_no_prompt(
    sandbox: Sandbox, fake_clock: FakeClock, task_log: TaskLog
) -> None:
    run = sandbox.create_run(script="requires_action", instructions="Top secret.")
    trigger = trigger_for(run, fake_clock, on_requires_action="fail")
    event = fake_clock.run(only_event(trigger))
    for text in (repr(trigger.serialize()), json.dumps(event), task_log.everything(), repr(trigger)):
        for secret in (sandbox.api_key, "Top secret", "Oslo"):
            assert secret not in text


@pytest.mark.parametrize("script", ["completed", "failed", "cancelled", "expired", "incomplete"])
def test_the_end_of_a_run_is_one_small_event(sandbox: Sandbox, fake_clock: FakeClock, script: str) -> None:
    run = sandbox.create_run(script=script)
    event = fake_clock.run(only_event(rebuilt(trigger_for(run, fake_clock))))
    assert (event["api"], event["status"]) == ("assistants", script)
    assert (event["run_id"], event["parent_id"]) == (run["id"], run["thread_id"])
    assert "error" not in event
    assert len(json.dumps(event)) < 1000


def test_the_end_of_a_response_is_an_event(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    response = sandbox.create_response(script="completed")
    event = fake_clock.run(only_event(trigger_for({"id": response["id"]}, fake_clock)))
    assert (event["api"], event["status"]) == ("responses", "completed")
    assert (event["run_id"], event["parent_id"]) == (response["id"], None)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("wrong_key", "RunAuthenticationError"),
        ("server_error", "RunRequestError"),
        ("cut", "RunRequestError"),
    ],
)
def test_an_error_is_an_event(sandbox: Sandbox, fake_clock: FakeClock, kind: str, name: str) -> None:
    sandbox.faults.add(kind)
    trigger = trigger_for(sandbox.create_run(), fake_clock, max_consecutive_failures=2)
    event = fake_clock.run(only_event(trigger))
    assert event["error"]["type"] == name


@pytest.mark.parametrize("fields", [{"password": None}, {"extra": {"auth_type": "by_handshake"}}])
def test_an_invalid_connection_is_an_event_that_names_it(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock, fields: dict[str, Any]
) -> None:
    connect(**fields)
    event = fake_clock.run(only_event(trigger_for({"id": "resp_1"}, fake_clock)))
    assert event["error"]["type"] == "InvalidConnectionError"
    assert "openai_default" in event["error"]["message"]


def test_a_missing_connection_is_an_event_that_names_it(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, fake_clock: FakeClock
) -> None:
    arguments = {**trigger_for({"id": "resp_1"}, fake_clock).serialize()[1], "conn_id": "openai_gone"}
    monkeypatch.setenv("AIRFLOW_CONN_OPENAI_GONE", "")
    event = fake_clock.run(only_event(OpenAIRunTrigger(**arguments)))
    assert "openai_gone" in event["error"]["message"]


def test_the_deadline_ends_the_wait(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    began = fake_clock.time()
    event = fake_clock.run(only_event(trigger_for(sandbox.create_run(script="queued"), fake_clock)))
    assert event["error"]["type"] == "RunWaitTimeoutError"
    assert "its last status was queued" in event["error"]["message"]
    assert fake_clock.time() - began >= 100


def test_a_wait_from_a_clock_that_was_ahead_is_polled_at_once(
    sandbox: Sandbox, fake_clock: FakeClock, task_log: TaskLog
) -> None:
    now = fake_clock.time()
    ahead = {"started_at": now + 600, "deadline": now + 700, "poll_state": {"not_before": now + 630}}
    trigger = trigger_for(sandbox.create_run(script="queued"), fake_clock, **ahead)

    event = fake_clock.run(only_event(trigger))

    assert "after 1 minute 40 seconds" in event["error"]["message"]
    assert sandbox.count("GET") >= 3
    assert fake_clock.time() - now < 150
    assert any("The task was deferred 600 s in the future" in text for text in task_log.warnings)


def test_the_deadline_holds_in_spite_of_retry_after(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    sandbox.faults.add("rate_limited", retry_after=3600)
    event = fake_clock.run(only_event(trigger_for(sandbox.create_run(), fake_clock)))
    assert event["error"]["type"] == "RunWaitTimeoutError"
    assert "HTTP 429" in event["error"]["message"]


def test_the_deadline_holds_when_the_api_does_not_respond(
    sandbox: Sandbox, connect: Connect, fake_clock: FakeClock
) -> None:
    connect(timeout=0.2)
    sandbox.faults.add("stalled")
    event = fake_clock.run(only_event(trigger_for(sandbox.create_run(), fake_clock, poll_interval=20.0)))
    assert event["error"]["type"] == "RunWaitTimeoutError"
    assert "its status is not known" in event["error"]["message"]


def test_a_restart_keeps_start_and_deadline(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    run = sandbox.create_run(script="queued")
    trigger = trigger_for(run, fake_clock)
    fake_clock.sleep(70)
    restarted = rebuilt(trigger)
    assert restarted.options == trigger.options
    fake_clock.sleep(70)
    event = fake_clock.run(only_event(restarted))
    assert "after 1 minute 40 seconds" in event["error"]["message"]
    assert sandbox.count() == 1


def test_a_required_action_is_logged_once(sandbox: Sandbox, fake_clock: FakeClock, task_log: TaskLog) -> None:
    fake_clock.run(only_event(trigger_for(sandbox.create_run(script="requires_action"), fake_clock)))
    assert len([text for text in task_log.warnings if "get_weather" in text]) == 1


def _record_blocking_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that records calls that block: connect, resolve, read certificates, sleep."""
    import socket
    import ssl
    import time as real_time

    found: list[str] = []

    def watch(owner: Any, name: str, label: str) -> None:
        original = getattr(owner, name)

        def subscription(*arguments: Any, **options: Any) -> Any:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return original(*arguments, **options)
            found.append(label)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, subscription)

    watch(socket, "create_connection", "socket.create_connection")
    watch(socket, "getaddrinfo", "socket.getaddrinfo")
    watch(ssl.SSLContext, "load_verify_locations", "ssl.SSLContext.load_verify_locations")
    watch(real_time, "sleep", "time.sleep")
    return found


def test_nothing_blocks_the_event_loop(
    sandbox: Sandbox, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _record_blocking_calls(monkeypatch)
    sandbox.faults.add("server_error", times=2)
    fake_clock.run(only_event(trigger_for(sandbox.create_run(script="minute"), fake_clock, timeout=200)))
    assert found == []


PROGRAM = """
import asyncio, json, sys, threading

from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger

heavy = {"openai", "aiohttp"}
importers = {}

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in heavy:
            importers[name] = threading.current_thread() is threading.main_thread()
        return None

before = sorted(heavy & set(sys.modules))
sys.meta_path.insert(0, Finder())
run_id, thread_id = sys.argv[1:]
trigger = OpenAIRunTrigger(conn_id="openai_default", run_id=run_id, thread_id=thread_id, started_at=0.0)

async def main():
    events = [event async for event in trigger.run()]
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    return events[0].payload["status"]

print(json.dumps({"before": before, "in the loop": importers, "status": asyncio.run(main())}))
"""


def test_heavy_libraries_are_imported_off_the_event_loop(sandbox: Sandbox) -> None:
    run = sandbox.create_run(script="instant")
    command = [sys.executable, "-c", PROGRAM, run["id"], run["thread_id"]]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["before"] == []
    assert report["in the loop"] == {"openai": False, "aiohttp": False}
    assert report["status"] == "completed"
