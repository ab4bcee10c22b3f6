"""Tasks that start while the database hangs find their connection once it is back."""

from __future__ import annotations

import time

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.waiting_tasks import WaitingTasks, created_by
from tests.system.dag_run import DagRun

pytestmark = [pytest.mark.system, pytest.mark.cluster]

#: Tasks of the DAG ``endless_runs``; the worker runs three at once, so nine have not started at the freeze.
TASKS = 12
FREEZE_SECONDS = 30


def test_no_task_that_starts_in_a_database_freeze_misses_its_connection(cluster: Cluster) -> None:
    dag_run = DagRun.start(cluster.airflow, "endless_runs", {})
    cluster.airflow.wait_until("a task runs", lambda: "running" in dag_run.states().values())
    cluster.postgres.pause()
    try:
        time.sleep(FREEZE_SECONDS)
    finally:
        cluster.postgres.resume()

    waiting = WaitingTasks(cluster, (dag_run,), frozenset())
    waiting.wait_until_deferred(TASKS)

    logs = cluster.airflow.log_files(dag_run.dag_id, dag_run.run_id)
    created = created_by(cluster.sandbox, dag_run)
    waiting.end_all()
    assert len(logs) >= TASKS
    assert [name for name, log in logs.items() if "does not exist" in log or "AirflowNotFound" in log] == []
    assert len(created) == len(set(created)) == TASKS
