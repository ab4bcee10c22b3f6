"""The stub server as a process of its own, and the conversation with it."""

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
    """The stub, started on entering and ended on leaving.

    :param scenario: says how it behaves.
    :param certificate: the file with its certificate and key.
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
        self.port = self._hear()["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def end(self, moments: Mapping[int, float]) -> None:
        """Say when runs end, on the monotonic clock."""
        self._say({"end": dict(moments)})

    def state(self) -> dict[str, Any]:
        """Give the counts so far."""
        self._say({"ask": "state"})
        return self._hear()

    def report(self, file: Path) -> None:
        """Have everything written to a file."""
        self._say({"ask": "report", "file": str(file)})
        self._hear()

    def _say(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
