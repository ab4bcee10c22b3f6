"""Runs, faults and restarts of the triggerer at random; a model checks the events."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from random import Random
from typing import Any

import pytest

from airflow_provider_openai_run.events import thread_feed
from airflow_provider_openai_run.events.checkpoint import ThreadCheckpoint
from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.triggers.openai_run_event import OpenAIRunEventTrigger
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.status import TERMINAL_STATUSES
from tests.events.asset_stores import AssetStore
from tests.events.thread_in_memory import ThreadInMemory
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import Reply
from tests.triggerer.virtual_time import EPOCH, VirtualLoop

STEPS = 200
#: After this long without fault every end must have been reported: the longest probe of an outage, and some.
SETTLING_SECONDS = 400.0
FAULTS: list[Reply | str | None] = [
    None,
    None,
    (429, {"retry-after": "2"}, b"{}"),
    (503, {}, b""),
    (200, {}, b'{"data": [{"id": "ru'),
    "cut",
    "stall",
]


class Scenario:
    """One random scenario of one trigger, and of others that follow the same thread."""

    def __init__(self, api: ThreadInMemory, seed: int) -> None:
        self.api = api
        self.random = Random(seed)
        self.store = AssetStore()
        self.reported = Counter[str]()
        self.may_be_repeated = Counter[str]()
        self.tasks: list[asyncio.Task[None]] = []

    def now(self) -> int:
        return int(EPOCH + asyncio.get_running_loop().time())

    def start(self) -> None:
        self.tasks = [asyncio.create_task(self.listen(self.store, self.reported))]
        self.tasks += [asyncio.create_task(self.listen(AssetStore(), Counter())) for _ in range(2)]

    async def listen(self, store: AssetStore, reported: Counter[str]) -> None:
        trigger = OpenAIRunEventTrigger(thread_id="thread_1", conn_id="conn", poll_interval=2)
        vars(trigger)["asset_state_store"] = store
        async for event in trigger.run():
            reported[event.payload["run_id"]] += 1

    def restart(self) -> None:
        for task in self.tasks:
            task.cancel()
        checkpoints = [ThreadCheckpoint.from_json(value["value"]) for value in self.store.entries.values()]
        (checkpoint,) = checkpoints or [None]
        for run_id in self.reported:
            run = Run(id=run_id, created_at=self.api.created_at[run_id])
            if checkpoint is None or not checkpoint.is_reported(run):
                self.may_be_repeated[run_id] += 1
        self.start()

    def create(self) -> None:
        run_id = f"run_{len(self.api.status)}"
        self.api.created_at[run_id] = self.now()
        self.api.status[run_id] = self.random.choice(["in_progress", "in_progress", "completed"])

    def end(self) -> None:
        active = [run_id for run_id, status in self.api.status.items() if status not in TERMINAL_STATUSES]
        if active:
            self.api.status[self.random.choice(active)] = self.random.choice(sorted(TERMINAL_STATUSES))

    def change_the_fault(self) -> None:
        kind, share = self.random.choice(FAULTS), self.random.choice([0.1, 1.0])
        self.api.fault = lambda _: kind if self.random.random() < share else None

    def break_the_store(self) -> None:
        self.store.fault = self.random.choice([None, None, OSError("no database")])

    async def play(self) -> None:
        past = {"run_past"}
        self.api.status["run_past"], self.api.created_at["run_past"] = "completed", self.now()
        self.start()
        await asyncio.sleep(10)
        assert self.store.entries
        steps: dict[Any, int] = {
            self.create: 30,
            self.end: 30,
            self.restart: 8,
            self.change_the_fault: 8,
            self.break_the_store: 4,
        }
        for _ in range(STEPS):
            (step,) = self.random.choices(list(steps), list(steps.values()))
            step()
            await asyncio.sleep(self.random.choice([0, 0.01, 0.5, 3.0, 20.0, 100.0]))
        self.api.fault, self.store.fault = (lambda _: None), None
        await asyncio.sleep(SETTLING_SECONDS)
        ended = {run_id for run_id, status in self.api.status.items() if status in TERMINAL_STATUSES}
        assert set(self.reported) == ended - past
        for run_id, times in self.reported.items():
            assert times <= 1 + self.may_be_repeated[run_id], run_id
        assert len(self.api.listed_at) > 50
        for task in self.tasks:
            task.cancel()
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert loop.unfinished() == []
        assert self.api.open == set()
        assert not vars(connection_poller)["_pollers"]
        assert not vars(thread_feed)["_feeds"]


@pytest.mark.parametrize("seed", range(5))
def test_each_end_is_reported_and_repeated_only_if_not_stored(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random.seed(seed)
    api = ThreadInMemory()
    api.install(monkeypatch)
    try:
        virtual_time.run(Scenario(api, seed).play())
    finally:
        vars(connection_poller)["_pollers"].clear()
        vars(thread_feed)["_feeds"].clear()
