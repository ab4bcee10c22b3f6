"""A recorder inside the process of the ``TriggerRunner``: events, CPU time, loop lag, memory.

The recorder runs in the runner's event loop and uses about one per cent of a core, the same for every
contestant. It writes to files at once, so that its data does not count as memory of the runner.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import resource
import signal
import time
from array import array
from collections import deque
from pathlib import Path

from airflow.jobs.triggerer_job_runner import TriggerEventEntry, TriggerRunner

from tests.benchmarks.recorded_files import EVENTS, MEMORY, TICKS, USAGE

TICK_SECONDS = 0.005
USAGE_SECONDS = 0.25


class RecordedRunner(TriggerRunner):
    """Airflow's runner with a recorder in its event loop.

    :param folder: folder of the recordings.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._folder = folder
        self.events = _Events(folder / EVENTS)

    async def arun(self) -> None:
        """Run and record."""
        recorder = LoopRecorder(asyncio.get_running_loop(), self._folder)
        recorder.start()
        try:
            await super().arun()  # type: ignore[no-untyped-call]
        finally:
            recorder.stop()


class _Events(deque[TriggerEventEntry]):
    """The runner's outbound events, each recorded with the time when it is queued."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w", buffering=1, encoding="utf-8")

    def append(self, entry: TriggerEventEntry) -> None:
        """Record the event and queue it."""
        self._file.write(
            json.dumps([time.monotonic(), entry.trigger_id, entry.event.payload], default=str) + "\n"
        )
        super().append(entry)


class LoopRecorder:
    """Wakes every few milliseconds in an event loop and records how late it woke.

    It also records how long the thread was ready but queued for a CPU: that part of the lag is caused by
    other processes, not by the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self._loop = loop
        self._ticks = array("d")
        self._ticks_file = (folder / TICKS).open("wb", buffering=0)
        self._usage_file = (folder / USAGE).open("wb", buffering=0)
        self._memory_file = (folder / MEMORY).open("w", buffering=1, encoding="utf-8")
        self._queueing = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._queued = self._queued_seconds()
        self._due = self._usage_due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to record; SIGUSR1 triggers a measurement of the memory."""
        self._loop.add_signal_handler(signal.SIGUSR1, self._record_memory)
        self._due = self._usage_due = self._loop.time()
        self._tick()

    def stop(self) -> None:
        """Stop."""
        if self._handle is not None:
            self._handle.cancel()
        self._loop.remove_signal_handler(signal.SIGUSR1)

    def _tick(self) -> None:
        now = self._loop.time()
        queued = self._queued_seconds()
        self._ticks.extend((now, now - self._due, queued - self._queued))
        self._queued = queued
        if now >= self._usage_due:
            self._record_usage(now)
        self._due = now + TICK_SECONDS
        self._handle = self._loop.call_at(self._due, self._tick)

    def _record_usage(self, now: float) -> None:
        self._usage_due = now + USAGE_SECONDS
        self._usage_file.write(array("d", (now, _cpu_seconds())).tobytes())
        self._ticks_file.write(self._ticks.tobytes())
        del self._ticks[:]

    def _record_memory(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        record = {"time": time.monotonic(), "bytes": _anonymous_bytes()}
        self._memory_file.write(json.dumps(record) + "\n")

    def _queued_seconds(self) -> float:
        return int(os.pread(self._queueing, 64, 0).split()[1]) / 1e9


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("This kernel does not report the memory of a process.")
