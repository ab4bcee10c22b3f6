"""A triggerer that was slow loses its triggers to another one, and no run is cancelled for that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.component import Component
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.run_owner import created_by
from tests.system.test_owned_runs import start, wait_for_status, wait_until_polled

pytestmark = pytest.mark.system

TASKS = ("run", "response")


@pytest.fixture
def second_triggerer(airflow: LocalAirflow) -> Iterator[Component]:
    triggerer = airflow.start_second_triggerer()
    yield triggerer
    triggerer.kill()
    del airflow.components[triggerer.name]


def triggerer_ids(airflow: LocalAirflow, run: DagRun) -> set[int]:
    """Return the jobs of the triggerers that the tasks' triggers are assigned to."""
    instances = airflow.rest.task_instances(run.dag_id, run.run_id)
    jobs = (instance.get("triggerer_job") for instance in instances)
    return {job["id"] for job in jobs if job}


def test_a_paused_triggerer_cancels_no_run(
    airflow: LocalAirflow, sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    run = start(airflow, "ended_deferred")
    for task_id in TASKS:
        wait_until_polled(run, sandbox, task_id, "deferred")
    first = triggerer_ids(airflow, run)
    paused = airflow.components["triggerer"]
    request.getfixturevalue("second_triggerer")

    paused.pause()
    try:
        airflow.wait_until(
            "the other triggerer has the triggers",
            lambda: bool(moved := triggerer_ids(airflow, run)) and not moved & first,
        )
    finally:
        paused.resume()

    airflow.wait_until(
        "the first triggerer has dropped the triggers",
        lambda: all("continues elsewhere, in another triggerer" in run.log(task_id) for task_id in TASKS),
    )
    for task_id in TASKS:
        wait_until_polled(run, sandbox, task_id, "deferred")
        assert list(created_by(sandbox, run, task_id).values()) == ["in_progress"]
        airflow.rest.set_state(run.dag_id, run.run_id, task_id, "failed")
        wait_for_status(run, sandbox, task_id, "cancelled")
