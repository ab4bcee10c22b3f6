"""A wait continues after its triggerer was killed, and keeps its deadline."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

TIMEOUT_SECONDS = 45
LONG_SECONDS = 250


def test_a_wait_keeps_its_deadline_after_kill_9_of_the_triggerer(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    ending = sandbox.create_response(script={"base": "completed", "seconds": LONG_SECONDS})["id"]
    endless = sandbox.create_response(script="in_progress")["id"]
    run = DagRun.start(airflow, "long_waits", {"ending_run_id": ending, "endless_run_id": endless})
    # The sensor sends the first request, the trigger the others.
    airflow.wait_until(
        "both triggers poll", lambda: min(sandbox.count("GET", one) for one in (ending, endless)) > 2
    )

    airflow.kill("triggerer")
    assert "triggerer" not in airflow.left_over()
    before = sandbox.count("GET", ending)
    airflow.start("triggerer")

    airflow.wait_until("the new triggerer polls", lambda: sandbox.count("GET", ending) > before)
    sandbox.clock.advance(LONG_SECONDS)
    assert run.wait_for_task("ending")["state"] == "success"
    timed_out = run.wait_for_task("endless")
    assert (timed_out["state"], timed_out["try_number"]) == ("failed", 1)
    assert "Gave up waiting" in run.log("endless")
    # A deadline counted from the restart would be later by the time that the kill and the start took.
    times = [request.received_at for request in sandbox.requests if endless in request.path]
    assert times[-1] - times[0] < TIMEOUT_SECONDS + 3
