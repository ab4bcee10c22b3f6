"""A trigger that records how late the event loop of its triggerer is, in a real Airflow."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

TICK_SECONDS = 0.02
WRITE_SECONDS = 1.0
DAY_SECONDS = 86400.0


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """The longest delays of an event loop in one second.

    :param at: the end of that second, in epoch seconds.
    :param seconds: the longest delay, in seconds.
    :param own_seconds: the longest delay, without the time for which the loop was ready but other processes
        had the CPU, in seconds.
    """

    at: float
    seconds: float
    own_seconds: float


class LoopLatenessTrigger(BaseTrigger):
    """
    Wake 50 times a second, and write to a file how late the latest of each second was.

    :param path: the file; a line of JSON is appended each second.
    :param seconds: for how long; a day by default.
    """

    def __init__(self, path: str, seconds: float = DAY_SECONDS) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return "tests.benchmarks.loop_lateness.LoopLatenessTrigger", {
            "path": self.path,
            "seconds": self.seconds,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Record, then fire."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds
        queueing = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        with Path(self.path).open("a", buffering=1, encoding="utf-8") as file:  # noqa: ASYNC230 # a line a second
            try:
                latest = latest_own = 0.0
                write_at, queued = loop.time() + WRITE_SECONDS, _queued_seconds(queueing)
                while loop.time() < end:
                    due = loop.time() + TICK_SECONDS
                    await asyncio.sleep(TICK_SECONDS)
                    late, queued_before = loop.time() - due, queued
                    queued = _queued_seconds(queueing)
                    latest = max(latest, late)
                    latest_own = max(latest_own, late - (queued - queued_before))
                    if loop.time() >= min(write_at, end):
                        file.write(json.dumps([time.time(), latest, latest_own]) + "\n")
                        latest = latest_own = 0.0
                        write_at = loop.time() + WRITE_SECONDS
            finally:
                os.close(queueing)
        yield TriggerEvent(None)


def read_lateness(path: Path, begin: float, end: float) -> list[Lateness]:
    """
    Return what a trigger has recorded in a span of time.

    :param path: the trigger's file.
    :param begin: epoch seconds.
    :param end: epoch seconds.
    """
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    records = (json.loads(line) for line in lines if line.endswith("]"))
    return [
        Lateness(at=at, seconds=seconds, own_seconds=own)
        for at, seconds, own in records
        if begin <= at <= end
    ]


def _queued_seconds(schedstat: int) -> float:
    return int(os.pread(schedstat, 64, 0).split()[1]) / 1e9
