"""Each example DAG does what its docstring says, in a real Airflow without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES
from tests.system.dag_run import DagRun
from tests.system.local_airflow import LocalAirflow

pytestmark = pytest.mark.system

LONG_SECONDS = 250
MANY_STEPS = {"sandbox_script": json.dumps({"base": "many_steps", "steps": 130, "seconds": LONG_SECONDS})}
BATCH = {"sandbox_script": json.dumps({"in_progress": LONG_SECONDS - 20, "fail_every": 3})}
SENSORS = {
    "create": "wait",
    "background": "wait",
    "batch": "wait",
    "list": "wait_for_all",
    "gate": "gate",
    "closed gate": "gate",
}


@pytest.fixture(scope="module")
def started(airflow: LocalAirflow, sandbox: Sandbox) -> Mapping[str, DagRun]:
    """Start all of them at once; the runs they wait for end when every sensor is deferred."""
    failing = sandbox.create_run(script={"base": "failed", "seconds": LONG_SECONDS})
    completing = sandbox.create_response(script={"base": "completed", "seconds": LONG_SECONDS})
    running = sandbox.create_run(script="in_progress")
    searched = sandbox.create_run(script={"base": "file_search", "seconds": 0.1})
    completed = sandbox.create_response(script="instant")
    runs: dict[str, tuple[str, dict[str, Any]]] = {
        "create": ("openai_run_create_and_retrieve", {"assistant_id": "asst_1", "metadata": MANY_STEPS}),
        "background": ("openai_response_background", {"metadata": MANY_STEPS}),
        "batch": ("openai_batch", {"metadata": BATCH}),
        "list": ("openai_run_list", {"metadata": MANY_STEPS}),
        "gate": ("openai_run_gate", {"run_id": completing["id"]}),
        "closed gate": ("openai_run_gate", ids_of(failing)),
        "retrieve": ("openai_run_retrieve", ids_of(running)),
        "retrieve response": ("openai_run_retrieve", {"run_id": completed["id"]}),
        "steps": ("openai_run_steps", ids_of(searched)),
    }
    started = {name: DagRun.start(airflow, dag_id, conf) for name, (dag_id, conf) in runs.items()}
    for name, sensor in SENSORS.items():
        started[name].wait_until(sensor, "deferred")
    started["retrieve"].wait()
    sandbox.clock.advance(LONG_SECONDS)
    return started


def ids_of(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"run_id": run["id"], "thread_id": run["thread_id"]}


@pytest.mark.parametrize(("name", "api"), [("create", "assistants"), ("background", "responses")])
def test_a_run_created_in_the_dag_is_awaited_and_pushed_to_xcom(
    started: Mapping[str, DagRun], name: str, api: str
) -> None:
    run = started[name]

    run.wait_for_success()

    attributes = run.xcoms("attributes")
    assert set(DOCUMENTED_ATTRIBUTES) <= set(attributes)
    assert attributes["return_value"] == {key: attributes[key] for key in attributes["return_value"]}
    assert attributes["status"] == "completed"
    assert len(attributes["steps"]) == 130
    assert all(isinstance(json.loads(step["details"]), dict) for step in attributes["steps"])
    outcome = run.xcoms("wait")["return_value"]
    assert outcome == {
        "run_id": attributes["id"],
        "thread_id": attributes["thread_id"],
        "api": api,
        "status": "completed",
    }


def test_the_responses_of_mapped_tasks_are_awaited_by_one_sensor(started: Mapping[str, DagRun]) -> None:
    run = started["list"]

    run.wait_for_success()

    result = run.xcoms("wait_for_all")["return_value"]
    assert result["counts"] == {"completed": 3}
    assert list(result["statuses"]) == [run.xcoms("create", index)["id"] for index in range(3)]


def test_a_downstream_task_reads_the_usage_from_the_operators_output(started: Mapping[str, DagRun]) -> None:
    run = started["create"]

    run.wait_for_success()

    total = run.xcoms("attributes")["usage"]["total_tokens"]
    assert run.xcoms("report")["return_value"] == f"completed after 130 steps and {total} tokens"


def test_a_run_that_completes_opens_the_gate(started: Mapping[str, DagRun]) -> None:
    run = started["gate"]

    run.wait_for_success()
    assert run.states() == {"gate": "success", "publish": "success", "notify": "success"}


def test_a_run_that_fails_skips_the_tasks_after_the_gate(started: Mapping[str, DagRun]) -> None:
    run = started["closed gate"]

    run.wait_for_success()
    assert run.states() == {"gate": "skipped", "publish": "skipped", "notify": "skipped"}


def test_a_run_is_retrieved_while_it_is_in_progress(started: Mapping[str, DagRun]) -> None:
    run = started["retrieve"]

    run.wait_for_success()

    attributes = run.xcoms("attributes")
    assert attributes["status"] == "in_progress"
    assert attributes["usage"] is None
    assert run.xcoms("report")["return_value"] == f"{attributes['id']} is in_progress: 1 steps, no tokens"


def test_a_response_is_retrieved_without_a_thread(started: Mapping[str, DagRun]) -> None:
    run = started["retrieve response"]

    run.wait_for_success()

    attributes = run.xcoms("attributes")
    assert attributes["object"] == "response"
    assert attributes["thread_id"] is None


def test_the_tool_calls_of_the_steps_can_be_read(started: Mapping[str, DagRun]) -> None:
    run = started["steps"]

    run.wait_for_success()

    calls = run.xcoms("tool_calls")["return_value"]
    assert [call["type"] for call in calls] == ["file_search"]
    assert run.xcoms("unfinished")["return_value"] == []


def test_the_results_of_a_batch_are_read_from_its_files(started: Mapping[str, DagRun]) -> None:
    run = started["batch"]

    run.wait_for_success()

    assert run.xcoms("wait")["return_value"]["api"] == "batches"
    assert run.xcoms("batch")["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    answers = run.xcoms("read")["return_value"]
    assert (answers["question-0"], answers["question-1"]) == ("The answer is 42.", "The answer is 42.")
    assert answers["question-2"].startswith("error: The server had an error")
