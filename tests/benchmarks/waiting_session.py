"""One contestant in one scenario, from an empty triggerer to the last event.

``python -m tests.benchmarks.waiting_session FOLDER`` reads ``session.json`` in the folder and writes the
recordings there. Each session has its own process and its own ``AIRFLOW_HOME``, so that no cache is warm.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.contestants import BASELINE, CONN_ID, CONTESTANTS, Contestant
from tests.benchmarks.lifetimes import ages_of_waiting_runs, durations_up_to
from tests.benchmarks.measured_triggerer import MeasuredSupervisor, WaitingTask
from tests.benchmarks.recorded_files import FIRST, MARKS, MEMORY, STUB_REPORT
from tests.benchmarks.scenarios import Scenario
from tests.benchmarks.stub_process import StubProcess

IDLE_SECONDS = 5.0
MAX_START_SECONDS = 240.0
SEED = 2026


class Session:
    """One measurement. Each step is marked with its time.

    :param contestant: the measured trigger.
    :param scenario: the scenario.
    :param folder: folder of the recordings.
    """

    def __init__(self, contestant: Contestant, scenario: Scenario, folder: Path) -> None:
        self._contestant = contestant
        self._scenario = scenario
        self._folder = folder
        self._marks: dict[str, dict[str, float]] = {}
        self._numbers = range(FIRST + 1, FIRST + 1 + scenario.runs)
        ages = ages_of_waiting_runs(scenario.runs, SEED) if scenario.aged else [0.0] * scenario.runs
        self._ages = dict(zip(self._numbers, ages, strict=True))
        self._lifetimes: dict[int, float] = {}
        if scenario.has_lifetimes:
            lifetimes = durations_up_to(scenario.seconds, scenario.runs, SEED)
            self._lifetimes = dict(zip(self._numbers, lifetimes, strict=True))
        self._ends: dict[int, float] = {}
        self._stub: StubProcess
        self._supervisor: MeasuredSupervisor

    def run(self) -> None:
        """Run the measurement and write the recordings."""
        with StubProcess(self._scenario, self._folder / "server.pem") as self._stub:
            _write_connection(f"https://127.0.0.1:{self._stub.port}/v1")
            MeasuredSupervisor.folder = self._folder
            self._supervisor = MeasuredSupervisor.start(capacity=self._scenario.runs + 1)
            try:
                self._run_steps()
            finally:
                self._supervisor.kill(signal.SIGTERM, escalation_delay=5, force=True)
            self._stub.report(self._folder / STUB_REPORT)
        self._write_marks()

    def _run_steps(self) -> None:
        self._start_first()
        self._start_all()
        if not self._scenario.has_lifetimes:
            self._wait_steadily()
            if self._contestant is CONTESTANTS[BASELINE]:
                return
            now = time.monotonic()
            gap = self._scenario.ending / len(self._numbers)
            order = random.Random(SEED).sample(self._numbers, len(self._numbers))
            self._end({number: now + place * gap for place, number in enumerate(order)})
        left = max(self._ends.values()) - time.monotonic() + self._scenario.patience
        self._supervisor.work(left, lambda: self._supervisor.ended.issuperset(self._numbers))
        self._mark("over")

    def _start_first(self) -> None:
        self._mark("begin")
        self._supervisor.hand_out([self._task(FIRST)], 1)
        self._wait_for_polls(1)
        self._supervisor.work(3.0)
        self._record_memory()
        self._mark("idle begins")
        self._supervisor.work(IDLE_SECONDS)
        self._mark("idle ends")

    def _start_all(self) -> None:
        """Start all triggers, wait for the first poll of each, and then for one interval."""
        self._mark("start begins")
        self._supervisor.hand_out([self._task(number) for number in self._numbers], self._scenario.start_rate)
        self._supervisor.work(MAX_START_SECONDS, self._all_handed_out)
        if self._scenario.has_lifetimes:
            return
        self._wait_for_polls(1 + len(self._numbers))
        self._mark("start ends")
        self._supervisor.work(self._scenario.poll_interval)

    def _wait_steadily(self) -> None:
        self._mark("steady begins")
        self._supervisor.work(self._scenario.seconds)
        self._mark("steady ends")
        self._record_memory()
        self._mark("ending begins")

    def _task(self, number: int) -> WaitingTask:
        def arguments() -> dict[str, Any]:
            if lifetime := self._lifetimes.get(number):
                self._end({number: time.monotonic() + lifetime})
            return self._contestant.arguments(number, self._ages.get(number, 0.0), self._scenario)

        return WaitingTask(number=number, classpath=self._contestant.classpath, arguments=arguments)

    def _end(self, times: dict[int, float]) -> None:
        self._ends.update(times)
        self._stub.end(times)

    def _wait_for_polls(self, runs: int) -> None:
        if self._contestant is CONTESTANTS[BASELINE]:
            self._supervisor.work(3.0)
        else:
            self._supervisor.work(
                MAX_START_SECONDS,
                lambda: self._stub.state()["polled_runs"] >= runs or len(self._supervisor.ended) >= runs,
            )

    def _all_handed_out(self) -> bool:
        return self._supervisor.handed_out.keys() >= set(self._numbers)

    def _record_memory(self) -> None:
        """Let the runner record its memory, which blocks it for a short time: outside of every window."""
        file = self._folder / MEMORY
        before = file.read_text(encoding="utf-8").count("\n")
        os.kill(self._supervisor.pid, signal.SIGUSR1)
        if not self._supervisor.work(60, lambda: file.read_text(encoding="utf-8").count("\n") > before):
            raise RuntimeError("The runner did not record its memory.")

    def _mark(self, name: str) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stub = self._stub.state()
        self._marks[name] = {
            "time": time.monotonic(),
            "epoch_seconds": time.time(),
            "supervisor_cpu_seconds": usage.ru_utime + usage.ru_stime,
            "stub_cpu_seconds": stub["cpu_seconds"],
        }

    def _write_marks(self) -> None:
        document = {
            "marks": self._marks,
            "failed": self._supervisor.failed,
            "handed_out": self._supervisor.handed_out,
            "ends": self._ends,
            "ages": self._ages,
        }
        (self._folder / MARKS).write_text(json.dumps(document), encoding="utf-8")


def _make_database() -> None:
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.base import Base

    settings.initialize()
    import_all_models()
    Base.metadata.create_all(settings.engine)


def _write_connection(host: str) -> None:
    from airflow import settings
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=CONN_ID, conn_type="openai", host=host, password="sk-of-a-stub"))
    settings.dispose_orm(do_log=False)
    settings.configure_orm()


def main() -> None:
    """Run the session of the folder on the command line."""
    folder = Path(sys.argv[1])
    session = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    _make_database()
    Session(CONTESTANTS[session["contestant"]], Scenario.from_json(session["scenario"]), folder).run()


if __name__ == "__main__":
    main()
