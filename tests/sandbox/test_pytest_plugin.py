"""The fixture, as a user's tests have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import airflow_provider_openai_run

CONFTEST = 'pytest_plugins = ["airflow_provider_openai_run.sandbox.pytest_plugin"]\n'
TESTS = """
import json, os, urllib.request
import pytest

SEEN = []

def ask(path):
    connection = json.loads(os.environ["AIRFLOW_CONN_OPENAI_DEFAULT"])
    headers = {"authorization": "Bearer " + connection["password"]}
    with urllib.request.urlopen(urllib.request.Request(connection["host"] + path, headers=headers)) as answer:
        return json.load(answer)

def test_the_connection_points_at_it(openai_sandbox):
    run = openai_sandbox.create_run(script="failed")
    openai_sandbox.clock.advance(3)
    assert ask("/threads/" + run["thread_id"] + "/runs/" + run["id"])["status"] == "failed"
    SEEN.append(openai_sandbox.base_url)

def test_the_next_test_has_a_new_one(openai_sandbox):
    assert openai_sandbox.requests == []
    assert openai_sandbox.base_url != SEEN[0]

class TestOptions:
    @pytest.fixture
    def openai_sandbox_options(self):
        return {"api_key": "another"}

    def test_its_options_can_be_overridden(self, openai_sandbox):
        assert openai_sandbox.api_key == "another"

def test_afterwards_the_connection_is_gone():
    assert "AIRFLOW_CONN_OPENAI_DEFAULT" not in os.environ
"""


def test_the_documented_way_to_use_it_works(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_dag.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    root = Path(airflow_provider_openai_run.__file__).parents[1]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "4 passed" in outcome.stdout
