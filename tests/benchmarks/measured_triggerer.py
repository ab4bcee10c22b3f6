"""Airflow's triggerer, its two processes as they are, with triggers that come from a list in place of the
database.

Real: the supervisor's loop, the channel between the processes, the runner that it forks with its event loop,
log files for each trigger's task, encrypted arguments, and how connections are looked up: a message to the
supervisor, which asks the Execution API inside its process, which reads a SQLite database.

Not real: the supervisor reads no triggers from the database and writes no events to it, so it is a little
quicker with everything else than Airflow's own; the tasks that wait exist only as far as triggers see them.
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
class BaseRunOperator:
    """One task that waits.

    :param number: of its run and of its trigger, 1 or more.
    :param arguments: gives the trigger's arguments at the moment it is handed out.
    """

    number: int
    classpath: str
    arguments: Callable[[], dict[str, Any]]


@attrs.define(kw_only=True)
class MeasuredSupervisor(TriggerRunnerSupervisor):
    """The supervisor, without a job in the database."""

    folder: ClassVar[Path]
    """Where the runner's recordings and the logs of the tasks go; to be set before ``start``."""

    tasks: dict[int, BaseRunOperator] = attrs.field(factory=dict, init=False)
    failed: list[int] = attrs.field(factory=list, init=False)
    ended: set[int] = attrs.field(factory=set, init=False)
    handed_out: dict[int, float] = attrs.field(factory=dict, init=False)

    _to_hand_out: deque[BaseRunOperator] = attrs.field(factory=deque, init=False)
    _rate: int = attrs.field(default=0, init=False)
    _next_batch: float = attrs.field(default=0.0, init=False)

    def hand_out(self, tasks: list[BaseRunOperator], rate: int) -> None:
        """Queue tasks, to be started so many a second, as a triggerer takes them from the database."""
        self._to_hand_out.extend(tasks)
        self._rate, self._next_batch = rate, time.monotonic()

    def work(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Do the supervisor's work for so long, or until something is true; say whether it came true."""
        now = time.monotonic()
        over, ask = now + seconds, now
        while (now := time.monotonic()) < over:
            if until is not None and now >= ask:
                if until():
                    return True
                ask = now + 0.2
            if not self.is_alive():
                raise RuntimeError("The trigger runner has died.")
            self.run_once()
        return False

    def load_triggers(self) -> None:
        """Say which triggers are to run: those handed out by now and not at their end."""
        if self._to_hand_out and time.monotonic() >= self._next_batch:
            self._next_batch += 1.0
            for _ in range(min(self._rate, len(self._to_hand_out))):
                task = self._to_hand_out.popleft()
                self.tasks[task.number] = task
        self.update_triggers(self.tasks.keys() - self.ended)

    def build_trigger_workloads(self, new_trigger_ids: set[int]) -> list[RunTrigger]:
        """Make the messages that start triggers."""
        return [self._workload(self.tasks[number]) for number in sorted(new_trigger_ids)]

    def _workload(self, task: BaseRunOperator) -> RunTrigger:
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
        """Take note that a trigger has fired; its task would go on now."""
        self.ended.add(trigger_id)

    def on_trigger_failure(self, trigger_id: int, exc: list[str] | None) -> None:
        """Take note that a trigger has failed; its task would fail now."""
        self.ended.add(trigger_id)
        self.failed.append(trigger_id)

    def clean_unused(self) -> None:
        """There are no rows to clean."""

    def heartbeat(self) -> None:
        """There is no job to keep alive."""

    def metric_tags(self) -> dict[str, str]:
        """Name the host, as the metrics ask for."""
        return {"hostname": "localhost"}

    @classmethod
    def run_in_process(cls) -> None:
        """Run the runner in the forked process, with a recorder in its loop."""
        RecordedRunner(cls.folder).run()  # type: ignore[no-untyped-call]
