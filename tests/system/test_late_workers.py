"""A real Airflow whose deferred tasks resume after the API has deleted their responses; and stalled runs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.kept_result import RESULT_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.metrics_collector import MetricsCollector

pytestmark = pytest.mark.system

IS_3_3 = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3), reason="triggers set XComs from Airflow 3.3 on"
)
POOL = "late_workers"
SECONDS = 300
#: The API deletes a response with store=False ten minutes after its end.
SECONDS_UNTIL_DELETED = 900
PROMPT = "the price of the merger is secret"
TASKS = ("kept", "kept_of_failed", "retrieved", "attributes")


@dataclass(frozen=True)
class LateRun:
    """
    The DAG run, and how many requests the API had received when its tasks resumed.

    :param dag_run: the DAG run.
    :param requests: the number of requests.
    """

    dag_run: DagRun
    requests: int


def set_slots(airflow: LocalAirflow, slots: int) -> None:
    body = {"pool": POOL, "slots": slots, "include_deferred": False}
    airflow.rest.call("PATCH", f"/pools/{POOL}", body=body)


@pytest.fixture(scope="module")
def late(airflow: LocalAirflow, sandbox: Sandbox) -> LateRun:
    """Let all tasks defer, their responses end, and the API delete them, before a worker is free."""
    sandbox.add_script("late_end", {"base": "completed", "seconds": SECONDS})
    sandbox.add_script("late_failure", {"base": "failed", "seconds": SECONDS})
    airflow.rest.call("POST", "/pools", body={"name": POOL, "slots": 8, "include_deferred": False})
    response = sandbox.create_response(script="late_end", store=False)
    run = DagRun.start(airflow, "late_workers", {"run_id": response["id"], "prompt": PROMPT})
    for task_id in TASKS:
        run.wait_until(task_id, "deferred")
    set_slots(airflow, 0)
    sandbox.clock.advance(SECONDS)
    for task_id in TASKS:
        run.wait_until(task_id, "scheduled")
    sandbox.clock.advance(SECONDS_UNTIL_DELETED)
    requests = len(sandbox.requests)
    set_slots(airflow, 8)
    run.wait()
    return LateRun(run, requests)


@IS_3_3
@pytest.mark.parametrize("task_id", ["kept", "attributes"])
def test_a_late_worker_pushes_a_response_that_the_api_has_deleted(late: LateRun, task_id: str) -> None:
    assert late.dag_run.states()[task_id] == "success", late.dag_run.log(task_id)
    xcoms = late.dag_run.xcoms(task_id)
    assert xcoms["status"] == "completed"
    assert xcoms["usage"]["total_tokens"] > 0
    assert xcoms["steps"]
    assert RESULT_KEY not in xcoms


@IS_3_3
def test_a_late_worker_fails_as_the_deleted_response_did(late: LateRun) -> None:
    assert late.dag_run.states()["kept_of_failed"] == "failed"
    assert "RunFailedError" in late.dag_run.log("kept_of_failed")
    assert late.dag_run.xcoms("kept_of_failed")["last_error"]["code"] == "server_error"


def test_without_keep_result_a_late_worker_finds_nothing(late: LateRun) -> None:
    assert late.dag_run.states()["retrieved"] == "failed"
    assert "RunNotFoundError" in late.dag_run.log("retrieved")


@IS_3_3
def test_a_late_worker_sends_no_request(late: LateRun, sandbox: Sandbox) -> None:
    run_id = late.dag_run.xcoms("kept")["run_id"]
    paths = [request.path for request in list(sandbox.requests)[late.requests :]]
    assert [path for path in paths if path.endswith(run_id)] == []


def test_a_masked_prompt_is_not_among_the_rendered_templates(late: LateRun, airflow: LocalAirflow) -> None:
    query = "select task_id, rendered_fields from rendered_task_instance_fields where dag_id = 'late_workers'"
    with closing(sqlite3.connect(f"file:{airflow.home}/airflow.db?mode=ro", uri=True)) as database:
        fields = dict(database.execute(query).fetchall())
    assert PROMPT not in fields["kept"]
    assert json.loads(fields["kept"])["input"] == "***"
    assert PROMPT in fields["retrieved"]


def test_a_stalled_run_is_named_counted_and_can_end_the_wait(
    airflow: LocalAirflow, sandbox: Sandbox, metrics: MetricsCollector
) -> None:
    run_id = sandbox.create_response(script="in_progress")["id"]
    run = DagRun.start(airflow, "stalled_runs", {"run_id": run_id})
    failed = run.wait_for_task("failed")
    assert (failed["state"], failed["try_number"]) == ("failed", 1)
    assert "RunStalledError" in run.log("failed")
    run.wait_for_task("named")
    lines = [line for line in run.log("named").splitlines() if "has not changed for" in line]
    assert len(lines) == 1
    assert "RunWaitTimeoutError" in run.log("named")

    def counted() -> int:
        return sum(point.count for point in metrics.points("airflow.openai_run.stalled", api="responses"))

    airflow.wait_until("both stalls are counted", lambda: counted() == 2, 60, counted)
