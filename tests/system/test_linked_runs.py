"""Airflow's REST API returns the link to a run's page while the task waits and after it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox, Script
from tests.system.conftest import CONSOLE
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

LINKED = ("run", "response", "sensor", "attributes")


def links(run: DagRun, task_id: str) -> Any:
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/links"
    return run.airflow.rest.call("GET", path)["extra_links"]


def test_a_task_has_its_link_while_it_is_deferred_and_afterwards(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    sandbox.add_script("half_a_minute", Script(phases=((0, "queued"), (1, "in_progress"), (30, "completed"))))
    followed = sandbox.create_response(script="half_a_minute")["id"]
    run = DagRun.start(airflow, "linked_runs", {"run_id": followed})
    for task_id in LINKED:
        run.wait_until(task_id, "deferred")
    shown = {task_id: links(run, task_id) for task_id in LINKED}
    run.wait_for_success()
    for task_id in LINKED:
        xcoms = run.xcoms(task_id)
        run_id, thread_id = xcoms.get("run_id", followed), xcoms.get("thread_id") or ""
        address = CONSOLE.format(run_id=run_id, thread_id=thread_id)
        assert xcoms["_link_OpenAIRunLink"] == address
        assert shown[task_id] == links(run, task_id) == {"OpenAI run": address}
    assert not any(links(run, "without_console").values())
