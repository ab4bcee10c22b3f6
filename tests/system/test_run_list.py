"""One sensor waits for many runs, in one trigger."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.run_list_progress import RUN_LIST_PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

SECONDS = 250
SENSORS = ("wait_for_all", "wait_for_any", "wait_for_two")


def test_a_sensor_waits_for_the_output_of_mapped_tasks(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    scripts = ({"base": "completed", "seconds": SECONDS},) * 2 + ({"base": "failed", "seconds": SECONDS},)
    run_ids = [sandbox.create_response(script=script)["id"] for script in scripts]

    run = DagRun.start(airflow, "run_list", {"run_ids": run_ids})
    for sensor in SENSORS:
        run.wait_until(sensor, "deferred")
    sandbox.clock.advance(SECONDS)

    assert run.wait() == "failed"
    states = run.states()
    assert [states[sensor] for sensor in SENSORS] == ["failed", "success", "success"]
    statuses = run.xcoms("wait_for_two")["return_value"]["statuses"]
    assert list(statuses) == run_ids
    assert [statuses[run_id] for run_id in run_ids[:2]] == ["completed", "completed"]
    assert "completed" in run.xcoms("wait_for_any")["return_value"]["counts"]
    progress = run.xcoms("wait_for_all")[RUN_LIST_PROGRESS_KEY]
    assert progress["total"] == 3
    assert progress["runs"][0]["status"] == "failed"
    assert f"run {run_ids[2]} ended as failed" in run.log("wait_for_all", 1)
