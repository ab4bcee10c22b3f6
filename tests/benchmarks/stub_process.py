"""The stub server as a process, controlled by JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.scenarios import Scenario


class StubProcess:
    """The stub process: a context manager that starts and stops it.

    :param scenario: the scenario, which defines its behaviour.
    :param certificate: file with its certificate and key.
    """

    def __init__(self, scenario: Scenario, certificate: Path) -> None:
        behaviour = {
            "body_bytes": scenario.body_bytes,
            "latency": scenario.latency,
            "requests_per_second": scenario.requests_per_second,
            "fault_every": scenario.fault_every,
        }
        self._options = json.dumps({"behaviour": behaviour, "certificate": str(certificate)})
        self._process: subprocess.Popen[str]
        self.port = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.benchmarks.stub_server", self._options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self._receive()["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def end(self, times: Mapping[int, float]) -> None:
        """Set the end of runs, in seconds of the monotonic clock."""
        self._send({"end": dict(times)})

    def state(self) -> dict[str, Any]:
        """Return the current counts."""
        self._send({"command": "state"})
        return self._receive()

    def report(self, file: Path) -> None:
        """Let the stub write its request log to a file."""
        self._send({"command": "report", "file": str(file)})
        self._receive()

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        message: dict[str, Any] = json.loads(self._process.stdout.readline())
        return message
