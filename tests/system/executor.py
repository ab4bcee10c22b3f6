"""The executor of the Airflow under test: Airflow's own local one, but for a race that it loses."""

from __future__ import annotations

from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState


class OneAtATimeExecutor(LocalExecutor):
    """
    Starts a task instance again only when it has heard that it left its worker.

    A task that comes back soon after it was deferred or rescheduled may be started by Airflow's own local
    executor before that has read how the process before it ended. The scheduler then takes that end for the
    new process's and fails the task as "state changed externally". A queued task is known to be wanted, so
    here it stays queued until then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Airflow's own
        self._at_work: set[Any] = set()

    def trigger_tasks(self, open_slots: int) -> None:
        """Start what is queued, but for what is still at work."""
        held = {key: self.queued_tasks.pop(key) for key in self._at_work & self.queued_tasks.keys()}
        super().trigger_tasks(open_slots)
        self.queued_tasks.update(held)

    def _process_workloads(self, workload_list: Any) -> None:
        queued = set(self.queued_tasks)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]  # Airflow's own
        self._at_work |= queued - self.queued_tasks.keys()

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Note that a process has ended."""
        if state in {TaskInstanceState.SUCCESS, TaskInstanceState.FAILED}:
            self._at_work.discard(key)
        super().change_state(key, state, info, remove_running)
