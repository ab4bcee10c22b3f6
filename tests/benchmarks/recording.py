"""The recording of a session: CPU time, loop lag, memory, requests and events.

All times are seconds of the monotonic clock.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.recorded_files import (
    EVENTS,
    FIRST,
    MARKS,
    MEMORY,
    STUB_REPORT,
    TICK_COLUMNS,
    TICKS,
    USAGE,
    USAGE_COLUMNS,
)


@dataclass(frozen=True)
class Window:
    """A span of time."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.end - self.begin

    def overlap(self, begin: float, end: float) -> float:
        """Return how many seconds of another span lie in the window."""
        return max(0.0, min(self.end, end) - max(self.begin, begin))

    def __contains__(self, time: float) -> bool:
        return self.begin <= time < self.end


@dataclass(frozen=True)
class Request:
    """A request that the stub received.

    :param begins_poll: whether a poll begins with it. A poll of the agent trigger is two requests.
    :param status: status of the response; negative if the connection was closed instead.
    """

    time: float
    run: int
    begins_poll: bool
    status: int


@dataclass(frozen=True)
class Event:
    """An event that the runner emitted."""

    time: float
    run: int
    payload: Any

    @property
    def status(self) -> str | None:
        """The status in the payload, if any."""
        return self.payload.get("status") if isinstance(self.payload, dict) else None


class Recording:
    """The recordings in a folder.

    :ivar marks: the time of each step of the session, by name, with the CPU time until then.
    :ivar requests: the requests for all runs but the first, which starts alone.
    """

    def __init__(self, folder: Path) -> None:
        written = json.loads((folder / MARKS).read_text(encoding="utf-8"))
        self.marks: dict[str, dict[str, float]] = written["marks"]
        self.failed: list[int] = written["failed"]
        self.handed_out = _by_run(written["handed_out"])
        self.ends = _by_run(written["ends"])
        self.ages = _by_run(written["ages"])
        report = json.loads((folder / STUB_REPORT).read_text(encoding="utf-8"))
        self.connections: int = report["connections"]
        self.most_open_connections: int = report["most_open_connections"]
        self.requests = [request for request in _requests(report) if request.run != FIRST]
        self.events = [Event(*line) for line in _json_lines(folder / EVENTS)]
        self._memory: list[int] = [line["bytes"] for line in _json_lines(folder / MEMORY)]
        usage = _doubles(folder / USAGE)
        self._usage_times, self._cpu = usage[::USAGE_COLUMNS], usage[1::USAGE_COLUMNS]
        ticks = _doubles(folder / TICKS)
        self._ticks = [ticks[column::TICK_COLUMNS] for column in range(TICK_COLUMNS)]
        self._log_times = sorted(self._times_of_log_lines(folder))

    def window(self, begin: str, end: str) -> Window:
        """Return the span between two marks."""
        return Window(self.marks[begin]["time"], self.marks[end]["time"])

    def used(self, what: str, begin: str, end: str) -> float:
        """Return the increase of a counter between two marks."""
        return self.marks[end][what] - self.marks[begin][what]

    def cpu_seconds(self, window: Window) -> float:
        """Return the runner's CPU seconds in a window."""
        return self._cpu_until(window.end) - self._cpu_until(window.begin)

    def mean_waiting(self, window: Window) -> float:
        """Return the mean number of waiting triggers in a window."""
        fired = {event.run: event.time for event in self.events}
        waited = (
            window.overlap(begun, fired.get(run, window.end))
            for run, begun in self.handed_out.items()
            if run != FIRST
        )
        return sum(waited) / window.seconds

    def lateness(self, window: Window) -> tuple[list[float], list[float]]:
        """Return the loop's lag at each wake-up of the recorder in seconds, sorted: in all, and its own.

        Its own lag is without the time for which the thread queued for a CPU.
        """
        times, late, queued = self._ticks
        first, after = bisect_left(times, window.begin), bisect_left(times, window.end)
        if after < len(times) and times[after] - late[after] < window.end:
            # The loop was blocked beyond the window's end.
            after += 1
        span = range(first, after)
        return sorted(late[at] for at in span), sorted(max(0.0, late[at] - queued[at]) for at in span)

    def queued_seconds(self, window: Window) -> float:
        """Return how many seconds of a window the runner's thread queued for a CPU."""
        times, _, queued = self._ticks
        return sum(queued[bisect_left(times, window.begin) : bisect_left(times, window.end)])

    def memory_per_trigger(self) -> float | None:
        """Return the bytes of memory per trigger, or None if it was not measured."""
        if len(self._memory) < 2:
            return None
        return (self._memory[-1] - self._memory[0]) / (len(self.handed_out) - 1)

    def log_lines(self, window: Window) -> int:
        """Return the number of log lines in a window, by tasks and by the triggerer."""
        return bisect_left(self._log_times, window.end) - bisect_left(self._log_times, window.begin)

    def _cpu_until(self, time: float) -> float:
        after = bisect_left(self._usage_times, time)
        if after in (0, len(self._usage_times)):
            return self._cpu[min(after, len(self._cpu) - 1)]
        left, right = self._usage_times[after - 1 : after + 1]
        part = (time - left) / (right - left)
        return self._cpu[after - 1] + part * (self._cpu[after] - self._cpu[after - 1])

    def _times_of_log_lines(self, folder: Path) -> Iterator[float]:
        begin = self.marks["begin"]
        clocks_apart = begin["epoch_seconds"] - begin["time"]
        for file in (folder / "triggerer.log", *(folder / "logs").rglob("*.log")):
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.startswith("{"):
                    yield datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() - clocks_apart


def _requests(report: dict[str, list[Any]]) -> Iterator[Request]:
    columns = (report[name] for name in ("times", "runs", "begins_poll", "statuses"))
    for time, run, begins_poll, status in zip(*columns, strict=True):
        yield Request(time, run, bool(begins_poll), status)


def _by_run(written: dict[str, float]) -> dict[int, float]:
    return {int(run): time for run, time in written.items()}


def _json_lines(file: Path) -> Iterable[Any]:
    return map(json.loads, file.read_text(encoding="utf-8").splitlines())


def _doubles(file: Path) -> Sequence[float]:
    numbers = array("d")
    numbers.frombytes(file.read_bytes())
    return numbers
