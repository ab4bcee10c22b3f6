"""The commands of the tutorial, line by line, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.command import run_command
from tests.docs.code_blocks import ROOT, blocks_of
from tests.system.local_airflow import FOREIGN_PREFIXES
from tests.system.loopback_port import reserve_port

pytestmark = pytest.mark.system

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SANDBOX = "python -m airflow_provider_openai_run.sandbox"
#: The environment of the tests takes the place of a new one, and test_page_code.py that of the UI.
LEFT_OUT = ("python3 -m venv ", ". venv/bin/activate", "pip install ", "airflow standalone", SANDBOX)
REAL_ACCOUNT = "## 8. "
KEY = "sk-of-a-real-account"
SECONDS = 400


def script(page: str, port: int) -> str:
    """
    Return a part of the page as a shell script, which stops at the first command that fails.

    :param page: its text.
    :param port: the port of the sandbox.
    """
    files = re.findall(r"[Ss]ave this as `(\S+)`", page)
    lines = ["set -eu"]
    for block in blocks_of(page):
        if block.language == "python":
            lines.append(f"cat >{files.pop(0)} <<'END'\n{block.code}END")
        elif block.language == "sh":
            lines += [line for line in block.code.splitlines() if not line.startswith(LEFT_OUT)]
    assert not files
    text = "\n".join([*lines, ""]).replace("8085", str(port)).replace("sk-…", KEY)
    # A failed DAG run ends the command with 1.
    return text.replace(""""failed"}'""", """"failed"}' || echo "exit code $?" """)


@contextmanager
def started_sandbox(port: int) -> Iterator[None]:
    """Run the sandbox by its command, on a free port, until the commands have ended."""
    command = [sys.executable, *SANDBOX.split()[1:], "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            introduction = list(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
            assert f"base URL  http://127.0.0.1:{port}/v1\n" in introduction
            yield
        finally:
            process.terminate()


def test_a_newcomer_follows_the_tutorial_to_its_end(tmp_path: Path) -> None:
    first, heading, last = PAGE.partition(REAL_ACCOUNT)
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "NO_PROXY": "*", "NO_COLOR": "1"}
    port = reserve_port()
    with started_sandbox(port):
        log = run(script(first, port), tmp_path, env)
    assert log.count("DagRun Finished") == 3
    assert "The answer is 42." in log
    assert "The response has completed." in log
    assert "RunFailedError" in log
    assert "exit code 1" in log

    # The same folder, and a server with another key.
    with Sandbox(api_key=KEY) as account:
        env |= {"OPENAI_BASE_URL": account.base_url, "AIRFLOW_HOME": str(tmp_path / "airflow")}
        run(script(heading + last, port), tmp_path, env)
        (response,) = account.list_responses()
    assert response["status"] == "completed"


def run(commands: str, folder: Path, env: dict[str, str]) -> str:
    """Run commands in a folder, and return what they write."""
    done = run_command(["bash", "-c", commands], cwd=folder, env=env, timeout=SECONDS)
    assert done.returncode == 0, f"{commands}\n{done.stdout[-8000:]}"
    return done.stdout
