"""Slow triggerers and a slow database cancel nothing; what a user ends is cancelled, all of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.cluster.cluster import TRIGGERERS, Cluster
from tests.cluster.waiting_tasks import MANY, WaitingTasks

pytestmark = [pytest.mark.system, pytest.mark.cluster]

#: Tasks of the DAG ``endless_runs``.
CREATED = 12
#: Longer than the 30 s after which Airflow gives a triggerer up by default.
PAUSE_SECONDS = 43


@pytest.fixture(scope="module")
def waiting(cluster: Cluster) -> Iterator[WaitingTasks]:
    waiting = WaitingTasks.created_by_workers(cluster, CREATED)
    yield waiting
    waiting.end_all()


def wait_for(cluster: Cluster, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    cluster.airflow.wait_until(
        f"{seconds} s have passed", lambda: time.monotonic() >= deadline, timeout=2 * seconds
    )


def assert_that_all_still_wait(waiting: WaitingTasks) -> None:
    waiting.wait_until_deferred(CREATED)
    waiting.wait_until_polled(times=3)
    assert waiting.triggerers().total() == CREATED
    assert waiting.statuses() == {"in_progress": CREATED}


def triggerers_after_pausing(name: str, waiting: WaitingTasks) -> Counter[int]:
    """Return which triggerers have the tasks after one was paused, and let it continue."""
    paused = waiting.cluster.airflow.components[name]
    paused.pause()
    try:
        wait_for(waiting.cluster, PAUSE_SECONDS)
        return waiting.triggerers()
    finally:
        paused.resume()


def test_a_triggerer_that_was_paused_cancels_nothing(waiting: WaitingTasks) -> None:
    before = waiting.triggerers()

    after = triggerers_after_pausing(TRIGGERERS[0], waiting)
    if after.keys() == before.keys():
        # On a busy machine the first triggerer may have lost its tasks earlier.
        after = triggerers_after_pausing(TRIGGERERS[1], waiting)

    assert after.keys() != before.keys(), "no task was moved to another triggerer"
    assert_that_all_still_wait(waiting)


def test_a_database_that_was_frozen_cancels_nothing(cluster: Cluster, waiting: WaitingTasks) -> None:
    cluster.postgres.pause()
    try:
        time.sleep(PAUSE_SECONDS)
    finally:
        cluster.postgres.resume()

    assert_that_all_still_wait(waiting)


def test_all_runs_are_cancelled_when_a_user_ends_all_tasks(
    cluster: Cluster, waiting: WaitingTasks, many: WaitingTasks
) -> None:
    assert many.statuses() == {"in_progress": MANY}
    deleted, *others = many.dag_runs

    waiting.end_all()
    cluster.airflow.rest.delete_dag(deleted.dag_id)
    replace(many, dag_runs=tuple(others)).end_all()

    waiting.wait_until_cancelled()
    many.wait_until_cancelled()
