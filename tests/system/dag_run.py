"""A DAG run that a test has started."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tests.system.local_airflow import LocalAirflow, task_name

PERSON_SECONDS = 10.0


@dataclass(frozen=True)
class DagRun:
    """
    A DAG run that was started.

    :param airflow: the Airflow that runs it.
    :param dag_id: the DAG.
    :param run_id: the DAG run.
    """

    airflow: LocalAirflow
    dag_id: str
    run_id: str

    @classmethod
    def start(cls, airflow: LocalAirflow, dag_id: str, conf: Mapping[str, Any]) -> Self:
        """
        Start a DAG run as soon as its DAG is parsed.

        :param airflow: the Airflow that runs it.
        :param dag_id: the DAG.
        :param conf: params of the DAG that differ from their defaults.
        """
        airflow.wait_for_dags([dag_id])
        return cls(airflow, dag_id, airflow.rest.trigger(dag_id, dict(conf)))

    def wait_until(self, task_id: str, state: str, map_index: int = -1) -> None:
        """Wait until a task is in a state; fail when it ends in another."""
        self.airflow.wait_for_task(self.dag_id, self.run_id, task_id, {state}, map_index=map_index)

    def wait_for_task(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Wait until a task has ended, and return its task instance."""
        return self.airflow.wait_for_task(self.dag_id, self.run_id, task_id, map_index=map_index)

    def wait_as_a_person(self, task_id: str) -> None:
        """Wait until a task waits for a person, and as long as it takes to read what it asks."""
        self.wait_until(task_id, "awaiting_input")
        # Airflow fails a task that resumes before the scheduler has read that its first worker has ended.
        deadline = time.monotonic() + PERSON_SECONDS
        self.airflow.wait_until("a person has read the request", lambda: time.monotonic() > deadline)

    def wait(self) -> str:
        """Wait until the DAG run has ended, and return its state."""
        return self.airflow.wait_for_run(self.dag_id, self.run_id)

    def wait_for_success(self) -> None:
        """Wait until the DAG run has ended; fail with the logs of its failed tasks unless it succeeded."""
        if self.wait() == "success":
            return
        logs = [
            f"--- {task_name(task)}\n{self.log(task['task_id'], task['try_number'], task['map_index'])}"
            for task in self.airflow.rest.task_instances(self.dag_id, self.run_id)
            if task["state"] == "failed"
        ]
        raise AssertionError(f"{self.dag_id}: {self.states()}\n" + "\n".join(logs))

    def states(self) -> dict[str, str | None]:
        """Return the state of each task instance."""
        return self.airflow.states(self.dag_id, self.run_id)

    def tries(self) -> dict[str, int]:
        """Return the number of tries of each task that is not mapped."""
        instances = self.airflow.rest.task_instances(self.dag_id, self.run_id)
        return {instance["task_id"]: instance["try_number"] for instance in instances}

    def xcoms(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the XComs of a task by key."""
        return self.airflow.rest.xcoms(self.dag_id, self.run_id, task_id, map_index)

    def log(self, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try of a task."""
        return self.airflow.rest.log(self.dag_id, self.run_id, task_id, try_number, map_index)
