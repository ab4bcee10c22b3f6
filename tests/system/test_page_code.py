"""The Python code of README and docs runs in a real Airflow, each block as a DAG."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.page_dags import page_blocks

pytestmark = pytest.mark.system

#: Blocks whose response fails: they select the sandbox's script for that.
FAILING = {"howto_testing_1"}


@pytest.fixture(scope="module")
def started(airflow: LocalAirflow, sandbox: Sandbox) -> Mapping[str, DagRun]:
    """Start all of them at once; the runs that they name have completed."""
    for run_id in ("resp_1", "resp_2"):
        sandbox.seed_response({"id": run_id, "object": "response", "status": "completed", "output": []})
    pages = {dag_id: DagRun.start(airflow, dag_id, {}) for dag_id in page_blocks()}
    tutorial = {
        "deferred": DagRun.start(airflow, "tutorial_response", {"script": "minute"}),
        "retried": DagRun.start(airflow, "tutorial_response", {"script": "failed"}),
        "closed": DagRun.start(airflow, "tutorial_gate", {"script": "failed"}),
    }
    return pages | tutorial


def test_the_tutorial_shows_a_deferred_task_that_completes(
    started: Mapping[str, DagRun], sandbox: Sandbox
) -> None:
    run = started["deferred"]
    run.wait_until("response", "deferred")
    sandbox.clock.advance(60)
    run.wait_for_success()
    assert run.xcoms("response")["answer"] == "Done in 6 steps."


@pytest.mark.parametrize("dag_id", page_blocks())
def test_the_code_on_a_page_runs_to_its_end(started: Mapping[str, DagRun], dag_id: str) -> None:
    if dag_id in FAILING:
        assert started[dag_id].wait() == "failed"
    else:
        started[dag_id].wait_for_success()


def test_the_tutorial_shows_a_gate_that_a_failed_response_closes(started: Mapping[str, DagRun]) -> None:
    run = started["closed"]
    assert run.wait() == "failed"
    assert run.states() == {"created": "success", "gate": "failed", "publish": "upstream_failed"}
    log = run.log("gate")
    assert "RunFailedError" in log
    assert "request id req_" in log


def test_the_tutorial_shows_a_retry_with_a_new_response(started: Mapping[str, DagRun]) -> None:
    run = started["retried"]
    assert run.wait() == "failed"
    assert run.tries()["response"] == 2
    first, second = (run.log("response", number) for number in (1, 2))
    response_id = run.xcoms("response")["id"]
    assert response_id in second
    assert response_id not in first
