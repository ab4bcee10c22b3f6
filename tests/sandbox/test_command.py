"""The command, as a process of its own."""

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
        greeting = ""
        for line in process.stdout:
            greeting += line
            if "Ctrl-C" in line:
                break
        yield process, greeting
    finally:
        process.kill()
        process.communicate()


def test_it_serves_what_it_prints_until_it_is_terminated() -> None:
    with running("--api-key", "my-key", "--speed", "0", "--script", "instant") as (process, greeting):
        found = re.search(r"AIRFLOW_CONN_OPENAI_DEFAULT='(.*)'", greeting)
        assert found is not None
        connection = json.loads(found[1])
        assert connection["host"] in greeting
        assert all(name in greeting for name in BUILTIN_SCRIPTS)
        key = {"authorization": f"Bearer {connection['password']}"}
        body = {"model": "gpt-4o", "input": "x", "background": True}
        answer = requests.post(f"{connection['host']}/responses", json=body, headers=key, timeout=30)
        assert answer.json()["status"] == "completed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_ctrl_c_ends_it_in_peace() -> None:
    with running() as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read().strip() == ""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--host", "192.168.1.5"], "no address of loopback"),
        (["--script", "nope"], "there is no script 'nope'"),
        (["--speed", "-1"], "speed is 0 or more"),
        (["--port", "http"], "invalid int value"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_served(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.out == ""
