"""Triggers come, go, crash and start again at random, while runs and the API change under them.

A model states in a few lines what must be delivered. A failure prints the seed that brings it back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from airflow_provider_openai_run.polling.policy import Decision
from airflow_provider_openai_run.triggerer import connection_poller
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.status import STATUSES, TERMINAL_STATUSES
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.virtual_time import EPOCH, VirtualLoop

STEPS = 1500
OPEN_STATUSES = sorted(STATUSES.keys() - TERMINAL_STATUSES)
#: By how much the forced end of a wait may be late.
EXPIRY_GRACE = 10.5
#: After this long without fault every end must have been seen: the longest interval, and the longest probe.
SETTLING_SECONDS = 300.0


class CrashError(Exception):
    """The error that ends a trigger."""


class CrashingTrigger(OpenAIRunTrigger):
    """A trigger that raises at its next event once ``crashes`` is set."""

    crashes = False

    async def _process(self, decision: Decision) -> Outcome | None:
        if self.crashes:
            raise CrashError
        return await super()._process(decision)


@dataclass
class Waiting:
    """One trigger, and what came of it."""

    trigger: CrashingTrigger
    task: asyncio.Task[None]
    began_at: float
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    left: bool = False

    @property
    def over_at(self) -> float:
        """When it must have ended, if it has a deadline: one that has passed leaves time for a look."""
        deadline = self.trigger.options.deadline
        return float("inf") if deadline is None else max(deadline, self.began_at) + EXPIRY_GRACE


class Scenario:
    """One random scenario."""

    def __init__(self, api: ApiInMemory, seed: int) -> None:
        self.api = api
        self.random = Random(seed)
        self.waits: list[Waiting] = []
        self.rotated_at = 0.0
        self.delivered = 0
        self.crashed = 0
        self.loop = asyncio.get_running_loop()
        self._steps: dict[Callable[[], None], int] = {
            self.join: 30,
            self.cancel: 8,
            self.crash: 3,
            self.restart: 8,
            self.change_a_run: 30,
            self.change_the_fault: 6,
            self.rotate_the_key: 2,
            self.cancel_all: 1,
        }

    @property
    def open(self) -> list[Waiting]:
        return [one for one in self.waits if not one.left and not one.events]

    def step(self) -> None:
        (do,) = self.random.choices(list(self._steps), list(self._steps.values()))
        do()

    def join(self) -> None:
        run_id = f"run_{self.random.randrange(400)}"
        self.api.status.setdefault(run_id, self.random.choice(OPEN_STATUSES))
        now = EPOCH + self.loop.time()
        self.start(
            {
                "conn_id": self.random.choice(["one", "one", "one", "two"]),
                "run_id": run_id,
                "thread_id": self.random.choice([None, "thread"]),
                "started_at": now,
                "deadline": self.random.choice([None, None, now + self.random.uniform(-5, 200)]),
                "poll_interval": self.random.choice([1.0, 5.0, 20.0]),
                "max_consecutive_failures": 10**6,
            }
        )

    def start(self, options: dict[str, Any]) -> None:
        trigger = CrashingTrigger(**options)
        waiting = Waiting(trigger, asyncio.create_task(self.run(trigger)), EPOCH + self.loop.time())
        self.waits.append(waiting)

    async def run(self, trigger: CrashingTrigger) -> None:
        async for event in trigger.run():
            (waiting,) = (one for one in self.waits if one.trigger is trigger)
            waiting.events.append((EPOCH + self.loop.time(), dict(event.payload)))

    def cancel(self) -> None:
        if self.open:
            waiting = self.random.choice(self.open)
            waiting.left = True
            waiting.task.cancel()

    def crash(self) -> None:
        if self.open:
            self.random.choice(self.open).trigger.crashes = True

    def restart(self) -> None:
        if self.open:
            waiting = self.random.choice(self.open)
            waiting.left = True
            waiting.task.cancel()
            self.start(waiting.trigger.serialize()[1])

    def cancel_all(self) -> None:
        for waiting in self.open:
            waiting.left = True
            waiting.task.cancel()

    def change_a_run(self) -> None:
        going_on = [run for run, status in self.api.status.items() if status not in TERMINAL_STATUSES]
        if going_on:
            run = self.random.choice(going_on)
            self.api.status[run] = self.random.choice([*OPEN_STATUSES, *sorted(TERMINAL_STATUSES)])

    def change_the_fault(self) -> None:
        share = self.random.choice([0.02, 0.3, 1.0])
        faults: list[Reply | str | None] = [
            None,
            (429, {"retry-after": "2"}, b"{}"),
            (429, {}, b"{}"),
            (500, {}, b""),
            (503, {"retry-after": "3"}, b"{}"),
            (200, {"openai-poll-after-ms": "3000"}, b'{"id": "r", "sta'),
            "cut",
            "stall",
        ]
        kind = self.random.choice(faults)
        self.api.fault = lambda _: kind if self.random.random() < share else None
        self.api.latency = self.random.choice([0.0, 0.03, 0.3, 3.0])
        self.api.lookup_seconds = self.random.choice([0.0, 0.025, 2.0])

    def rotate_the_key(self) -> None:
        # A connection that was looked up a moment ago is not looked up again.
        if self.loop.time() - self.rotated_at > 60:
            self.rotated_at = self.loop.time()
            self.api.key = self.api.airflow_key = f"key {self.random.random()}"

    def check(self) -> None:
        """Compare what was delivered with what the model expects, and forget the triggers that are over."""
        for waiting in [one for one in self.waits if one.task.done()]:
            self._check_one(waiting)
            self.waits.remove(waiting)

    def _check_one(self, waiting: Waiting) -> None:
        if waiting.task.cancelled():
            assert waiting.left
            assert not waiting.events
            return
        if waiting.trigger.crashes and isinstance(waiting.task.exception(), CrashError):
            assert not waiting.events
            self.crashed += 1
            return
        waiting.task.result()
        ((at, event),) = waiting.events
        self.delivered += 1
        assert not waiting.left
        ref, deadline = waiting.trigger.ref, waiting.trigger.options.deadline
        assert (event["run_id"], event["parent_id"]) == (ref.run_id, ref.parent_id)
        if "error" in event:
            assert event["error"]["type"] == "RunWaitTimeoutError"
            assert deadline is not None
            assert at >= deadline
        else:
            # Once a run has ended, its status stays.
            assert event["status"] == self.api.status[ref.run_id]
            assert event["status"] in TERMINAL_STATUSES
        assert at <= waiting.over_at

    def check_deadlines(self) -> None:
        now = EPOCH + self.loop.time()
        for waiting in self.open:
            assert now <= waiting.over_at, waiting.trigger.serialize()

    async def end(self) -> None:
        """Let all end well, and see that nothing is left."""
        self.api.fault, self.api.latency = (lambda _: None), 0.1
        for run, status in self.api.status.items():
            self.api.status[run] = status if status in TERMINAL_STATUSES else "completed"
        await asyncio.sleep(SETTLING_SECONDS)
        self.check()
        assert not self.waits, "These were lost."
        assert isinstance(self.loop, VirtualLoop)
        assert self.loop.unfinished() == []
        assert self.api.open == set()
        assert not vars(connection_poller)["_pollers"]
        assert not vars(connection_poller)["_closing"]


async def play(api: ApiInMemory, seed: int) -> Scenario:
    scenario = Scenario(api, seed)
    for _ in range(STEPS):
        scenario.step()
        await asyncio.sleep(scenario.random.choice([0, 0, 0.01, 0.3, 2.0, 10.0]))
        scenario.check()
        scenario.check_deadlines()
        assert api.max_active <= 2 * 64
    await scenario.end()
    return scenario


@pytest.mark.parametrize("seed", range(10))
def test_every_open_wait_gets_exactly_its_outcome(api: ApiInMemory, seed: int) -> None:
    random.seed(seed)
    scenario = virtual_time.run(play(api, seed))
    assert scenario.delivered > 100, f"seed {seed} ends too few runs"
    assert scenario.crashed > 10, f"seed {seed} crashes too few triggers"
