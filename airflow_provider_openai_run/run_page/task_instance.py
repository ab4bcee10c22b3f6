"""The task instance as the page needs it."""

from __future__ import annotations

from dataclasses import dataclass

#: States that a task instance leaves only when it is cleared.
_FINAL_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
#: The state of a parked task, in Airflow 3.3 and later.
_AWAITING_INPUT = "awaiting_input"


@dataclass(frozen=True, slots=True, order=True)
class Iteration:
    """
    Where a task instance of a loop is, in Airflow's terms.

    :param region_id: a UUID, which is later for what was created later.
    """

    region_id: str
    region_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstanceInfo:
    """
    A task instance.

    :param map_index: -1 for a task that is not mapped.
    :param state: Airflow's state; None before the task is scheduled.
    :param operator: the name of the task's class.
    :param ended_at: when the last try ended, in epoch seconds.
    :param iteration: the number of the loop's iteration, from 0; 0 outside of loops too.
    :param iterations: all iterations of the loop so far; at most one outside of loops.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    state: str | None = None
    operator: str | None = None
    try_number: int = 0
    ended_at: float | None = None
    iteration: int = 0
    iterations: tuple[Iteration, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether the task instance or its XComs can still change."""
        return self.state not in _FINAL_STATES

    @property
    def waits_for_person(self) -> bool:
        """Whether the task is parked until a person responds, under "Required actions" in Airflow's UI."""
        return self.state == _AWAITING_INPUT

    @property
    def name(self) -> str:
        """The task id, with the index of a mapped task: ``task``, ``task [3]``."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"

    @property
    def neighbours(self) -> dict[str, Iteration]:
        """The iterations before and after this one, by the texts of their links."""
        links = {"previous": self.iteration - 1, "next": self.iteration + 1}
        numbers = range(len(self.iterations))
        return {text: self.iterations[number] for text, number in links.items() if number in numbers}

    def observed_until(self, now: float) -> float:
        """
        Return until when the task observed its run: the end of an open bar on the timeline.

        :param now: epoch seconds.
        """
        return now if self.is_live or self.ended_at is None else self.ended_at
