"""A run that ends at once does not fail its task, though the scheduler is slow to read a worker's end."""

from __future__ import annotations

import time

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

LONG_SECONDS = 250
#: How long the scheduler does nothing after the task has released its worker.
BUSY_SECONDS = 4.0


@pytest.mark.parametrize(
    ("dag_id", "waiting"),
    [
        ("creates_and_defers", "deferred"),
        ("senses_and_defers", "deferred"),
        ("senses_and_reschedules", "up_for_reschedule"),
    ],
)
def test_a_task_resumes_only_after_its_first_worker_is_known_to_have_ended(
    any_airflow: LocalAirflow, sandbox: Sandbox, dag_id: str, waiting: str
) -> None:
    scheduler = any_airflow.components["scheduler"]
    any_airflow.wait_for_dags([dag_id])
    response = sandbox.create_response(script={"base": "completed", "seconds": LONG_SECONDS})
    requests = sandbox.count(path="/responses")
    run = DagRun.start(any_airflow, dag_id, {"run_id": response["id"]})
    any_airflow.wait_until("the task uses the API", lambda: sandbox.count(path="/responses") > requests)

    def is_waiting() -> bool:
        # Let it go on for a moment: it may have been stopped while it held the lock of SQLite.
        scheduler.resume()
        time.sleep(0.02)
        scheduler.pause(with_children=False)
        return run.states()["wait"] == waiting

    try:
        any_airflow.wait_until(f"the task is {waiting}", is_waiting)
        sandbox.clock.advance(LONG_SECONDS)
        time.sleep(BUSY_SECONDS)
    finally:
        scheduler.resume()

    run.wait_for_success()
    assert run.tries() == {"wait": 1}
