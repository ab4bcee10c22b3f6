"""The command as a process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


def test_it_serves_the_printed_connection_until_sigterm() -> None:
    with running("--api-key", "my-key", "--speed", "0", "--script", "instant") as (process, introduction):
        found = re.search(r"AIRFLOW_CONN_OPENAI_DEFAULT='(.*)'", introduction)
        assert found is not None
        connection = json.loads(found[1])
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
