"""A sensor's outcome for a run is the same in every mode, and a run that has ended uses no retry."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

WAITING = {"poke": "running", "reschedule": "up_for_reschedule", "deferrable": "deferred"}
LONG_SECONDS = 250


@pytest.fixture(scope="module")
def started(airflow: LocalAirflow, sandbox: Sandbox) -> Mapping[str, DagRun]:
    """Start all of them at once; the runs end when every sensor waits, each in the state of its mode."""
    failed = {"run_id": sandbox.create_response(script={"base": "failed", "seconds": LONG_SECONDS})["id"]}
    run = sandbox.create_run(script={"base": "completed", "seconds": LONG_SECONDS})
    completed = {"run_id": run["id"], "thread_id": run["thread_id"]}
    endless = {"run_id": sandbox.create_response(script="in_progress")["id"]}
    started = {
        "timed out": DagRun.start(airflow, "times_out_in_each_mode", endless),
        "timed out softly": DagRun.start(airflow, "times_out_softly_in_each_mode", endless),
        "completed": DagRun.start(airflow, "waits_in_each_mode", completed),
        "failed": DagRun.start(airflow, "waits_in_each_mode", failed),
        "failed softly": DagRun.start(airflow, "skips_in_each_mode", failed),
    }
    for name in ("completed", "failed", "failed softly"):
        for mode, state in WAITING.items():
            started[name].wait_until(mode, state)
    sandbox.clock.advance(LONG_SECONDS)
    return started


@pytest.mark.parametrize(
    ("name", "state", "after"),
    [
        ("completed", "success", "success"),
        ("failed", "failed", "upstream_failed"),
        ("failed softly", "skipped", "skipped"),
        ("timed out", "failed", "upstream_failed"),
        ("timed out softly", "skipped", "skipped"),
    ],
)
def test_the_outcome_is_the_same_in_each_mode_at_the_first_try(
    started: Mapping[str, DagRun], name: str, state: str, after: str
) -> None:
    run = started[name]
    run.wait()

    states, tries = run.states(), run.tries()

    assert {mode: states[mode] for mode in WAITING} == dict.fromkeys(WAITING, state)
    assert {mode: states[f"after_{mode}"] for mode in WAITING} == dict.fromkeys(WAITING, after)
    retried = [run.log(mode, number) for mode in WAITING for number in range(1, tries[mode])]
    assert not retried, "\n".join(retried)


@pytest.mark.parametrize("mode", WAITING)
def test_the_log_has_the_error_of_a_failed_run(started: Mapping[str, DagRun], mode: str) -> None:
    run = started["failed"]
    run.wait()

    log = run.log(mode)

    assert "server_error" in log
    assert "Sorry, something went wrong" in log


@pytest.mark.parametrize("mode", WAITING)
def test_the_log_says_that_the_sensor_timed_out(started: Mapping[str, DagRun], mode: str) -> None:
    run = started["timed out"]
    run.wait()

    log = run.log(mode)

    assert "Gave up waiting" in log
    assert "Timeout" in log
