"""The mark by which a task knows the runs it has made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_openai_run.types.run import Json, Run

#: The key of a run's metadata that names the task instance that made it.
TASK_KEY = "airflow_task"
#: The key that says after which clearing of that task instance it was made.
CLEAR_KEY = "airflow_clear"

_LONGEST_VALUE = 512
_MOST_PAIRS = 16
_LONGEST_KEY = 64


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """
    Whose a run is. It stands in the run's metadata, and is the same for every try.

    :param task: DAG, DAG run, task and map index.
    :param clear: 0 at first; another number after each "Clear" in the UI, which asks for a new run. It is
        how far Airflow has moved the task's last try beyond its ``retries``, so changing ``retries`` between
        two tries looks like a clearing.
    """

    task: str
    clear: int

    @classmethod
    def of(cls, context: Context) -> Self:
        """Give the mark of the task instance that is running."""
        ti = context["ti"]
        task = "/".join((ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)))
        if len(task) > _LONGEST_VALUE:
            digest = hashlib.sha256(task.encode()).hexdigest()
            task = f"{task[: _LONGEST_VALUE - len(digest) - 1]}#{digest}"
        retries = ti.task.retries or 0
        return cls(task, max(0, ti.max_tries - retries))

    @property
    def metadata(self) -> dict[str, str]:
        """What stands in the metadata of the run."""
        return {TASK_KEY: self.task, CLEAR_KEY: str(self.clear)}

    def on(self, metadata: dict[str, Json] | None) -> dict[str, Json]:
        """
        Give the user's own metadata with the mark.

        :param metadata: the user's own.
        :raises ValueError: for what the API would refuse: more than 16 pairs, the mark's two among them, keys
            above 64 characters, values that are no strings or above 512.
        """
        marked = {**(metadata or {}), **self.metadata}
        if set(metadata or {}) & set(self.metadata):
            raise ValueError(f"metadata has {TASK_KEY!r} or {CLEAR_KEY!r}, by which the task knows its runs")
        if len(marked) > _MOST_PAIRS:
            raise ValueError(
                f"metadata has {len(marked)} pairs with the task's own two; {_MOST_PAIRS} may be"
            )
        for key, value in marked.items():
            if len(key) > _LONGEST_KEY or not isinstance(value, str) or len(value) > _LONGEST_VALUE:
                limits = (
                    f"keys have {_LONGEST_KEY} characters, values are strings of {_LONGEST_VALUE}, at most"
                )
                raise ValueError(f"metadata[{key!r}] is not what the API takes: {limits}")
        return marked

    def is_on(self, run: Run) -> bool:
        """Whether the run was made by this task since it was last cleared."""
        return self.is_of_the_same_task(run) and (run.metadata or {}).get(CLEAR_KEY) == str(self.clear)

    def is_of_the_same_task(self, run: Run) -> bool:
        """Whether the run was made by this task, whatever was cleared since."""
        return (run.metadata or {}).get(TASK_KEY) == self.task

    def key(self, number: int) -> str:
        """
        Give the ``Idempotency-Key`` of a request that makes a run.

        :param number: how many runs were made under this mark before.
        """
        digest = hashlib.sha256(f"{self.task} {self.clear} {number}".encode()).hexdigest()
        return f"airflow-{digest[:40]}"
