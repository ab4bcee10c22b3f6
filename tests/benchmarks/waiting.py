"""The cost of waiting: this provider's trigger and those of the official provider, in Airflow's triggerer.

::

    python -m tests.benchmarks.waiting                   # 1,000 runs, steady: about a quarter of an hour
    python -m tests.benchmarks.waiting --mode all --json results.json    # all scenarios: about two hours
    python -m tests.benchmarks.waiting --quick           # 40 runs: three minutes, to check that it works

Needs Airflow 3.3.2 or later with the openai SDK, and Linux. Each contestant in turn gets a fresh triggerer
process (``measured_triggerer`` says which parts are real) and a fresh stub of the API in another process,
over TLS on loopback. First one trigger starts alone, to separate the one-time costs of a triggerer; then all
start, 50 per second as in Airflow; after a steady window the runs end one by one. The delay of an end is the
time until the runner emits its event.

CPU is that of the runner's process, less that of an equal number of triggers that do nothing. Rows "beyond
Airflow's own" are also less the cost of starting or keeping a trigger that does nothing. "Own" lag is without
the time when the loop was ready but other processes had the CPU. A poll of the agent trigger is two requests.

Compare only figures of the same run of the command, not those of another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.fernet import Fernet

import airflow_provider_openai_run
from tests.benchmarks.certificate import write_certificate
from tests.benchmarks.contestants import BASELINE, CONTESTANTS, Contestant
from tests.benchmarks.figures import Baseline, Figures, figures_of
from tests.benchmarks.recording import Recording
from tests.benchmarks.scenarios import SCENARIOS, Scenario, quick
from tests.benchmarks.table import table

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("apache-airflow", "apache-airflow-providers-openai", "openai", "aiohttp")


class SessionFailedError(Exception):
    """The process of a contestant failed. The message is the end of its log."""


class Benchmark:
    """Runs sessions and computes their figures.

    :param folder: folder of the recordings of all sessions.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions = 0
        self._baselines: dict[tuple[int, int, int], Baseline] = {}

    def measure(self, scenario: Scenario, repetition: int) -> dict[str, Figures]:
        """Measure all contestants of a scenario once; one whose process fails is logged and omitted."""
        baseline = self._baseline(scenario, repetition)
        figures = {BASELINE: baseline.figures}
        for name in scenario.contestants:
            try:
                recording = self._record(name, scenario)
            except SessionFailedError as error:
                _log(f"{name} failed in {scenario.name}: {error}")
            else:
                figures[name] = figures_of(recording, baseline, CONTESTANTS[name], scenario)
                _log_failures(recording, CONTESTANTS[name])
        return figures

    def _baseline(self, scenario: Scenario, repetition: int) -> Baseline:
        key = (scenario.runs, scenario.start_rate, repetition)
        if key not in self._baselines:
            self._baselines[key] = Baseline(self._record(BASELINE, scenario.idle), scenario.runs)
        return self._baselines[key]

    def _record(self, contestant: str, scenario: Scenario) -> Recording:
        _log(f"{scenario.name}: {CONTESTANTS[contestant].title}, {scenario.runs:,} runs …")
        self._sessions += 1
        folder = self._folder / f"{self._sessions:03}-{scenario.name}-{contestant}"
        (folder / "logs").mkdir(parents=True)
        write_certificate(folder)
        session = {"contestant": contestant, "scenario": scenario.to_json()}
        (folder / "session.json").write_text(json.dumps(session), encoding="utf-8")
        command = [sys.executable, "-m", "tests.benchmarks.waiting_session", str(folder)]
        with (folder / "triggerer.log").open("wb") as log:
            process = subprocess.run(
                command, cwd=CHECKOUT, env=_environment(folder), stdout=log, stderr=log, check=False
            )
        if process.returncode:
            lines = (folder / "triggerer.log").read_text(encoding="utf-8").splitlines()
            raise SessionFailedError("\n".join(lines[-5:]))
        return Recording(folder)


def _environment(folder: Path) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPENAI"))
    }
    return {
        **inherited,
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__LOGGING__JSON_LOGS": "True",
        "NO_PROXY": "127.0.0.1",
        "SSL_CERT_FILE": str(folder / "authorities.pem"),
    }


def medians(repetitions: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """Return the median of each figure of each contestant."""
    names = dict.fromkeys(name for figures in repetitions for name in figures)
    return {
        name: _median_figures([figures[name] for figures in repetitions if name in figures]) for name in names
    }


def _median_figures(repetitions: Sequence[Figures]) -> Figures:
    by_name: Figures = {}
    for figure in dict.fromkeys(name for figures in repetitions for name in figures):
        values = [value for figures in repetitions if (value := figures.get(figure)) is not None]
        by_name[figure] = median(values) if values else None
    return by_name


def environment_info() -> dict[str, Any]:
    """Return the date, the versions and the machine of the measurement."""
    versions = {"airflow-provider-openai-run": airflow_provider_openai_run.__version__}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "none"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": {**versions, "python": platform.python_version()},
        "machine": {"cpus": os.cpu_count(), "system": platform.system(), "architecture": platform.machine()},
    }


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    names = list(SCENARIOS) if options.mode == "all" else [options.mode]
    selected = []
    for scenario in (SCENARIOS[name] for name in names):
        changes = {
            "runs": options.runs,
            "seconds": options.seconds,
            "contestants": tuple(options.contestants) if options.contestants else None,
        }
        small = quick(scenario) if options.quick else scenario
        selected.append(
            replace(small, **{name: value for name, value in changes.items() if value is not None})
        )
    return selected


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    modes = "; ".join(f"{scenario.name}: {scenario.summary}" for scenario in SCENARIOS.values())
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waiting", epilog=modes)
    parser.add_argument("--mode", choices=[*SCENARIOS, "all"], default="steady")
    parser.add_argument("--runs", type=int, help="waiting runs (1,000; in 'many' 10,000)")
    parser.add_argument(
        "--seconds", type=float, help="length of the steady window; in 'lifetimes' of the longest duration"
    )
    parser.add_argument("--repeat", type=int, default=1, help="repetitions; the table shows medians")
    parser.add_argument(
        "--contestants", nargs="+", choices=[name for name in CONTESTANTS if name != BASELINE]
    )
    parser.add_argument("--quick", action="store_true", help="a small variant, to check that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the recordings in a new folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _arguments(arguments)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        benchmark = Benchmark(options.keep or Path(temporary))
        for scenario in _scenarios(options):
            repetitions = [benchmark.measure(scenario, number) for number in range(options.repeat)]
            figures = medians(repetitions)
            results.append({"scenario": scenario.to_json(), "figures": figures, "repetitions": repetitions})
            sys.stdout.write(table(_title(scenario, options.repeat), figures) + "\n\n")
            sys.stdout.flush()
            if options.json:
                written = json.dumps({**environment_info(), "results": results}, indent=2)
                options.json.write_text(written + "\n", encoding="utf-8")
    return 0


def _log_failures(recording: Recording, contestant: Contestant) -> None:
    payloads = [event.payload for event in recording.events if event.status != contestant.success]
    if payloads:
        _log(f"  {len(payloads)} waits failed, the first with {payloads[0]}")


def _title(scenario: Scenario, repetitions: int) -> str:
    title = f"{scenario.name}: {scenario.summary}; {scenario.runs:,} runs, every {scenario.poll_interval:g} s"
    return title + (f", medians of {repetitions}" if repetitions > 1 else "")


def _log(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
