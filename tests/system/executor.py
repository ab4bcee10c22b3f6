"""The executor of the Airflow under test: the LocalExecutor without one of its races."""

from __future__ import annotations

from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState


class OneAtATimeExecutor(LocalExecutor):
    """
    A LocalExecutor that starts a task again only after it has read that the previous process ended.

    A task may resume soon after it was deferred or rescheduled. Airflow's LocalExecutor may start it then
    without having read how the previous process ended. The scheduler takes that end for the new process's and
    fails the task as "state changed externally". Here the task stays queued until then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Airflow's own
        self._running_keys: set[Any] = set()

    def trigger_tasks(self, open_slots: int) -> None:
        """Start the queued tasks whose last process has ended."""
        postponed = {key: self.queued_tasks.pop(key) for key in self._running_keys & self.queued_tasks.keys()}
        super().trigger_tasks(open_slots)
        self.queued_tasks.update(postponed)

    def _process_workloads(self, workload_list: Any) -> None:
        queued = set(self.queued_tasks)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]  # Airflow's own
        self._running_keys |= queued - self.queued_tasks.keys()

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Record that a process has ended."""
        if state in {TaskInstanceState.SUCCESS, TaskInstanceState.FAILED}:
            self._running_keys.discard(key)
        super().change_state(key, state, info, remove_running)
