"""One Airflow, one local API and one Chromium for all browser tests, and the DAG runs they open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.browser.chromium import Chromium, chromium
from tests.browser.hostile import hostile_response, hostile_run
from tests.system.dag_run import DagRun
from tests.system.local_airflow import USERNAME, LocalAirflow

DAG_ID = "existing_runs"
CREATED_DAG_ID = "created_runs"
#: The console that the connection's link template leads to; no test opens it.
CONSOLE = "https://console.example/runs"
STEPS = 1_000
FAILED_STEP = 617
#: XComs from this size on, in bytes, are in object storage; smaller ones are in the database.
XCOM_THRESHOLD = 1_000


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    connection = json.loads(sandbox.connection_json())
    connection["extra"] = {**connection.get("extra", {}), "run_link_template": f"{CONSOLE}/{{run_id}}"}
    config = {
        "core": {"xcom_backend": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"},
        "common_io": {
            "xcom_objectstorage_path": tmp_path_factory.mktemp("xcom").as_uri(),
            "xcom_objectstorage_threshold": str(XCOM_THRESHOLD),
        },
    }
    folders = [Path(__file__).parent / "dags"]
    connections = {"openai_default": connection}
    with LocalAirflow(dag_folders=folders, connections=connections, config=config) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def browser(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser.log_in(airflow.url, USERNAME, airflow.password)


@pytest.fixture(scope="session")
def dag_runs(airflow: LocalAirflow, sandbox: Sandbox) -> Mapping[str, DagRun]:
    """
    DAG runs by name. Tasks of ended runs have ended; the sensors of the others are deferred.

    The tasks of ``rounds``, ``person`` and ``refusal`` create their runs.
    """
    created = {
        "rounds": "requires_action_twice",
        "person": "requires_approval",
        "refusal": "refusal",
    }
    started = {
        name: DagRun.start(airflow, CREATED_DAG_ID, {"script": script}) for name, script in created.items()
    }
    started["person"].wait_until("response", "awaiting_input")
    for name in ("rounds", "refusal"):
        started[name].wait_for_success()
    return {**started, **_runs_of_others(airflow, sandbox)}


def _runs_of_others(airflow: LocalAirflow, sandbox: Sandbox) -> dict[str, DagRun]:
    """Return the DAG runs whose tasks look at runs that exist."""
    scripts: dict[str, Any] = {
        "completed": {"base": "many_steps", "steps": 8, "seconds": 40},
        "failed": "failed",
        "incomplete": "incomplete",
        "thousand": {"base": "many_steps", "steps": STEPS, "seconds": 300},
        "requires_action": "requires_action",
    }
    runs = {name: sandbox.create_run(script=script) for name, script in scripts.items()}
    sandbox.clock.advance(310)
    runs["deferred"] = sandbox.create_run(script={"base": "in_progress"})
    runs["hostile"] = hostile_run(sandbox)
    runs["hostile_answer"] = hostile_response(sandbox)
    runs["failed_step"] = _run_with_failed_step(sandbox)
    sandbox.clock.advance(5)
    started = {
        name: DagRun.start(airflow, DAG_ID, {"run_id": run["id"], "thread_id": run["thread_id"]})
        for name, run in runs.items()
    }
    for name, run in started.items():
        run.wait_for_task("get_run")
        if name in {"deferred", "requires_action"}:
            run.wait_until("wait", "deferred")
        else:
            run.wait_for_task("wait")
    return started


def _run_with_failed_step(sandbox: Sandbox) -> dict[str, Any]:
    """Create a completed run in which one of many steps has failed, and return its JSON."""
    now = int(sandbox.clock.now())
    begin = now - STEPS
    run = {
        "id": "run_failed_step",
        "object": "thread.run",
        "thread_id": "thread_failed_step",
        "assistant_id": "asst_1",
        "model": "gpt-4o",
        "status": "completed",
        "created_at": begin,
        "started_at": begin,
        "completed_at": now,
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }
    return sandbox.seed_run(run, [_step(number, begin + number) for number in range(1, STEPS + 1)])


def _step(number: int, begin: int) -> dict[str, Any]:
    code = {"input": f"print({number})", "outputs": [{"type": "logs", "logs": f"{number}\n"}]}
    calls = [{"id": f"call_{number}", "type": "code_interpreter", "code_interpreter": code}]
    step = {
        "id": f"step_{number}",
        "object": "thread.run.step",
        "type": "tool_calls",
        "status": "completed",
        "created_at": begin,
        "completed_at": begin + 1,
        "step_details": {"type": "tool_calls", "tool_calls": calls},
        "usage": None,
        "last_error": None,
    }
    if number == FAILED_STEP:
        error = {"code": "server_error", "message": "The interpreter has crashed."}
        step |= {"status": "failed", "completed_at": None, "failed_at": begin + 1, "last_error": error}
    return step
