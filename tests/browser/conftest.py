"""One Airflow, one local API and one Chromium for all browser tests, and the DAG runs they open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.browser.chromium import Chromium, chromium
from tests.browser.hostile import hostile_run
from tests.system.dag_run import DagRun
from tests.system.local_airflow import USERNAME, LocalAirflow

DAG_ID = "existing_runs"
STEPS = 1_000


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow(sandbox: Sandbox) -> Iterator[LocalAirflow]:
    connections = {"openai_default": json.loads(sandbox.connection_json())}
    with LocalAirflow(dag_folders=[Path(__file__).parent / "dags"], connections=connections) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def browser(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser.log_in(airflow.url, USERNAME, airflow.password)


@pytest.fixture(scope="session")
def dag_runs(airflow: LocalAirflow, sandbox: Sandbox) -> Mapping[str, DagRun]:
    """DAG runs by name. Tasks of ended runs have ended; the sensors of the others are deferred."""
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
