"""What one session left behind, read back: who used how much CPU, was late, asked, and said what, and when.

All moments are seconds of the monotonic clock.
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
        """Its length."""
        return self.end - self.begin

    def overlap(self, begin: float, end: float) -> float:
        """Give how much of another span lies in it."""
        return max(0.0, min(self.end, end) - max(self.begin, begin))

    def __contains__(self, moment: float) -> bool:
        return self.begin <= moment < self.end


@dataclass(frozen=True)
class Request:
    """One request as the stub saw it.

    :param begins_poll: whether a poll begins with it; the agent trigger's poll is two requests.
    :param status: of the answer; negative when the connection was cut instead.
    """

    moment: float
    run: int
    begins_poll: bool
    status: int


@dataclass(frozen=True)
class Event:
    """One event as the runner emitted it."""

    moment: float
    run: int
    payload: Any

    @property
    def status(self) -> str | None:
        """The status it tells, if it does."""
        return self.payload.get("status") if isinstance(self.payload, dict) else None


class Recording:
    """The recordings in a folder.

    :ivar marks: the moments of the session's steps, by their names, each with the CPU time used by then.
    :ivar requests: about the runs measured, not about the one started ahead.
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
        self._usage_moments, self._cpu = usage[::USAGE_COLUMNS], usage[1::USAGE_COLUMNS]
        ticks = _doubles(folder / TICKS)
        self._ticks = [ticks[column::TICK_COLUMNS] for column in range(TICK_COLUMNS)]
        self._log_moments = sorted(self._moments_of_log_lines(folder))

    def window(self, begin: str, end: str) -> Window:
        """Give the span between two marks."""
        return Window(self.marks[begin]["moment"], self.marks[end]["moment"])

    def used(self, what: str, begin: str, end: str) -> float:
        """Give how much of a counter that is kept with the marks was used between two of them."""
        return self.marks[end][what] - self.marks[begin][what]

    def cpu_seconds(self, window: Window) -> float:
        """Give the runner's CPU time in a window."""
        return self._cpu_until(window.end) - self._cpu_until(window.begin)

    def mean_waiting(self, window: Window) -> float:
        """Give how many triggers were waiting on average."""
        fired = {event.run: event.moment for event in self.events}
        waited = (
            window.overlap(begun, fired.get(run, window.end))
            for run, begun in self.handed_out.items()
            if run != FIRST
        )
        return sum(waited) / window.seconds

    def lateness(self, window: Window) -> tuple[list[float], list[float]]:
        """Give how late the loop woke its recorder each time, in seconds, sorted: as it was, and by its own
        fault.

        Its own fault is what is left without the time that the thread stood in line for a CPU.
        """
        moments, late, queued = self._ticks
        first, after = bisect_left(moments, window.begin), bisect_left(moments, window.end)
        if after < len(moments) and moments[after] - late[after] < window.end:
            # The loop was held over the window's end.
            after += 1
        span = range(first, after)
        return sorted(late[at] for at in span), sorted(max(0.0, late[at] - queued[at]) for at in span)

    def queued_seconds(self, window: Window) -> float:
        """Give how long the runner's thread stood in line for a CPU in a window."""
        moments, _, queued = self._ticks
        return sum(queued[bisect_left(moments, window.begin) : bisect_left(moments, window.end)])

    def memory_per_trigger(self) -> float | None:
        """Give the bytes that each trigger added, once all had settled."""
        if len(self._memory) < 2:
            return None
        return (self._memory[-1] - self._memory[0]) / (len(self.handed_out) - 1)

    def log_lines(self, window: Window) -> int:
        """Give how many lines were logged in a window, by tasks and by the triggerer itself."""
        return bisect_left(self._log_moments, window.end) - bisect_left(self._log_moments, window.begin)

    def _cpu_until(self, moment: float) -> float:
        after = bisect_left(self._usage_moments, moment)
        if after in (0, len(self._usage_moments)):
            return self._cpu[min(after, len(self._cpu) - 1)]
        left, right = self._usage_moments[after - 1 : after + 1]
        part = (moment - left) / (right - left)
        return self._cpu[after - 1] + part * (self._cpu[after] - self._cpu[after - 1])

    def _moments_of_log_lines(self, folder: Path) -> Iterator[float]:
        begin = self.marks["begin"]
        clocks_apart = begin["epoch_seconds"] - begin["moment"]
        for file in (folder / "triggerer.log", *(folder / "logs").rglob("*.log")):
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.startswith("{"):
                    yield datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() - clocks_apart


def _requests(report: dict[str, list[Any]]) -> Iterator[Request]:
    columns = (report[name] for name in ("moments", "runs", "begins_poll", "statuses"))
    for moment, run, begins_poll, status in zip(*columns, strict=True):
        yield Request(moment, run, bool(begins_poll), status)


def _by_run(written: dict[str, float]) -> dict[int, float]:
    return {int(run): moment for run, moment in written.items()}


def _json_lines(file: Path) -> Iterable[Any]:
    return map(json.loads, file.read_text(encoding="utf-8").splitlines())


def _doubles(file: Path) -> Sequence[float]:
    numbers = array("d")
    numbers.frombytes(file.read_bytes())
    return numbers
