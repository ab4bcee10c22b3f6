"""Airflow parses DAG files repeatedly, so the modules that they import must be cheap."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

OURS = "airflow_provider_openai_run"
#: Packages of ours that a DAG file may import; the others come with the OpenAI SDK or do I/O.
LIGHT = {
    *("airflow_errors", "api", "connection", "exceptions", "links", "operators", "polling", "sensors"),
    *("task_xcoms", "triggers", "types"),
}
PROGRAM = """
import json, sys
from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator, task

before = set(sys.modules)
import airflow_provider_openai_run.sensors.openai_run
import airflow_provider_openai_run.operators.openai_run
import airflow_provider_openai_run.operators.get_run
import airflow_provider_openai_run.triggers.openai_run
import airflow_provider_openai_run.triggers.openai_run_event
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""


@pytest.fixture(scope="module")
def imports() -> tuple[set[str], set[str]]:
    """Return the modules of a new process with Airflow alone, and those that the provider adds."""
    command = [sys.executable, "-c", PROGRAM]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, added = json.loads(output)
    return set(before), set(added)


def test_a_dag_file_imports_no_library_for_the_provider(imports: tuple[set[str], set[str]]) -> None:
    before, added = ({name.partition(".")[0] for name in names} for names in imports)
    assert added - before - set(sys.stdlib_module_names) <= {OURS}


def test_a_dag_file_imports_only_light_packages_of_ours(imports: tuple[set[str], set[str]]) -> None:
    packages = {name.split(".")[1] for name in imports[1] if name.startswith(f"{OURS}.")}
    assert packages <= LIGHT
