"""Airflow parses DAG files repeatedly, so the modules that they import must be cheap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BUDGET_SECONDS = 0.025
MAX_PROCESSES = 10
HEAVY = {"openai", "aiohttp", "fastapi", "httpx2", "uvicorn"}

PROGRAM = """
import json, sys, time
from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator, task

before, started_at = set(sys.modules), time.process_time()
import airflow_provider_openai_run.sensors.openai_run
import airflow_provider_openai_run.operators.openai_run
import airflow_provider_openai_run.operators.get_run
import airflow_provider_openai_run.triggers.openai_run
import airflow_provider_openai_run.triggers.openai_run_event
seconds = time.process_time() - started_at
print(json.dumps({"seconds": seconds, "imported": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def fastest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """
    Return the imports and their CPU time in the fastest of several new processes.

    A busy machine only adds to the time, so one process within the budget is enough. Only the first process
    compiles the modules, as in a deployment.
    """
    compiled = tmp_path_factory.mktemp("compiled")
    measured = [_imports(compiled)]
    while len(measured) < MAX_PROCESSES and measured[-1]["seconds"] >= BUDGET_SECONDS:
        measured.append(_imports(compiled))
    return min(measured, key=lambda imports: imports["seconds"])


def _imports(compiled: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROGRAM]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    imports: dict[str, Any] = json.loads(output)
    return imports


def test_a_dag_file_imports_the_provider_within_the_budget(fastest: dict[str, Any]) -> None:
    assert fastest["seconds"] < BUDGET_SECONDS, fastest["imported"]


def test_a_dag_file_imports_no_heavy_library(fastest: dict[str, Any]) -> None:
    assert not HEAVY & {module.partition(".")[0] for module in fastest["imported"]}
