from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger
from tests.events.asset_stores import AssetStore
from tests.fake_clock import FakeClock
from tests.sandbox_fixtures import Connect
from tests.task_log import TaskLog

THREAD_ID = "thread_watched"
HAS_STORES = hasattr(OpenAIRunEventTrigger(thread_id=THREAD_ID), "asset_state_store")


def trigger(store: AssetStore | None = None, **options: Any) -> OpenAIRunEventTrigger:
    made = OpenAIRunEventTrigger(
        **{"thread_id": THREAD_ID, "poll_interval": 5, "max_poll_interval": 5, **options}
    )
    vars(made)["asset_state_store"] = store
    return made


class Listener:
    """A consumer of a trigger's events, as the triggerer is."""

    def __init__(self, of: OpenAIRunEventTrigger) -> None:
        self._events: AsyncIterator[TriggerEvent] = of.run()
        self.payloads: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self._events:
            self.payloads.append(json.loads(json.dumps(event.payload)))

    @property
    def run_ids(self) -> list[str]:
        return [payload["run_id"] for payload in self.payloads]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def thread(sandbox: Sandbox) -> Sandbox:
    sandbox.create_thread(THREAD_ID)
    return sandbox


def create_ended_run(sandbox: Sandbox, script: Any = "instant") -> str:
    return str(sandbox.create_run(THREAD_ID, script=script)["id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thread_id": ""}, "thread_id is empty"),
        ({"thread_id": None}, "thread_id must be the id"),
        ({"thread_id": "../x"}, "thread_id contains"),
        ({"thread_id": "{{var.value.thread}}"}, "watchers render none"),
        ({"conn_id": ""}, "conn_id must be the id of a connection"),
        ({"conn_id": None}, "conn_id must be the id of a connection"),
        ({"statuses": "failed"}, "statuses must be a collection"),
        ({"statuses": []}, "statuses must be some of"),
        ({"statuses": ["in_progress"]}, "statuses must be some of"),
        ({"include_past": "no"}, "include_past must be True or False"),
        ({"queue": ""}, "queue must be the name of a trigger queue"),
        ({"queue": 7}, "queue must be the name of a trigger queue"),
        ({"poll_interval": 0}, "poll_interval must be a number"),
        ({"poll_interval": "5"}, "poll_interval must be a number"),
        ({"poll_interval": 9, "max_poll_interval": 3}, "max_poll_interval .* is below"),
    ],
)
def test_invalid_arguments_raise_when_the_dag_is_parsed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message) as error:
        OpenAIRunEventTrigger(**{"thread_id": THREAD_ID, **options})
    assert isinstance(error.value, ValueError)


def test_airflow_reads_the_queue_and_does_not_store_it_as_an_argument() -> None:
    if not hasattr(BaseEventTrigger, "queue"):
        with pytest.raises(ValueError, match=r"queue needs Airflow 3\.4"):
            trigger(queue="gpu")
        return
    encoders = import_module("airflow.serialization.encoders")
    assert encoders.encode_trigger(trigger(queue="gpu"))["queue"] == "gpu"
    assert "queue" not in encoders.encode_trigger(trigger())
    assert trigger(queue="gpu").serialize() == trigger().serialize()


def test_include_past_needs_the_asset_state_store() -> None:
    if HAS_STORES:
        assert OpenAIRunEventTrigger(thread_id=THREAD_ID, include_past=True).include_past
    else:
        with pytest.raises(ValueError, match="include_past needs Airflow"):
            OpenAIRunEventTrigger(thread_id=THREAD_ID, include_past=True)


def test_serialized_arguments_keep_the_identity_of_the_trigger() -> None:
    made = OpenAIRunEventTrigger(
        thread_id=THREAD_ID, conn_id="other", statuses={"failed", "expired"}, poll_interval=2
    )
    path, arguments = made.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert again.serialize() == (path, arguments)
    assert BaseEventTrigger.hash(path, arguments) == BaseEventTrigger.hash(*again.serialize())
    assert arguments["statuses"] == ["expired", "failed"]


def test_watchers_with_equal_arguments_share_a_trigger() -> None:
    one = OpenAIRunEventTrigger(thread_id=THREAD_ID, statuses=["failed", "expired"], poll_interval=5)
    two = OpenAIRunEventTrigger(thread_id=THREAD_ID, statuses=("expired", "failed"), poll_interval=5.0)
    assert BaseEventTrigger.hash(*one.serialize()) == BaseEventTrigger.hash(*two.serialize())


def test_an_asset_watcher_takes_the_trigger() -> None:
    made = OpenAIRunEventTrigger(thread_id=THREAD_ID)
    assert Asset("runs", watchers=[AssetWatcher(name="ended", trigger=made)]).watchers[0].trigger is made


def test_each_run_that_ends_is_reported_once(thread: Sandbox, fake_clock: FakeClock) -> None:
    create_ended_run(thread)

    async def scenario() -> list[dict[str, Any]]:
        listener = Listener(trigger())
        await asyncio.sleep(12)
        create_ended_run(thread)
        await asyncio.sleep(12)
        create_ended_run(thread, "failed")
        await asyncio.sleep(60)
        await listener.stop()
        return listener.payloads

    completed, failed = fake_clock.run(scenario())
    assert completed["status"] == "completed"
    assert completed["usage"]["total_tokens"] > 0
    assert (failed["status"], failed["thread_id"]) == ("failed", THREAD_ID)
    assert failed["code"]
    assert len(json.dumps(failed)) < 600


def test_reporting_continues_after_a_restart(thread: Sandbox, fake_clock: FakeClock) -> None:
    store = AssetStore()

    async def scenario() -> list[list[str]]:
        run_ids = []
        for _ in range(3):
            listener = Listener(trigger(store))
            await asyncio.sleep(30)
            await listener.stop()
            run_ids.append(listener.run_ids)
            create_ended_run(thread)
        return run_ids

    first, second, third = fake_clock.run(scenario())
    assert (len(first), len(second), len(third)) == (0, 1, 1)
    assert second != third


def test_without_a_store_ends_during_a_stop_are_not_reported(thread: Sandbox, fake_clock: FakeClock) -> None:
    async def scenario() -> list[str]:
        listener = Listener(trigger())
        await asyncio.sleep(10)
        await listener.stop()
        create_ended_run(thread)
        listener = Listener(trigger())
        await asyncio.sleep(10)
        run_id = create_ended_run(thread)
        await asyncio.sleep(10)
        await listener.stop()
        return [run_id, *listener.run_ids]

    run_id, *run_ids = fake_clock.run(scenario())
    assert run_ids == [run_id]


def test_a_thread_with_several_pages_is_read_completely(thread: Sandbox, fake_clock: FakeClock) -> None:
    if not HAS_STORES:
        pytest.skip("include_past needs Airflow 3.3")
    runs = [create_ended_run(thread) for _ in range(230)]

    async def scenario() -> list[str]:
        listener = Listener(trigger(AssetStore(), include_past=True))
        await asyncio.sleep(30)
        await listener.stop()
        return listener.run_ids

    assert fake_clock.run(scenario()) == runs
    pages = [request for request in thread.requests if "limit=100" in request.query]
    assert [request.query for request in pages[:1]] == ["limit=100&order=desc"]
    assert sum("after=" in request.query for request in pages) <= 3


def test_a_missing_thread_is_logged_until_it_exists(
    sandbox: Sandbox, fake_clock: FakeClock, task_log: TaskLog
) -> None:
    async def scenario() -> list[str]:
        listener = Listener(trigger())
        await asyncio.sleep(1000)
        sandbox.create_thread(THREAD_ID)
        await asyncio.sleep(301)
        create_ended_run(sandbox)
        await asyncio.sleep(10)
        await listener.stop()
        return listener.run_ids

    assert len(fake_clock.run(scenario())) == 1
    errors = task_log.texts("error")
    assert 5 <= len(errors) <= 12
    assert "HTTP 404 for the runs of thread thread_watched" in errors[0]
    assert "listed again" in "".join(task_log.texts("info"))


def test_a_corrected_key_is_used(thread: Sandbox, connect: Connect, fake_clock: FakeClock) -> None:
    connect(password="wrong")

    async def scenario() -> list[str]:
        listener = Listener(trigger())
        await asyncio.sleep(100)
        connect()
        await asyncio.sleep(301)
        create_ended_run(thread)
        await asyncio.sleep(10)
        await listener.stop()
        return listener.run_ids

    assert len(fake_clock.run(scenario())) == 1


def test_no_api_key_is_stored(thread: Sandbox, fake_clock: FakeClock) -> None:
    store = AssetStore()

    async def scenario() -> None:
        listener = Listener(trigger(store))
        await asyncio.sleep(30)
        await listener.stop()

    fake_clock.run(scenario())
    stored = json.dumps([trigger().serialize(), store.entries])
    assert store.entries
    assert thread.api_key not in stored
