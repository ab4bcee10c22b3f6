"""Triggers come, go, crash and start again at random, while runs and the API change under them.

A model says in a few lines what is to be delivered. A failure prints the seed that brings it back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from airflow_provider_openai_run.triggerer import connection_poller as poller_module
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from airflow_provider_openai_run.types.status import STATUSES, TERMINAL_STATUSES
from tests.triggerer import virtual_time
from tests.triggerer.api_in_memory import ApiInMemory, Reply
from tests.triggerer.virtual_time import EPOCH, VirtualLoop

STEPS = 1500
OPEN_STATUSES = sorted(STATUSES.keys() - TERMINAL_STATUSES)
#: By how much the forced end of a wait may be late.
OVERDUE = 10.5
#: After this long without trouble every end must have been seen: the longest interval, and the longest probe.
SETTLED_AFTER = 300.0


class CrashError(Exception):
    """What a trigger dies of."""


class CrashingTrigger(OpenAIRunTrigger):
    """A trigger that dies of the next line it would log, once it is told to."""

    crashes = False

    def _log_notes(self, decision: Any) -> None:
        if self.crashes:
            raise CrashError


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
        return float("inf") if deadline is None else max(deadline, self.began_at) + OVERDUE


class Story:
    """One random story."""

    def __init__(self, api: ApiInMemory, seed: int) -> None:
        self.api = api
        self.chance = Random(seed)
        self.waits: list[Waiting] = []
        self.rotated_at = 0.0
        self.delivered = 0
        self.loop = asyncio.get_running_loop()
        self._steps: dict[Callable[[], None], int] = {
            self.join: 30,
            self.cancel: 8,
            self.crash: 3,
            self.restart: 8,
            self.change_a_run: 30,
            self.change_the_weather: 6,
            self.rotate_the_key: 2,
            self.everyone_leaves: 1,
        }

    @property
    def open(self) -> list[Waiting]:
        return [one for one in self.waits if not one.left and not one.events]

    def step(self) -> None:
        (do,) = self.chance.choices(list(self._steps), list(self._steps.values()))
        do()

    def join(self) -> None:
        run_id = f"run_{self.chance.randrange(400)}"
        self.api.status.setdefault(run_id, self.chance.choice(OPEN_STATUSES))
        now = EPOCH + self.loop.time()
        self.start(
            {
                "conn_id": self.chance.choice(["one", "one", "one", "two"]),
                "run_id": run_id,
                "thread_id": self.chance.choice([None, "thread"]),
                "started_at": now,
                "deadline": self.chance.choice([None, None, now + self.chance.uniform(-5, 200)]),
                "poll_interval": self.chance.choice([1.0, 5.0, 20.0]),
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
            waiting = self.chance.choice(self.open)
            waiting.left = True
            waiting.task.cancel()

    def crash(self) -> None:
        if self.open:
            self.chance.choice(self.open).trigger.crashes = True

    def restart(self) -> None:
        if self.open:
            waiting = self.chance.choice(self.open)
            waiting.left = True
            waiting.task.cancel()
            self.start(waiting.trigger.serialize()[1])

    def everyone_leaves(self) -> None:
        for waiting in self.open:
            waiting.left = True
            waiting.task.cancel()

    def change_a_run(self) -> None:
        going_on = [run for run, status in self.api.status.items() if status not in TERMINAL_STATUSES]
        if going_on:
            run = self.chance.choice(going_on)
            self.api.status[run] = self.chance.choice([*OPEN_STATUSES, *sorted(TERMINAL_STATUSES)])

    def change_the_weather(self) -> None:
        share = self.chance.choice([0.02, 0.3, 1.0])
        weather: list[Reply | str | None] = [
            None,
            (429, {"retry-after": "2"}, b"{}"),
            (429, {}, b"{}"),
            (500, {}, b""),
            (503, {"retry-after": "3"}, b"{}"),
            (200, {"openai-poll-after-ms": "3000"}, b'{"id": "r", "sta'),
            "cut",
            "stall",
        ]
        kind = self.chance.choice(weather)
        self.api.trouble = lambda _: kind if self.chance.random() < share else None
        self.api.latency = self.chance.choice([0.0, 0.03, 0.3, 3.0])
        self.api.look_up_takes = self.chance.choice([0.0, 0.025, 2.0])

    def rotate_the_key(self) -> None:
        # A connection that was looked up a moment ago is not looked up again.
        if self.loop.time() - self.rotated_at > 60:
            self.rotated_at = self.loop.time()
            self.api.key = self.api.airflow_key = f"key {self.chance.random()}"

    def check(self) -> None:
        """Compare what was delivered with what was to be, and forget the triggers that are over."""
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

    def check_nobody_is_overdue(self) -> None:
        now = EPOCH + self.loop.time()
        for waiting in self.open:
            assert now <= waiting.over_at, waiting.trigger.serialize()

    async def end(self) -> None:
        """Let all end well, and see that nothing is left."""
        self.api.trouble, self.api.latency = (lambda _: None), 0.1
        for run, status in self.api.status.items():
            self.api.status[run] = status if status in TERMINAL_STATUSES else "completed"
        await asyncio.sleep(SETTLED_AFTER)
        self.check()
        assert not self.waits, "These were lost."
        assert isinstance(self.loop, VirtualLoop)
        assert self.loop.left_over() == []
        assert self.api.open == set()
        assert not vars(poller_module)["_pollers"]
        assert not vars(poller_module)["_closing"]


async def play(api: ApiInMemory, seed: int) -> Story:
    story = Story(api, seed)
    for _ in range(STEPS):
        story.step()
        await asyncio.sleep(story.chance.choice([0, 0, 0.01, 0.3, 2.0, 10.0]))
        story.check()
        story.check_nobody_is_overdue()
        assert api.most_under_way <= 2 * 64
    await story.end()
    return story


@pytest.mark.parametrize("seed", range(10))
def test_every_wait_still_wanted_gets_the_one_right_outcome(api: ApiInMemory, seed: int) -> None:
    random.seed(seed)
    story = virtual_time.run(play(api, seed))
    assert story.delivered > 100, f"seed {seed} tells too little"
