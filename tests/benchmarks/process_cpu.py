"""CPU time of groups of processes: each is a process with everything that it started, ended ones included."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.25
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class ProcessUsage:
    """CPU time and ancestry of one process, as the kernel reports them.

    :param process_id: its id.
    :param parent_id: id of its parent; that of another process once its parent has ended.
    :param session_id: id of its session.
    :param started_at: when it started, in ticks since the machine did; an earlier process with the same id
        had another.
    :param seconds: CPU time of the process, and of those children that have ended and that it has waited for,
        in seconds.
    """

    process_id: int
    parent_id: int
    session_id: int
    started_at: int
    seconds: float


def parse_stat(line: str) -> ProcessUsage:
    """Return the content of ``/proc/<pid>/stat``, see proc_pid_stat(5)."""
    # The command's name, in parentheses, may contain spaces and parentheses.
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    return ProcessUsage(
        process_id=int(head.partition(" ")[0]),
        parent_id=int(fields[1]),
        session_id=int(fields[3]),
        started_at=int(fields[19]),
        seconds=sum(map(int, fields[11:15])) / TICKS_PER_SECOND,
    )


def all_processes() -> list[ProcessUsage]:
    """Return all processes of the machine; one that ends meanwhile may be missing."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                line = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.append(parse_stat(line))
    return found


class GroupCpu:
    """The CPU time of a process and of everything that it started.

    A process belongs to the group if it is in the leader's session or was started by a member. The kernel
    adds the time of an ended process to its parent, once the parent has waited for it. No member waits for a
    process whose parent ended before it: its time, as last seen, is kept here.

    :param leader_id: id of the process that leads the session.
    """

    def __init__(self, leader_id: int) -> None:
        self._leader_id = leader_id
        self._members: dict[tuple[int, int], ProcessUsage] = {}
        self._kept_seconds = 0.0

    @property
    def seconds(self) -> float:
        """CPU time of all members since they started, in seconds."""
        return self._kept_seconds + sum(member.seconds for member in self._members.values())

    def update(self, processes: Iterable[ProcessUsage]) -> None:
        """
        Take in a new sample.

        :param processes: all processes of the machine.
        """
        by_id = {process.process_id: process for process in processes}
        members = {_key(process): process for process in by_id.values() if self._belongs(process, by_id)}
        previous_ids = {member.process_id for member in self._members.values()}
        for key, process in self._members.items():
            if key not in members and process.parent_id not in previous_ids:
                self._kept_seconds += process.seconds
        self._members = members

    def _belongs(self, process: ProcessUsage, by_id: Mapping[int, ProcessUsage]) -> bool:
        visited: set[int] = set()
        ancestor: ProcessUsage | None = process
        while ancestor is not None and ancestor.process_id not in visited:
            if ancestor.session_id == self._leader_id or _key(ancestor) in self._members:
                return True
            visited.add(ancestor.process_id)
            ancestor = by_id.get(ancestor.parent_id)
        return False


def _key(process: ProcessUsage) -> tuple[int, int]:
    return process.process_id, process.started_at


class CpuMeter:
    """Samples groups of processes in a thread, so that those which end are seen before they do.

    :param leader_ids: id of the leading process of each group, by the group's name.
    """

    def __init__(self, leader_ids: Mapping[str, int]) -> None:
        self._groups = {name: GroupCpu(leader_id) for name, leader_id in leader_ids.items()}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="cpu-meter", daemon=True)

    def __enter__(self) -> Self:
        self.read()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def read(self) -> dict[str, float]:
        """Return the CPU time of each group since its start, in seconds."""
        processes = all_processes()
        with self._lock:
            for group in self._groups.values():
                group.update(processes)
            return {name: group.seconds for name, group in self._groups.items()}

    def _sample(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            self.read()
