"""Sensors that start and end in the triggerer of a real Airflow, which is killed meanwhile."""

from __future__ import annotations

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        tuple(map(int, airflow_version.split(".")[:2])) < (3, 3), reason="the options came with Airflow 3.3"
    ),
]

SECONDS = 300
TIMEOUT = 40


@pytest.fixture(scope="module")
def ids(sandbox: Sandbox) -> dict[str, str]:
    """The runs, by the names of the DAG's params."""
    scripts = {"good": "completed", "bad": "failed"}
    ids = {
        name: str(sandbox.create_response(script={"base": base, "seconds": SECONDS})["id"])
        for name, base in scripts.items()
    }
    return {**ids, "endless": str(sandbox.create_response(script="in_progress")["id"])}


@pytest.fixture(scope="module")
def run(airflow: LocalAirflow, sandbox: Sandbox, ids: dict[str, str]) -> DagRun:
    """Kill the triggerer while all sensors wait there, and let the runs end after it has come back."""
    run = DagRun.start(airflow, "from_trigger", ids)
    for task_id in ("succeeds", "after_a_task", "fails", "skips", "times_out"):
        run.wait_until(task_id, "deferred")
    run.wait_until("mapped", "deferred", 0)
    airflow.wait_until(
        "the triggers poll", lambda: min(sandbox.count("GET", one) for one in ids.values()) > 2
    )
    airflow.kill("triggerer")
    before = sandbox.count("GET", ids["good"])
    airflow.start("triggerer")
    airflow.wait_until("the new triggerer polls", lambda: sandbox.count("GET", ids["good"]) > before)
    sandbox.clock.advance(SECONDS)
    run.wait()
    return run


@pytest.mark.parametrize(
    ("task_id", "state"),
    [
        ("succeeds", "success"),
        ("after_a_task", "success"),
        ("mapped[0]", "success"),
        ("fails", "failed"),
        ("times_out", "failed"),
        ("skips", "skipped"),
        ("undefined", "failed"),
    ],
)
def test_each_task_ends_as_on_a_worker(run: DagRun, task_id: str, state: str) -> None:
    assert run.states()[task_id] == state


def test_a_task_that_succeeds_has_its_xcoms_and_no_log_of_a_worker(run: DagRun, ids: dict[str, str]) -> None:
    for task_id in ("succeeds", "after_a_task"):
        xcoms = run.xcoms(task_id)
        value = {"run_id": ids["good"], "thread_id": None, "api": "responses", "status": "completed"}
        assert xcoms["return_value"] == value
        assert xcoms[PROGRESS_KEY]["run"]["id"] == ids["good"]
        log = run.log(task_id)
        assert f"{ids['good']} is completed" in log
        assert "Pre Execute" not in log


def test_the_log_names_what_went_wrong(run: DagRun, ids: dict[str, str]) -> None:
    assert "RunFailedError" in run.log("fails")
    assert run.tries()["fails"] == 1
    log = run.log("times_out")
    assert "RunWaitTimeoutError" in log
    assert f"Gave up waiting for run {ids['endless']} after {TIMEOUT} seconds" in log
    assert "nothing" in run.log("undefined")
