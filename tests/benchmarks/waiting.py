"""What waiting costs: this provider's trigger beside the official provider's, in Airflow's own triggerer.

::

    python -m tests.benchmarks.waiting                   # 1,000 runs, steady: about a quarter of an hour
    python -m tests.benchmarks.waiting --mode all --json results.json    # all situations: about two hours
    python -m tests.benchmarks.waiting --quick           # 40 runs: three minutes, to see that it works

Needs Airflow 3.3.2 or later with the openai SDK, and Linux. Each contestant in turn gets a fresh triggerer
process (see ``measured_triggerer`` for what of it is real) and a fresh stub of the API in another process,
over TLS on loopback. First one trigger is started alone, so that what a triggerer pays once is told apart;
then all of them, 50 a second as Airflow does; after a steady window the runs end one by one, and how long it
takes until the runner emits the event is how late the end was seen.

CPU is that of the runner's process; what an equal number of triggers that do nothing cost is taken off. Rows
that say "beyond Airflow's own" take off as well what starting or keeping a trigger that does nothing costs.
"By its own fault" leaves out the time when the loop was ready but other processes had the CPU. A poll of the
agent trigger is two requests.

Compare the figures of one run of the command with each other, and not with those of another machine.
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
    """A contestant's process ended with an error; the message is the end of what it said."""


class Benchmark:
    """Runs sessions and gathers their figures.

    :param folder: for the recordings of all sessions.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions = 0
        self._baselines: dict[tuple[int, int, int], Baseline] = {}

    def measure(self, scenario: Scenario, repetition: int) -> dict[str, Figures]:
        """Measure all contestants of a scenario once; one whose process fails is left out, and said so."""
        baseline = self._baseline(scenario, repetition)
        figures = {BASELINE: baseline.figures}
        for name in scenario.contestants:
            try:
                recording = self._record(name, scenario)
            except SessionFailedError as error:
                _say(f"{name} failed in {scenario.name}: {error}")
            else:
                figures[name] = figures_of(recording, baseline, CONTESTANTS[name], scenario)
                _say_what_failed(recording, CONTESTANTS[name])
        return figures

    def _baseline(self, scenario: Scenario, repetition: int) -> Baseline:
        key = (scenario.runs, scenario.start_rate, repetition)
        if key not in self._baselines:
            self._baselines[key] = Baseline(self._record(BASELINE, scenario.idle), scenario.runs)
        return self._baselines[key]

    def _record(self, contestant: str, scenario: Scenario) -> Recording:
        _say(f"{scenario.name}: {CONTESTANTS[contestant].title}, {scenario.runs:,} runs …")
        self._sessions += 1
        folder = self._folder / f"{self._sessions:03}-{scenario.name}-{contestant}"
        (folder / "logs").mkdir(parents=True)
        write_certificate(folder)
        session = {"contestant": contestant, "scenario": scenario.to_json()}
        (folder / "session.json").write_text(json.dumps(session), encoding="utf-8")
        command = [sys.executable, "-m", "tests.benchmarks.waiting_session", str(folder)]
        with (folder / "triggerer.log").open("wb") as log:
            ended = subprocess.run(
                command, cwd=CHECKOUT, env=_environment(folder), stdout=log, stderr=log, check=False
            )
        if ended.returncode:
            said = (folder / "triggerer.log").read_text(encoding="utf-8").splitlines()
            raise SessionFailedError("\n".join(said[-5:]))
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
    """Give the median of each figure of each contestant."""
    names = dict.fromkeys(name for figures in repetitions for name in figures)
    return {
        name: _median_figures([figures[name] for figures in repetitions if name in figures]) for name in names
    }


def _median_figures(repetitions: Sequence[Figures]) -> Figures:
    summed: Figures = {}
    for figure in dict.fromkeys(name for figures in repetitions for name in figures):
        values = [value for figures in repetitions if (value := figures.get(figure)) is not None]
        summed[figure] = median(values) if values else None
    return summed


def circumstances() -> dict[str, Any]:
    """Say when, with what and on what the figures were measured."""
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
    chosen = []
    for scenario in (SCENARIOS[name] for name in names):
        changes = {
            "runs": options.runs,
            "seconds": options.seconds,
            "contestants": tuple(options.contestants) if options.contestants else None,
        }
        small = quick(scenario) if options.quick else scenario
        chosen.append(replace(small, **{name: value for name, value in changes.items() if value is not None}))
    return chosen


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    modes = "; ".join(f"{scenario.name}: {scenario.summary}" for scenario in SCENARIOS.values())
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waiting", epilog=modes)
    parser.add_argument("--mode", choices=[*SCENARIOS, "all"], default="steady")
    parser.add_argument("--runs", type=int, help="waiting runs (1,000; in 'many' 10,000)")
    parser.add_argument(
        "--seconds", type=float, help="length of the steady window; in 'lives' of the longest life"
    )
    parser.add_argument("--repeat", type=int, default=1, help="repetitions; the table shows medians")
    parser.add_argument(
        "--contestants", nargs="+", choices=[name for name in CONTESTANTS if name != BASELINE]
    )
    parser.add_argument("--quick", action="store_true", help="a small variant, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the recordings in a new folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
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
                written = json.dumps({**circumstances(), "results": results}, indent=2)
                options.json.write_text(written + "\n", encoding="utf-8")
    return 0


def _say_what_failed(recording: Recording, contestant: Contestant) -> None:
    wrong = [event.payload for event in recording.events if event.status != contestant.success]
    if wrong:
        _say(f"  {len(wrong)} waits failed, the first with {wrong[0]}")


def _title(scenario: Scenario, repetitions: int) -> str:
    title = f"{scenario.name}: {scenario.summary}; {scenario.runs:,} runs, every {scenario.poll_interval:g} s"
    return title + (f", medians of {repetitions}" if repetitions > 1 else "")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
