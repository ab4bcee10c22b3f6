"""What the page knows of the task instance itself."""

from __future__ import annotations

from dataclasses import dataclass

#: The states in which a task instance stays until somebody clears it.
_FINAL = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstanceInfo:
    """
    A task instance.

    :param state: Airflow's word; None before it is scheduled.
    :param operator: the name of its class.
    :param ended_at: when its last try ended, in epoch seconds.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    state: str | None = None
    operator: str | None = None
    try_number: int = 0
    ended_at: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether there can be news."""
        return self.state not in _FINAL

    @property
    def name(self) -> str:
        """Its name: ``task``, or ``task [3]`` for one of a mapped task's."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"

    def last_moment(self, now: float) -> float:
        """Give until when something can have gone on that nobody has seen end."""
        return now if self.is_live or self.ended_at is None else self.ended_at
