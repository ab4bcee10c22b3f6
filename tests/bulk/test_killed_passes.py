"""A worker that is killed at any point of a bulk task loses no answer and pays for nothing twice.

Each test runs the task in a process that kills itself with SIGKILL at a point of the task's life, and then
finishes it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.bulk.bulk_tasks import TOTAL, answered, lines, operator, questions
from tests.bulk.killed_task import POINTS
from tests.owned_runs.task_attempts import StateStore, TaskAttempts

ROOT = Path(__file__).parents[2]


def run_killed(name: str, folder: Path) -> bool:
    """Run the task in a process that kills itself at a point; return whether it got there."""
    command = [sys.executable, "-m", "tests.bulk.killed_task", name, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    return done.returncode == -signal.SIGKILL


@pytest.fixture(autouse=True)
def _responses_end_at_once(sandbox: Sandbox) -> None:
    sandbox.set_default_script("instant")


CASES = [(name, True) for name in POINTS]
CASES += [(name, False) for name in POINTS if "response was created" in name or "before a request" in name]


@pytest.mark.parametrize(("name", "honoured"), CASES)
def test_a_task_that_is_killed_has_each_answer_once(
    sandbox: Sandbox, tmp_path: Path, name: str, honoured: bool
) -> None:
    sandbox.honour_idempotency_keys(honoured)

    assert run_killed(name, tmp_path / "results")
    task = operator(tmp_path / "results", questions(TOTAL))
    manifest = TaskAttempts(task, store=StateStore(), tries=1).begin()

    assert manifest["completed"] == TOTAL
    assert answered(tmp_path / "results") == {f"q-{number}": 1 for number in range(TOTAL)}
    assert lines(tmp_path / "results" / "errors.jsonl") == []
    responses = {line["id"] for line in lines(tmp_path / "results" / "answers.jsonl")}
    created = len(sandbox.list_responses())
    keys = {request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"}
    assert (len(responses), len(keys)) == (TOTAL, TOTAL)
    # The window that is named in the docs: what was under way when the process was killed.
    assert created == TOTAL if honoured else created <= TOTAL + 32
