"""The command as a process."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from airflow_provider_openai_run.sandbox.__main__ import main
from airflow_provider_openai_run.sandbox.builtin_scripts import BUILTIN_SCRIPTS

COMMAND = [sys.executable, "-m", "airflow_provider_openai_run.sandbox", "--port", "0"]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        introduction = ""
        for line in process.stdout:
            introduction += line
            if "Ctrl-C" in line:
                break
        yield process, introduction
    finally:
        process.kill()
        process.communicate()


def printed_connection(introduction: str) -> Any:
    line = next(line for line in introduction.splitlines() if line.startswith("export "))
    _, assignment = shlex.split(line)
    return json.loads(assignment.removeprefix("AIRFLOW_CONN_OPENAI_DEFAULT="))


def test_it_serves_the_printed_connection_until_sigterm() -> None:
    with running("--api-key", "my-key", "--speed", "0", "--script", "instant") as (process, introduction):
        connection = printed_connection(introduction)
        assert connection["host"] in introduction
        assert all(name in introduction for name in BUILTIN_SCRIPTS)
        key = {"authorization": f"Bearer {connection['password']}"}
        body = {"model": "gpt-4o", "input": "x", "background": True}
        response = requests.post(f"{connection['host']}/responses", json=body, headers=key, timeout=30)
        assert response.json()["status"] == "completed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_printed_curl_command_works() -> None:
    for options in ([], ["--no-seed"], ["--api-key", 'it\'s "my" $KEY']):
        with running(*options) as (_, introduction):
            command = shlex.split(re.search(r"^curl .*$", introduction, re.MULTILINE)[0])  # type: ignore[index]
            assert command[:3] == ["curl", "-s", "-H"]
            name, _, value = command[3].partition(": ")
            response = requests.get(command[4], headers={name: value}, timeout=30)
            assert response.status_code == 200
            if shutil.which("curl") is not None:
                output = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
                assert json.loads(output) == response.json()


def test_the_printed_ids_are_those_of_runs_with_the_printed_status() -> None:
    with running() as (_, introduction):
        connection = printed_connection(introduction)
        key = {"authorization": f"Bearer {connection['password']}"}
        runs = re.findall(r'^  (\w+) +thread_id="(\w+)", run_id="(\w+)"$', introduction, re.MULTILINE)
        responses = re.findall(r'^  (\w+) +run_id="(\w+)"$', introduction, re.MULTILINE)
        paths = {f"threads/{thread_id}/runs/{run_id}": status for status, thread_id, run_id in runs}
        paths |= {f"responses/{response_id}": status for status, response_id in responses}
        for path, status in paths.items():
            response = requests.get(f"{connection['host']}/{path}", headers=key, timeout=30)
            assert response.json()["status"] == status
    statuses = {"completed", "failed", "requires_action", "in_progress", "incomplete", "cancelled", "expired"}
    assert {status for status, _, _ in runs} == statuses
    assert len(responses) > len(runs)


def test_the_printed_link_template_leads_to_a_run() -> None:
    with running() as (_, introduction):
        template = printed_connection(introduction)["extra"]["run_link_template"]
        page = requests.get(template.format(run_id="run_failed", thread_id="thread_failed"), timeout=30)
        assert page.json()["run"]["status"] == "failed"


def test_no_seed_starts_empty() -> None:
    with running("--no-seed") as (_, introduction):
        connection = printed_connection(introduction)
        key = {"authorization": f"Bearer {connection['password']}"}
        url = connection["host"].removesuffix("/v1") + "/_sandbox/state"
        state = requests.get(url, headers=key, timeout=30).json()
        assert (state["runs"], state["responses"], state["threads"]) == ({}, {}, [])
        assert "Example runs" not in introduction


def test_ctrl_c_exits_with_0_and_prints_no_error() -> None:
    with running() as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read().strip() == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "192.168.1.5"], "is not a loopback address"),
        (["--script", "nope"], "there is no script 'nope'"),
        (["--speed", "-1"], "speed must be 0 or more"),
        (["--port", "http"], "invalid int value"),
    ],
)
def test_invalid_options_exit_with_2_before_anything_is_served(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
