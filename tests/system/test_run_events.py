"""A DAG runs once for each run that ends on a thread, over crashes and restarts of the triggerer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.airflow_rest import AirflowRestError
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system
keeps_state = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
    reason="Airflow has the asset state store from 3.3 on; without it a restart forgets what was reported",
)

LONG_SECONDS = 250
GRACE_SECONDS = 40.0
THREAD_ID = "thread_watched"
EXAMPLE_THREAD_ID = "thread_of_the_example"
SHORT = {"base": "completed", "seconds": 0.5}


class Watched:
    """An asset that is updated by the runs of a thread, and the DAG that it triggers."""

    def __init__(self, airflow: LocalAirflow, asset: str, dag_id: str) -> None:
        self.airflow = airflow
        self.asset = asset
        self.dag_id = dag_id

    def set_paused(self, paused: bool) -> None:
        """Let the DAG be scheduled or not; Airflow starts and stops watchers when it reads the DAG's file."""
        dag = self.airflow.rest.call("PATCH", f"/dags/{self.dag_id}", body={"is_paused": paused})
        try:
            self.airflow.rest.call("PUT", f"/parseDagFile/{quote(dag['file_token'])}")
        except AirflowRestError as error:
            # Airflow will read the file anyway.
            if error.status_code != requests.codes.conflict:
                raise

    @property
    def asset_id(self) -> int:
        """The asset's id."""
        found = self.airflow.rest.call("GET", "/assets", params={"name_pattern": self.asset})["assets"]
        return next(int(one["id"]) for one in found if one["name"] == self.asset)

    def payloads(self) -> list[dict[str, Any]]:
        """Return the payloads of the asset's events, oldest first."""
        query = {"asset_id": self.asset_id, "order_by": "timestamp", "limit": 100}
        events: list[dict[str, Any]] = []

        def readable() -> bool:
            try:
                events[:] = self.airflow.rest.call("GET", "/assets/events", params=query)["asset_events"]
            except AirflowRestError as error:
                # Airflow cannot show an event before it has created its DAG run.
                if error.status_code != requests.codes.server_error:
                    raise
                return False
            return True

        self.airflow.wait_until(f"the events of {self.asset} can be read", readable)
        return [event["extra"]["payload"] for event in events]

    def stored_state(self) -> list[dict[str, Any]]:
        """Return the values in the asset's state store."""
        path = f"/assets/{self.asset_id}/state-store"
        return [entry["value"]["value"] for entry in self.airflow.rest.call("GET", path)["asset_state_store"]]

    def reported(self) -> list[str]:
        """Return the runs that the asset's events report."""
        return [payload["run_id"] for payload in self.payloads()]

    def received_by_tasks(self) -> list[str]:
        """Return the runs that the tasks of successful DAG runs received."""
        runs = self.airflow.rest.call("GET", f"/dags/{self.dag_id}/dagRuns", params={"limit": 100})[
            "dag_runs"
        ]
        lists = [
            self.airflow.rest.xcom(self.dag_id, run["dag_run_id"], "received", "return_value")
            for run in runs
            if run["state"] == "success"
        ]
        return [run_id for run_ids in lists for run_id in run_ids]

    def wait_for(self, *run_ids: str) -> None:
        """Wait until all these runs are reported and the checkpoint says so."""
        self.airflow.wait_until(
            f"{self.asset} has events for {run_ids}",
            lambda: set(run_ids) <= set(self.reported()),
            detail=self.reported,
        )
        self.airflow.wait_until(
            f"{self.asset} has a checkpoint with {run_ids}",
            lambda: any(set(run_ids) <= set(checkpoint["reported"]) for checkpoint in self.stored_state()),
            detail=self.stored_state,
        )

    def wait_for_baseline(self) -> None:
        """Wait until the runs that ended earlier are in the checkpoint."""
        self.airflow.wait_until(f"{self.asset} has a checkpoint", lambda: len(self.stored_state()) == 1)


@pytest.fixture
def ended(airflow: LocalAirflow, sandbox: Sandbox) -> Iterator[Watched]:
    airflow.wait_for_dags(["ended_run_events", "failed_run_events", "openai_run_events"])
    sandbox.create_thread(THREAD_ID)
    watched = Watched(airflow, "ended_runs", "ended_run_events")
    yield watched
    watched.set_paused(True)


@pytest.fixture
def failed(airflow: LocalAirflow, ended: Watched) -> Iterator[Watched]:
    watched = Watched(airflow, "failed_runs", "failed_run_events")
    yield watched
    watched.set_paused(True)


def polls(sandbox: Sandbox, thread_id: str = THREAD_ID) -> list[float]:
    path = f"/threads/{thread_id}/runs"
    return [
        request.received_at for request in sandbox.requests if request.path.partition("?")[0].endswith(path)
    ]


def wait_for_polls(airflow: LocalAirflow, sandbox: Sandbox, thread_id: str = THREAD_ID) -> None:
    """Wait until the triggerer has polled the thread as it is now."""
    before = len(polls(sandbox, thread_id))
    airflow.wait_until("the thread is polled", lambda: len(polls(sandbox, thread_id)) > before + 1)


@keeps_state
def test_each_run_is_reported_once_over_two_restarts_of_the_triggerer(
    airflow: LocalAirflow, sandbox: Sandbox, ended: Watched, failed: Watched
) -> None:
    def make(script: Any) -> str:
        return str(sandbox.create_run(THREAD_ID, script=script)["id"])

    def finish(script: Any) -> str:
        run_id = make(script)
        sandbox.clock.advance(LONG_SECONDS)
        return run_id

    past = finish("completed")
    ended.set_paused(False)
    failed.set_paused(False)
    ended.wait_for_baseline()
    failed.wait_for_baseline()

    first = finish(SHORT)
    ended.wait_for(first)

    killed = make({"base": "failed", "seconds": LONG_SECONDS})
    wait_for_polls(airflow, sandbox)
    airflow.kill("triggerer")
    sandbox.clock.advance(LONG_SECONDS)
    while_killed = finish(SHORT)
    airflow.start("triggerer")
    ended.wait_for(killed, while_killed)
    failed.wait_for(killed)

    triggerer = airflow.components["triggerer"]
    triggerer.request_stop()
    triggerer.wait_for_end(GRACE_SECONDS)
    while_stopped = finish(SHORT)
    airflow.start("triggerer")
    ended.wait_for(while_stopped)

    last = finish("expired")
    ended.wait_for(last)
    wait_for_polls(airflow, sandbox)
    all_reported = [first, killed, while_killed, while_stopped, last]
    assert ended.reported() == all_reported
    assert past not in all_reported
    assert failed.reported() == [killed]
    airflow.wait_until(
        "the DAG has run for each",
        lambda: set(ended.received_by_tasks()) == set(all_reported),
        detail=ended.received_by_tasks,
    )
    assert sorted(ended.received_by_tasks()) == sorted(all_reported)
    assert_small(ended.payloads())
    assert_one_poll(polls(sandbox))


def assert_small(payloads: list[dict[str, Any]]) -> None:
    """Each payload has the outcome of its run and none of its content."""
    by_status = {payload["status"]: payload for payload in payloads}
    assert set(by_status) == {"completed", "failed", "expired"}
    completed, failed = by_status["completed"], by_status["failed"]
    assert completed["usage"]["total_tokens"] > 0
    assert completed["completed_at"] >= completed["created_at"]
    assert failed["code"]
    assert failed["failed_at"]
    assert {payload["thread_id"] for payload in payloads} == {THREAD_ID}
    assert len({frozenset(payload) for payload in payloads}) == 1


def assert_one_poll(times: list[float]) -> None:
    """Two watchers that share a poll each second poll hardly more often than one."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gap < 0.5 for gap in gaps) <= 10, gaps


def test_the_example_reports_a_run_of_another_client(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    airflow.wait_for_dags(["openai_run_events"])
    sandbox.create_thread(EXAMPLE_THREAD_ID)
    example = Watched(airflow, "openai_example_thread", "openai_run_events")
    example.set_paused(False)
    try:
        wait_for_polls(airflow, sandbox, EXAMPLE_THREAD_ID)
        run_id = sandbox.create_run(EXAMPLE_THREAD_ID, script=SHORT)["id"]
        runs: list[dict[str, Any]] = []

        def has_run() -> bool:
            runs[:] = airflow.rest.call("GET", "/dags/openai_run_events/dagRuns")["dag_runs"]
            return [run["state"] for run in runs] == ["success"]

        airflow.wait_until("the DAG has run", has_run, detail=lambda: runs)
        (line,) = airflow.rest.xcom("openai_run_events", runs[0]["dag_run_id"], "report", "return_value")
        assert line.startswith(f"{run_id} is completed: ")
    finally:
        example.set_paused(True)
