"""Airflow's triggerer with both of its processes, but with triggers from a list instead of the database.

Real: the supervisor's loop, the channel between the processes, the runner that it forks with its event loop,
log files for each trigger's task, encrypted arguments, and the lookup of connections: a message to the
supervisor, which calls the Execution API inside its process, which reads a SQLite database.

Not real: the supervisor reads no triggers from the database and writes no events to it, so the rest is a
little faster than in Airflow; the waiting tasks exist only as data of their triggers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

import attrs
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.executors.workloads.trigger import RunTrigger
from airflow.jobs.triggerer_job_runner import TriggerLoggingFactory, TriggerRunnerSupervisor
from airflow.models.trigger import Trigger

from tests.benchmarks.runner_recorder import RecordedRunner

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent


@dataclass(frozen=True, kw_only=True)
class WaitingTask:
    """A task that waits for a run.

    :param number: number of its run and of its trigger, 1 or more.
    :param classpath: class path of its trigger.
    :param arguments: returns the trigger's arguments when it is handed out.
    """

    number: int
    classpath: str
    arguments: Callable[[], dict[str, Any]]


@attrs.define(kw_only=True)
class MeasuredSupervisor(TriggerRunnerSupervisor):
    """Airflow's supervisor without a job in the database."""

    folder: ClassVar[Path]
    """The folder of the recordings and task logs; set it before ``start``."""

    tasks: dict[int, WaitingTask] = attrs.field(factory=dict, init=False)
    failed: list[int] = attrs.field(factory=list, init=False)
    ended: set[int] = attrs.field(factory=set, init=False)
    handed_out: dict[int, float] = attrs.field(factory=dict, init=False)

    _to_hand_out: deque[WaitingTask] = attrs.field(factory=deque, init=False)
    _rate: int = attrs.field(default=0, init=False)
    _next_batch: float = attrs.field(default=0.0, init=False)

    def hand_out(self, tasks: list[WaitingTask], rate: int) -> None:
        """Queue tasks to start at a rate per second, as a triggerer reads them from the database."""
        self._to_hand_out.extend(tasks)
        self._rate, self._next_batch = rate, time.monotonic()

    def work(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Run the supervisor's loop for some seconds or until a condition is true; return whether it was."""
        now = time.monotonic()
        end, next_check = now + seconds, now
        while (now := time.monotonic()) < end:
            if until is not None and now >= next_check:
                if until():
                    return True
                next_check = now + 0.2
            if not self.is_alive():
                raise RuntimeError("The trigger runner has died.")
            self.run_once()
        return False

    def load_triggers(self) -> None:
        """Set the triggers that must run: those handed out and not ended."""
        if self._to_hand_out and time.monotonic() >= self._next_batch:
            self._next_batch += 1.0
            for _ in range(min(self._rate, len(self._to_hand_out))):
                task = self._to_hand_out.popleft()
                self.tasks[task.number] = task
        self.update_triggers(self.tasks.keys() - self.ended)

    def build_trigger_workloads(self, new_trigger_ids: set[int]) -> list[RunTrigger]:
        """Return the messages that start triggers."""
        return [self._workload(self.tasks[number]) for number in sorted(new_trigger_ids)]

    def _workload(self, task: WaitingTask) -> RunTrigger:
        self.handed_out[task.number] = time.monotonic()
        ti = TaskInstanceDTO(
            id=uuid4(),
            dag_version_id=UUID(int=1),
            dag_id="waiting",
            run_id="manual__2026-11-22T00:00:00+00:00",
            task_id=f"wait_{task.number:06}",
            try_number=1,
            pool_slots=1,
            priority_weight=1,
        )
        path = self.folder / "logs" / f"task_id={ti.task_id}" / "attempt=1.log.trigger.1.log"
        self.logger_cache[task.number] = TriggerLoggingFactory(log_path=str(path), ti=ti)  # type: ignore[arg-type]
        kwargs = Trigger.encrypt_kwargs(task.arguments())
        return RunTrigger(id=task.number, classpath=task.classpath, encrypted_kwargs=kwargs, ti=ti)

    def on_trigger_event(self, trigger_id: int, event: TriggerEvent) -> None:
        """Record that a trigger fired."""
        self.ended.add(trigger_id)

    def on_trigger_failure(self, trigger_id: int, exc: list[str] | None) -> None:
        """Record that a trigger failed."""
        self.ended.add(trigger_id)
        self.failed.append(trigger_id)

    def clean_unused(self) -> None:
        """Do nothing: there are no rows to clean."""

    def heartbeat(self) -> None:
        """Do nothing: there is no job to keep alive."""

    def metric_tags(self) -> dict[str, str]:
        """Return the host name for the metrics."""
        return {"hostname": "localhost"}

    @classmethod
    def run_in_process(cls) -> None:
        """Run the runner in the forked process, with a recorder in its loop."""
        RecordedRunner(cls.folder).run()  # type: ignore[no-untyped-call]
