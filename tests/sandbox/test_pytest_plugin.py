"""The fixture ``openai_sandbox`` in a test suite of a user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import airflow_provider_openai_run

CONFTEST = 'pytest_plugins = ["airflow_provider_openai_run.sandbox.pytest_plugin"]\n'
TESTS = """
import json, os, urllib.request
import pytest

URLS = []

def get(path):
    connection = json.loads(os.environ["AIRFLOW_CONN_OPENAI_DEFAULT"])
    headers = {"authorization": "Bearer " + connection["password"]}
    request = urllib.request.Request(connection["host"] + path, headers=headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)

def test_the_connection_points_to_the_sandbox(openai_sandbox):
    run = openai_sandbox.create_run(script="failed")
    openai_sandbox.clock.advance(3)
    assert get("/threads/" + run["thread_id"] + "/runs/" + run["id"])["status"] == "failed"
    URLS.append(openai_sandbox.base_url)

def test_each_test_has_a_new_sandbox(openai_sandbox):
    assert openai_sandbox.requests == []
    assert openai_sandbox.base_url != URLS[0]

class TestOptions:
    @pytest.fixture
    def openai_sandbox_options(self):
        return {"api_key": "another"}

    def test_the_options_can_be_overridden(self, openai_sandbox):
        assert openai_sandbox.api_key == "another"

def test_the_connection_is_removed_after_the_test():
    assert "AIRFLOW_CONN_OPENAI_DEFAULT" not in os.environ
"""


def test_the_documented_fixture_works(tmp_path: Path) -> None:
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
