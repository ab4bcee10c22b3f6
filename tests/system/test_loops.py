"""Owned runs in the iterations of a loop: each has its own identity, its own XComs and its own page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from airflow.sdk import task_group

from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow
from tests.system.run_owner import owner_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not hasattr(task_group(lambda: None), "loop"), reason="Airflow has loops from 3.4 on"),
]

LONG_SECONDS = 250


class Iterations:
    """The task instances of a DAG run with a loop, by task, iteration and map index."""

    def __init__(self, run: DagRun) -> None:
        self.run = run

    def __iter__(self) -> Iterator[tuple[tuple[str, int, int], dict[str, Any]]]:
        for instance in self.run.airflow.rest.task_instances(self.run.dag_id, self.run.run_id):
            if position := instance.get("loop_iteration"):
                yield (instance["task_id"], position["iteration"], instance["map_index"]), instance

    def wait_until(self, state: str, *keys: tuple[str, int, int]) -> None:
        """Wait until task instances are in a state."""
        self.run.airflow.wait_until(
            f"{keys} are {state}",
            lambda: {key for key, instance in self if instance["state"] == state} >= set(keys),
            detail=lambda: {key: instance["state"] for key, instance in self},
        )

    def xcom(self, instance: dict[str, Any], key: str) -> Any:
        path = f"/dags/{self.run.dag_id}/dagRuns/{quote(self.run.run_id)}/taskInstances/{instance['task_id']}"
        params = {name: instance[name] for name in ("region_id", "region_index")}
        return self.run.airflow.rest.call("GET", f"{path}/xcomEntries/{key}", params=params)["value"]

    def page(self, instance: dict[str, Any]) -> requests.Response:
        rest = self.run.airflow.rest
        ids = f"{self.run.dag_id}/{quote(self.run.run_id)}/{instance['task_id']}/{instance['map_index']}"
        params = {name: instance[name] for name in ("region_id", "region_index")}
        return rest._session.get(f"{rest.base_url}/openai-run/{ids}/raw", params=params, timeout=30)


def test_each_iteration_owns_a_run_and_shows_it(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    iterations = Iterations(DagRun.start(airflow, "loop", {}))
    keys: list[tuple[str, int, int]] = []
    for number in (0, 1):
        for of_a_time in ([("body.one", number, -1)], [("body.each", number, index) for index in (0, 1)]):
            iterations.wait_until("deferred", *of_a_time)
            keys += of_a_time
            sandbox.clock.advance(LONG_SECONDS)
    iterations.run.wait_for_success()

    instances = dict(iterations)
    run_ids = {key: iterations.xcom(instances[key], "id") for key in keys}
    created = [one for one in sandbox.list_responses() if one["id"] in run_ids.values()]
    mine = f"{iterations.run.dag_id}/{iterations.run.run_id}/"
    tags = [owner_of(one) for one in sandbox.list_responses()]

    assert len({owner_of(one) for one in created}) == len(keys)
    assert len([tag for tag in tags if tag.startswith(mine)]) == len(keys)
    assert {key: iterations.page(instances[key]).json()["run"]["id"] for key in keys} == run_ids
    progress = [iterations.xcom(instances[key], PROGRESS_KEY) for key in keys]
    assert [one["run"]["id"] for one in progress] == list(run_ids.values())


def test_the_run_of_an_iteration_that_a_user_ends_is_cancelled(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    iterations = Iterations(DagRun.start(airflow, "endless_loop", {}))
    key = ("endless.wait", 0, -1)
    iterations.wait_until("deferred", key)
    instance = dict(iterations)[key]
    run_id = iterations.xcom(instance, "run_id")
    airflow.wait_until("the triggerer polls", lambda: sandbox.count("GET", run_id) > 2, 60, lambda: None)
    params = {name: instance[name] for name in ("region_id", "region_index")}
    path = f"/dags/{iterations.run.dag_id}/dagRuns/{quote(iterations.run.run_id)}/taskInstances/{key[0]}"

    airflow.rest.call("PATCH", path, params=params, body={"new_state": "failed"})

    def status() -> Any:
        return next(one["status"] for one in sandbox.list_responses() if one["id"] == run_id)

    airflow.wait_until("the run is cancelled", lambda: status() == "cancelled", 60, status)
