"""Each example DAG does what its docstring says, on a real Airflow and without a network."""

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
SENSORS = {"create": "wait", "background": "wait", "gate": "gate", "closed gate": "gate"}


@pytest.fixture(scope="module")
def started(airflow: LocalAirflow, sandbox: Sandbox) -> Mapping[str, DagRun]:
    """All of them at once; the runs that are waited for end only when every sensor was seen deferred."""
    failing = sandbox.create_run(script={"base": "failed", "seconds": LONG_SECONDS})
    completing = sandbox.create_response(script={"base": "completed", "seconds": LONG_SECONDS})
    running = sandbox.create_run(script="in_progress")
    searched = sandbox.create_run(script={"base": "file_search", "seconds": 0.1})
    answered = sandbox.create_response(script="instant")
    runs: dict[str, tuple[str, dict[str, Any]]] = {
        "create": ("openai_run_create_and_retrieve", {"assistant_id": "asst_1", "metadata": MANY_STEPS}),
        "background": ("openai_response_background", {"metadata": MANY_STEPS}),
        "gate": ("openai_run_gate", {"run_id": completing["id"]}),
        "closed gate": ("openai_run_gate", ids_of(failing)),
        "retrieve": ("openai_run_retrieve", ids_of(running)),
        "retrieve response": ("openai_run_retrieve", {"run_id": answered["id"]}),
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


@pytest.mark.parametrize("name", ["create", "background"])
def test_a_run_made_in_the_dag_is_waited_for_deferred_and_put_into_xcom(
    started: Mapping[str, DagRun], name: str
) -> None:
    run = started[name]

    run.wait_for_success()

    attributes = run.xcoms("attributes")
    assert set(DOCUMENTED_ATTRIBUTES) <= set(attributes)
    assert attributes["return_value"] == {key: attributes[key] for key in attributes["return_value"]}
    assert attributes["status"] == "completed"
    assert len(attributes["steps"]) == 130
    assert all(isinstance(json.loads(step["details"]), dict) for step in attributes["steps"])
    ended = run.xcoms("wait")["return_value"]
    assert ended == {
        "run_id": attributes["id"],
        "thread_id": attributes["thread_id"],
        "api": "assistants",
        "status": "completed",
    }


def test_the_usage_reaches_a_downstream_task_by_the_operators_output(started: Mapping[str, DagRun]) -> None:
    run = started["create"]

    run.wait_for_success()

    total = run.xcoms("attributes")["usage"]["total_tokens"]
    assert run.xcoms("report")["return_value"] == f"completed after 130 steps and {total} tokens"


def test_a_gate_opens_for_a_run_that_completes(started: Mapping[str, DagRun]) -> None:
    run = started["gate"]

    run.wait_for_success()
    assert run.states() == {"gate": "success", "publish": "success", "notify": "success"}


def test_a_gate_skips_what_stands_behind_it_when_the_run_fails(started: Mapping[str, DagRun]) -> None:
    run = started["closed gate"]

    run.wait_for_success()
    assert run.states() == {"gate": "skipped", "publish": "skipped", "notify": "skipped"}


def test_a_run_is_retrieved_while_it_is_under_way(started: Mapping[str, DagRun]) -> None:
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
