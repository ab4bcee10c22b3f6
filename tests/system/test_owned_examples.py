"""The example DAGs that create runs do what their docstrings say, in a real Airflow without a network."""

from __future__ import annotations

from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

has_human_input = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
    reason="Airflow lets a task wait for human input from 3.3 on",
)


@pytest.fixture(scope="module", autouse=True)
def _scripts(sandbox: Sandbox) -> None:
    for name, base in (("calls", "requires_action"), ("requires_approval_once", "requires_approval")):
        sandbox.add_script(name, {"base": base, "after_outputs": "completed"})
    sandbox.add_script("calls_twice", {"base": "requires_action_twice", "after_outputs": "calls"})


def scripted(script: str) -> dict[str, Any]:
    return {"metadata": {"sandbox_script": script}}


def test_a_created_run_can_be_read_again(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    conf = {"thread_id": sandbox.create_thread()["id"], "assistant_id": "asst_1", **scripted("completed")}
    run = DagRun.start(airflow, "openai_assistant_run", conf)
    assert run.wait() == "success", run.states()
    created, read = run.xcoms("example"), run.xcoms("details")
    assert read["id"] == created["id"] == created["run_id"]
    assert read["thread_id"] == conf["thread_id"]
    assert run.xcoms("report")["return_value"].endswith("tokens: The answer is 42.")


def test_a_created_response_can_be_read_again(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_response", scripted("completed"))
    assert run.wait() == "success", run.states()
    created, read = run.xcoms("example"), run.xcoms("details")
    assert read["id"] == created["id"] == created["run_id"]
    assert read["thread_id"] is None
    assert run.xcoms("report")["return_value"].endswith("tokens: The answer is 42.")


def test_a_model_calls_functions_round_after_round(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_response_tools", scripted("calls_twice"))
    assert run.wait() == "success", run.states()
    usage = run.xcoms("response")["token_usage"]
    assert (usage["rounds"], len(usage["run_ids"])) == (2, 3)
    assert run.xcoms("report")["return_value"] == "The answer is 42."


@has_human_input
def test_a_person_approves_in_the_ui(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_response_approval", scripted("requires_approval_once"))
    run.wait_as_a_person("response")
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/response/-1/hitlDetails"
    request = airflow.rest.call("GET", path)
    assert request["subject"] == "May the model use roll of dice?"
    airflow.rest.call("PATCH", path, body={"chosen_options": ["Approve"], "params_input": {}})
    assert run.wait() == "success", run.states()
    assert run.xcoms("report")["return_value"] == "The answer is 42."


def test_separate_tasks_compute_and_submit_the_outputs(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_run_tool_outputs", {"assistant_id": "asst_1", **scripted("calls")})
    assert run.wait() == "success", run.states()
    assert run.states()["cancel"] == "skipped"
    assert run.xcoms("run")["status"] == "requires_action"
    submitted = run.xcoms("submit")
    assert (submitted["status"], submitted["answer"]) == ("completed", "The answer is 42.")
