"""The example DAGs that make runs do what their docstrings say, on a real Airflow and without a network."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_openai_run.sandbox import Sandbox
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

parks_tasks = pytest.mark.skipif(
    tuple(map(int, airflow_version.split(".")[:2])) < (3, 3),
    reason="Airflow parks a task for a person from 3.3 on",
)


@pytest.fixture(scope="module", autouse=True)
def _scripts(sandbox: Sandbox) -> None:
    """Slow enough for a scheduler to hear that a task was deferred before the task goes on."""
    sandbox.add_script("answers", {"base": "completed", "seconds": 8})
    for name, base in (("asks", "requires_action"), ("asks_a_person", "requires_approval")):
        sandbox.add_script(name, {"base": base, "seconds": 8, "after_outputs": "answers"})
    sandbox.add_script("asks_twice", {"base": "requires_action_twice", "seconds": 8, "after_outputs": "asks"})


def scripted(script: str) -> dict[str, Any]:
    return {"metadata": {"sandbox_script": script}}


def test_a_run_is_made_and_read_back_as_by_a_resource_and_its_data_source(
    airflow: LocalAirflow, sandbox: Sandbox
) -> None:
    conf = {"thread_id": sandbox.create_thread()["id"], "assistant_id": "asst_1", **scripted("answers")}
    run = DagRun.start(airflow, "openai_assistant_run", conf)
    assert run.wait() == "success", run.states()
    made, read = run.xcoms("example"), run.xcoms("details")
    assert read["id"] == made["id"] == made["run_id"]
    assert read["thread_id"] == conf["thread_id"]
    assert run.xcoms("report")["return_value"].endswith("tokens: The answer is 42.")


def test_a_response_is_made_and_read_back_as_by_a_resource_and_its_data_source(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_response", scripted("answers"))
    assert run.wait() == "success", run.states()
    made, read = run.xcoms("example"), run.xcoms("details")
    assert read["id"] == made["id"] == made["run_id"]
    assert read["thread_id"] is None
    assert run.xcoms("report")["return_value"].endswith("tokens: The answer is 42.")


def test_a_model_calls_functions_round_after_round(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_response_tools", scripted("asks_twice"))
    assert run.wait() == "success", run.states()
    used = run.xcoms("response")["token_usage"]
    assert (used["rounds"], len(used["run_ids"])) == (2, 3)
    assert run.xcoms("report")["return_value"] == "The answer is 42."


@parks_tasks
def test_a_person_approves_in_the_ui(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_response_approval", scripted("asks_a_person"))
    airflow.wait_for_task(run.dag_id, run.run_id, "response", {"awaiting_input"})
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/ask/-1/hitlDetails"
    asked = airflow.rest.call("GET", path)
    assert asked["subject"] == "May the model use roll of dice?"
    end = time.monotonic() + 8
    airflow.wait_until("the person has thought", lambda: time.monotonic() > end)
    airflow.rest.call("PATCH", path, body={"chosen_options": ["Approve"], "params_input": {}})
    assert run.wait() == "success", run.states()
    assert run.xcoms("report")["return_value"] == "The answer is 42."


def test_outputs_are_worked_out_and_submitted_by_tasks_of_their_own(airflow: LocalAirflow) -> None:
    run = DagRun.start(airflow, "openai_run_tool_outputs", {"assistant_id": "asst_1", **scripted("asks")})
    assert run.wait() == "success", run.states()
    assert run.states()["cancel"] == "skipped"
    assert run.xcoms("run")["status"] == "requires_action"
    submitted = run.xcoms("submit")
    assert (submitted["status"], submitted["answer"]) == ("completed", "The answer is 42.")
