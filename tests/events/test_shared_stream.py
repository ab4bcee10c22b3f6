"""Checkpoints are stored once Airflow has stored the events; driven by Airflow's own stream manager."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger
from tests.events.asset_stores import AssetStore
from tests.fake_clock import FakeClock

if not hasattr(BaseEventTrigger, "create_shared_stream_producer"):
    pytest.skip("Airflow confirms events in 3.3 and later", allow_module_level=True)

from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome, SharedStreamManager

from airflow_provider_openai_run.events.shared_stream import ThreadProducer

THREAD_ID = "thread_watched"


class Triggerer:
    """The part of Airflow's triggerer that takes events, and confirms that they are stored."""

    def __init__(self) -> None:
        self.manager = SharedStreamManager()
        self.events: list[tuple[int, str]] = []
        self.unconfirmed: list[int] = []
        self._ids = itertools.count(1)
        self._tasks: dict[asyncio.Task[None], OpenAIRunEventTrigger] = {}

    def start(self, store: AssetStore | None, **options: Any) -> int:
        trigger = OpenAIRunEventTrigger(
            **{"thread_id": THREAD_ID, "poll_interval": 5, "max_poll_interval": 5, **options}
        )
        vars(trigger)["asset_state_store"] = store
        trigger_id = next(self._ids)
        self._tasks[asyncio.create_task(self._run(trigger_id, trigger))] = trigger
        return trigger_id

    async def _run(self, trigger_id: int, trigger: OpenAIRunEventTrigger) -> None:
        key = trigger.shared_stream_key()
        assert key is not None
        stream = self.manager.subscribe(trigger_id=trigger_id, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                self.events.append((trigger_id, event.payload["run_id"]))
                sequence = self.manager.bind_pending_event(trigger_id=trigger_id, key=key)
                assert sequence is not None
                self.unconfirmed.append(sequence)
        finally:
            await self.manager.unsubscribe(trigger_id, key)

    def confirm(self) -> None:
        """Confirm that all events are in the database."""
        self.manager.confirm_persisted(self.unconfirmed)
        self.unconfirmed.clear()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.manager.stop_all()


@pytest.fixture
def thread(sandbox: Sandbox) -> Sandbox:
    sandbox.create_thread(THREAD_ID)
    return sandbox


@pytest.fixture
def play(fake_clock: FakeClock) -> Callable[[Callable[[Triggerer], Coroutine[Any, Any, None]]], None]:
    async def run_scenario(scenario: Callable[[Triggerer], Coroutine[Any, Any, None]]) -> None:
        triggerer = Triggerer()
        try:
            await scenario(triggerer)
        finally:
            await triggerer.stop()

    return lambda scenario: fake_clock.run(run_scenario(scenario))


Play = Callable[[Callable[[Triggerer], Coroutine[Any, Any, None]]], None]


def create_ended_run(sandbox: Sandbox, script: Any = "instant") -> str:
    return str(sandbox.create_run(THREAD_ID, script=script)["id"])


def reported(store: AssetStore) -> set[str]:
    """Return the reported runs of the stored checkpoint."""
    return {run_id for entry in store.entries.values() for run_id in entry["value"]["reported"]}


def test_the_checkpoint_is_stored_after_the_event(thread: Sandbox, play: Play) -> None:
    store = AssetStore()

    async def scenario(triggerer: Triggerer) -> None:
        trigger_id = triggerer.start(store)
        await asyncio.sleep(12)
        run_id = create_ended_run(thread)
        await asyncio.sleep(20)
        assert triggerer.events == [(trigger_id, run_id)]
        assert reported(store) == set()

        triggerer.confirm()
        await asyncio.sleep(0.1)

        assert reported(store) == {run_id}

    play(scenario)


def test_unconfirmed_events_are_sent_again_after_a_restart(thread: Sandbox, play: Play) -> None:
    store = AssetStore()

    async def scenario(triggerer: Triggerer) -> None:
        triggerer.start(store)
        await asyncio.sleep(12)
        run_id = create_ended_run(thread)
        await asyncio.sleep(12)
        await triggerer.stop()

        restarted = Triggerer()
        trigger_id = restarted.start(store)
        await asyncio.sleep(12)
        assert restarted.events == [(trigger_id, run_id)]
        restarted.confirm()
        await asyncio.sleep(6)
        await restarted.stop()

        again = Triggerer()
        again.start(store)
        await asyncio.sleep(12)
        assert again.events == []
        await again.stop()

    play(scenario)


def test_triggers_that_share_a_stream_have_their_own_checkpoints(thread: Sandbox, play: Play) -> None:
    all_of_them, failures = AssetStore(), AssetStore()

    async def scenario(triggerer: Triggerer) -> None:
        everything = triggerer.start(all_of_them)
        failed_only = triggerer.start(failures, statuses=["failed"])
        await asyncio.sleep(12)
        requests_before = thread.count("GET", "/runs")
        completed = create_ended_run(thread)
        await asyncio.sleep(6)
        failed = create_ended_run(thread, "failed")
        await asyncio.sleep(60)
        triggerer.confirm()
        await asyncio.sleep(6)

        events = triggerer.events
        assert sorted(events) == sorted(
            [(everything, completed), (everything, failed), (failed_only, failed)]
        )
        assert reported(all_of_them) == reported(failures) == {completed, failed}
        assert thread.count("GET", "/runs") - requests_before <= 72 / 4

    play(scenario)


def test_a_failing_store_does_not_end_the_trigger(thread: Sandbox, play: Play) -> None:
    store = AssetStore()

    async def scenario(triggerer: Triggerer) -> None:
        trigger_id = triggerer.start(store)
        await asyncio.sleep(12)
        store.fault = OSError("no database")
        first = create_ended_run(thread)
        await asyncio.sleep(12)
        triggerer.confirm()
        await asyncio.sleep(12)
        store.fault = None
        second = create_ended_run(thread)
        await asyncio.sleep(12)
        triggerer.confirm()
        await asyncio.sleep(6)

        assert triggerer.events == [(trigger_id, first), (trigger_id, second)]
        assert reported(store) == {first, second}

    play(scenario)


def test_an_outage_of_the_api_does_not_end_the_trigger(thread: Sandbox, play: Play) -> None:
    store = AssetStore()

    async def scenario(triggerer: Triggerer) -> None:
        triggerer.start(store)
        await asyncio.sleep(12)
        outage = thread.faults.add("server_error", times=1000)
        await asyncio.sleep(600)
        thread.faults.clear()
        assert outage is not None
        run_id = create_ended_run(thread)
        await asyncio.sleep(60)
        assert [run_id for _, run_id in triggerer.events] == [run_id]

    play(scenario)


class FailingReader:
    """A reader that returns an error at once."""

    async def next_update(self) -> Any:
        return RunRequestError("no snapshot", is_retryable=True)

    def close(self) -> None: ...


async def test_after_a_failed_event_earlier_checkpoints_are_not_stored() -> None:
    async def open_reader() -> Any:
        return FailingReader()

    written: list[int] = []

    def commit_for(number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def commit() -> None:
            written.append(number)

        return commit

    producer = ThreadProducer(open_reader)
    stream = producer.open_stream()
    deliveries = []
    for number in range(4):
        delivery, _ = await anext(stream)
        delivery.on_stored.append(commit_for(number))
        deliveries.append(delivery)
    success, failure = AdvanceOutcome(acked=1, failed=0), AdvanceOutcome(acked=0, failed=1)
    items = [AdvanceItem(one, success) for one in deliveries]
    await producer.advance([items[0], AdvanceItem(deliveries[1], failure), items[2]])
    await producer.advance([items[3]])
    later, _ = await anext(stream)
    later.on_stored.append(commit_for(4))
    await producer.advance([AdvanceItem(later, success)])
    await stream.aclose()

    assert written == [0, 4]
