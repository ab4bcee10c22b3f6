"""Sensors and operators are mapped over many runs, responses by id and runs by thread and id."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

INDICES = range(2)
LONG_SECONDS = 250


def test_each_mapped_sensor_and_operator_gets_its_own_run(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    script = {"base": "completed", "seconds": LONG_SECONDS}
    responses = [sandbox.create_response(script=script)["id"] for _ in INDICES]
    made = [sandbox.create_run(script=script) for _ in INDICES]
    runs = [{"run_id": run["id"], "thread_id": run["thread_id"]} for run in made]

    run = DagRun.start(airflow, "mapped", {"responses": responses, "runs": runs})
    for index in INDICES:
        run.wait_until("wait_for_responses", "deferred", map_index=index)
        run.wait_until("wait_for_runs", "deferred", map_index=index)
    sandbox.clock.advance(LONG_SECONDS)

    run.wait_for_success()
    assert [run.xcoms("get_responses", index)["id"] for index in INDICES] == responses
    assert [run.xcoms("get_runs", index)["id"] for index in INDICES] == [one["run_id"] for one in runs]
    assert [run.xcoms("wait_for_runs", index)["return_value"] for index in INDICES] == [
        {**one, "api": "assistants", "status": "completed"} for one in runs
    ]
    assert run.xcoms("statuses")["return_value"] == ["completed"] * len(INDICES)
