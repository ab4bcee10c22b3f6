"""``airflow dags test`` of a task with tools: its limits hold, although Airflow drops its arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.command import run_command
from tests.owned_runs.test_lost_arguments import endless_calls
from tests.system.local_airflow import FOREIGN_PREFIXES, MIGRATE_SECONDS

pytestmark = pytest.mark.system

DAG_FILE = """
from airflow.sdk import DAG

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator

with DAG("endless", schedule=None):
    OpenAICreateResponseOperator(
        task_id="response",
        model="gpt-5.2",
        input="Hi",
        tools=[{"type": "function", "name": "get_weather", "parameters": {}}],
        tool_handlers={"get_weather": lambda: "rain"},
        max_tool_rounds=2,
        poll_interval=0.1,
        deferrable=True,
    )
"""


def test_the_rounds_of_a_deferred_task_are_counted(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "endless.py").write_text(DAG_FILE)
    with Sandbox() as sandbox:
        sandbox.set_default_script(endless_calls(20))
        env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
        env |= {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_OPENAI_DEFAULT": sandbox.connection_json(),
            "NO_PROXY": "*",
        }
        for command in (["db", "migrate"], ["dags", "test", "endless"]):
            done = run_command([sys.executable, "-m", "airflow", *command], env=env, timeout=MIGRATE_SECONDS)
        assert "after 2 rounds (max_tool_rounds)" in done.stdout, done.stdout[-8000:]
        assert sandbox.count("POST", "/responses") == 3
