"""Deferred tasks that own endless runs: start them, see who has them and what became of their runs."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from airflow_provider_openai_run.sandbox import Sandbox
from tests.cluster.cluster import DATABASE, Cluster
from tests.system.dag_run import DagRun
from tests.system.run_owner import all_runs, owner_of

#: How many tasks are ended at once in the tests; ``python -m tests.cluster.end_many`` takes any number.
MANY = 100
DEFER_SECONDS = 300.0
CANCEL_SECONDS = 300.0
REQUESTS_AT_ONCE = 8

#: Task instances with their triggers' triggerers: the DAG run's id, the task's state, the triggerer's job.
ASSIGNMENTS = (
    "SELECT coalesce(trigger.triggerer_id, 0) FROM task_instance"
    " JOIN trigger ON trigger.id = task_instance.trigger_id"
    " WHERE task_instance.state = 'deferred' AND task_instance.dag_id = '{}' AND task_instance.run_id = '{}'"
)


@dataclass(frozen=True)
class WaitingTasks:
    """
    The deferred tasks of DAG runs and their runs at the API.

    :param cluster: where they wait.
    :param dag_runs: their DAG runs.
    :param run_ids: the runs that were waited for at the start.
    """

    cluster: Cluster
    dag_runs: tuple[DagRun, ...]
    run_ids: frozenset[str]

    @classmethod
    def created_by_workers(cls, cluster: Cluster, count: int) -> Self:
        """
        Start tasks that create runs on a worker, and wait until the triggerers poll all of them.

        :param cluster: where.
        :param count: how many tasks the DAG has.
        """
        dag_run = DagRun.start(cluster.airflow, "endless_runs", {})
        waiting = cls(cluster, (dag_run,), frozenset())
        waiting.wait_until_deferred(count)
        created = frozenset(created_by(cluster.sandbox, dag_run))
        waiting = cls(cluster, (dag_run,), created)
        waiting.wait_until_polled()
        return waiting

    @classmethod
    def without_workers(cls, cluster: Cluster) -> Self:
        """
        Start tasks that the scheduler defers, one for each of the cluster's responses that still run.

        :param cluster: where.
        """
        count = len(cluster.many_ids)
        dag_ids = [f"many_endless_runs_{number}" for number in range((count + 49) // 50)]
        dag_runs = tuple(DagRun.start(cluster.airflow, dag_id, {}) for dag_id in dag_ids)
        waiting = cls(cluster, dag_runs, frozenset(cluster.many_ids))
        waiting.wait_until_deferred(count)
        waiting.wait_until_polled()
        return waiting

    def triggerers(self) -> Counter[int]:
        """Return how many of the tasks are deferred at each triggerer, by its job; 0 is none yet."""
        rows = [
            self.cluster.postgres.query(DATABASE, ASSIGNMENTS.format(one.dag_id, one.run_id)).split()
            for one in self.dag_runs
        ]
        return Counter(int(row) for of_one in rows for row in of_one)

    def wait_until_deferred(self, count: int) -> None:
        """
        Wait until a triggerer has each of the tasks.

        :param count: how many they are.
        """
        self.cluster.airflow.wait_until(
            f"{count} tasks are deferred",
            lambda: (triggerers := self.triggerers()).total() == count and not triggerers[0],
            DEFER_SECONDS,
            self.triggerers,
        )

    def wait_until_polled(self, times: int = 1) -> None:
        """
        Wait until each of the runs was polled again.

        :param times: how often.
        """
        before = self.polls()
        self.cluster.airflow.wait_until(
            f"each of {len(self.run_ids)} runs was polled {times} times",
            lambda: not self.not_polled(before, times),
            detail=lambda: sorted(self.not_polled(before, times)),
        )

    def not_polled(self, before: Counter[str], times: int = 1) -> set[str]:
        """Return the runs that were polled fewer times since then."""
        polls = self.polls()
        return {run_id for run_id in self.run_ids if polls[run_id] - before[run_id] < times}

    def polls(self) -> Counter[str]:
        """Return how often each run was retrieved."""
        paths = (request.path for request in self.cluster.sandbox.requests if request.method == "GET")
        return Counter(path.rpartition("/")[2] for path in paths)

    def statuses(self) -> Counter[str]:
        """Return how many of the runs have each status, and ``second`` runs that the tasks have created."""
        state = self.cluster.sandbox.state()
        every = state["runs"] | state["responses"]
        created = {
            run_id for dag_run in self.dag_runs for run_id in created_by(self.cluster.sandbox, dag_run)
        }
        result = Counter(every[run_id] for run_id in self.run_ids)
        if second := len(created - self.run_ids):
            result["second"] = second
        return result

    def end_all(self) -> None:
        """Mark all DAG runs failed at once, as a user does."""
        rest = self.cluster.airflow.rest
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for result in [
                pool.submit(rest.set_run_state, one.dag_id, one.run_id, "failed") for one in self.dag_runs
            ]:
                result.result()

    def wait_until_cancelled(self) -> None:
        """Wait until every run is cancelled."""
        self.cluster.airflow.wait_until(
            "all runs are cancelled",
            lambda: set(self.statuses()) == {"cancelled"},
            CANCEL_SECONDS,
            self.statuses,
        )


def created_by(sandbox: Sandbox, dag_run: DagRun) -> list[str]:
    """
    Return the runs and responses that the tasks of a DAG run have created.

    :param sandbox: where they run.
    :param dag_run: the DAG run.
    """
    prefix = f"{dag_run.dag_id}/{dag_run.run_id}/"
    return [run["id"] for run in all_runs(sandbox) if owner_of(run).startswith(prefix)]
