"""The cost of one awaited run to all of Airflow: CPU of every component and its children, beyond idling.

::

    python -m tests.benchmarks.whole_airflow                          # 40 runs of 60 s: about 25 minutes
    python -m tests.benchmarks.whole_airflow --together 1000 --json costs.json
    python -m tests.benchmarks.whole_airflow --scenarios noop sensor --runs 10 --seconds 5 --idle 10

Needs Airflow 3.3 or later, and Linux. A real Airflow (LocalExecutor with 16 workers, Airflow's own
intervals, SQLite unless ``--database postgresql``) and the sandbox run on this machine. First each scenario
runs once with short runs, so that what happens once in a process is not counted. Then each in turn: its runs
are created, its DAG runs are started, and the CPU time of every component with all its children, those that
have ended included, is read before and after. The rate of idling, from a window before and one after, is
subtracted. Meanwhile the benchmark sends no requests to Airflow: it learns the end of a DAG run from the
database.

Compare only figures of the same run of the command, not those of another machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy

from airflow_provider_openai_run.sandbox import Sandbox
from tests.benchmarks.loop_lateness import read_lateness
from tests.benchmarks.process_cpu import CpuMeter
from tests.benchmarks.waiting import CHECKOUT, environment_info
from tests.benchmarks.whole_airflow_costs import Cost, Window, cost, table
from tests.benchmarks.whole_airflow_scenarios import DAG_FILES, SCENARIOS, Load, Scenario, dag_runs
from tests.benchmarks.whole_airflow_tasks import LATENESS_FILE, TASKS_PER_DAG_RUN
from tests.postgres_server import PostgresServer
from tests.system.local_airflow import LocalAirflow

WORKERS = 16
WARM_UP_SECONDS = 1.0
#: What Airflow does after the end of a DAG run belongs to it.
SETTLE_SECONDS = 6.0
#: A scenario may take this much longer than its runs would on their own.
GRACE_SECONDS = 600.0
LOOP_LATENESS = "loop_lateness"

#: Airflow's own defaults, where the configuration of the system tests has shorter intervals.
AIRFLOW_DEFAULTS = {
    "scheduler": {
        "scheduler_idle_sleep_time": "1",
        "job_heartbeat_sec": "5",
        "trigger_timeout_check_interval": "15",
        "parsing_cleanup_interval": "60",
    },
    "triggerer": {"job_heartbeat_sec": "5", "triggerer_health_check_threshold": "30"},
    "core": {"parallelism": str(WORKERS), "max_active_tasks_per_dag": "1000"},
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The scenarios to measure, and their sizes.

    :param scenarios: the scenarios, in order.
    :param runs: runs with a task for each.
    :param together: runs that one task waits for.
    :param seconds: how long each run takes.
    :param idle_seconds: length of a window without tasks.
    """

    scenarios: Sequence[Scenario]
    runs: int
    together: int
    seconds: float
    idle_seconds: float

    def load(self, scenario: Scenario, folder: Path) -> Load:
        """Return what a scenario has to wait for."""
        runs = self.together if scenario.is_one_task else dag_runs(self.runs) * TASKS_PER_DAG_RUN
        return Load(runs=runs, seconds=self.seconds, folder=folder)


class Benchmark:
    """A running Airflow in which scenarios are measured.

    :param airflow: the Airflow.
    :param sandbox: the API.
    :param meter: measures Airflow's components.
    :param database: URL of Airflow's database.
    :param folder: for files of scenarios; it has that of the event loop's lateness too.
    """

    def __init__(
        self, airflow: LocalAirflow, sandbox: Sandbox, meter: CpuMeter, database: str, folder: Path
    ) -> None:
        self._airflow = airflow
        self._sandbox = sandbox
        self._meter = meter
        self._database = sqlalchemy.create_engine(database)
        self._folder = folder

    def __enter__(self) -> Self:
        self._airflow.rest.trigger(LOOP_LATENESS)
        self._airflow.wait_until("the event loop is watched", lateness_path(self._folder).exists)
        return self

    def __exit__(self, *_: object) -> None:
        self._database.dispose()

    def warm_up(self, scenario: Scenario) -> None:
        """Run a scenario once with few short runs."""
        runs = 2 if scenario.is_one_task else TASKS_PER_DAG_RUN
        self._run(scenario, Load(runs=runs, seconds=WARM_UP_SECONDS, folder=self._new_folder()))

    def idle(self, seconds: float) -> Window:
        """Measure for some seconds in which no task runs."""
        time.sleep(SETTLE_SECONDS)
        begin, before = time.time(), self._meter.read()
        time.sleep(seconds)
        return Window.between(begin, before, time.time(), self._meter.read())

    def measure(self, scenario: Scenario, plan: Plan, idle_before: Window) -> tuple[Cost, Window]:
        """Measure a scenario, and return its cost and the idle window after it."""
        load = plan.load(scenario, self._new_folder())
        begin, before = time.time(), self._meter.read()
        wall_seconds = self._run(scenario, load)
        time.sleep(SETTLE_SECONDS)
        end, after = time.time(), self._meter.read()
        idle_after = self.idle(plan.idle_seconds)
        return cost(
            runs=load.runs,
            wall_seconds=wall_seconds,
            busy=Window.between(begin, before, end, after),
            idle_before=idle_before,
            idle_after=idle_after,
            lateness=read_lateness(lateness_path(self._folder), begin, end),
        ), idle_after

    def _run(self, scenario: Scenario, load: Load) -> float:
        """Run a scenario to its end, and return how long it took in seconds."""
        self._sandbox.reset()
        self._sandbox.set_default_script({"base": "completed", "seconds": load.seconds})
        if scenario.is_synchronous:
            self._sandbox.faults.add("slow", method="POST", path="/responses", seconds=load.seconds)
        begin = time.monotonic()
        run_ids = [
            self._airflow.rest.trigger(scenario.name, conf) for conf in scenario.prepare(self._sandbox, load)
        ]
        limit = load.seconds * (1 + load.runs / WORKERS) + GRACE_SECONDS
        self._airflow.wait_until(
            f"the DAG runs of {scenario.name} have succeeded",
            lambda: self._have_succeeded(scenario.name, run_ids),
            limit,
        )
        return time.monotonic() - begin

    def _have_succeeded(self, dag_id: str, run_ids: list[str]) -> bool:
        query = sqlalchemy.text("SELECT run_id, state FROM dag_run WHERE dag_id = :dag_id")
        with self._database.connect() as connection:
            rows = connection.execute(query, {"dag_id": dag_id}).all()
        states: dict[str, str] = {row.run_id: row.state for row in rows}
        if failed := [run_id for run_id in run_ids if states[run_id] == "failed"]:
            tasks = self._airflow.states(dag_id, failed[0])
            task = next(task for task, state in tasks.items() if state == "failed")
            log = self._airflow.rest.log(dag_id, failed[0], task)
            raise AssertionError(f"{dag_id} {failed[0]} failed: {tasks}\n{log}")
        return all(states[run_id] == "success" for run_id in run_ids)

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))


def lateness_path(folder: Path) -> Path:
    """Return the file in which the lateness of the event loop is recorded."""
    return folder / "lateness.jsonl"


@contextmanager
def running_benchmark(
    scenarios: Sequence[Scenario], database: str, say: Callable[[str], None]
) -> Iterator[Benchmark]:
    """
    Start Airflow and the sandbox, and stop them whatever happens.

    :param scenarios: the scenarios whose DAGs are needed.
    :param database: ``sqlite`` or ``postgresql``.
    :param say: called with each line to log.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whole-airflow-")))
        dags = folder / "dags"
        dags.mkdir()
        # A DAG file of a scenario that is missing could not be imported.
        for file in [DAG_FILES / f"{LOOP_LATENESS}.py", *(scenario.dag_file for scenario in scenarios)]:
            shutil.copy(file, dags)
        sandbox = stack.enter_context(Sandbox())
        config = dict(AIRFLOW_DEFAULTS)
        leaders: dict[str, int] = {}
        if database == "postgresql":
            server = stack.enter_context(PostgresServer())
            config["database"] = {"sql_alchemy_conn": server.create_database("airflow")}
            leaders["database"] = server.process_id or 0
        airflow = stack.enter_context(
            LocalAirflow(
                dag_folders=[dags],
                connections={"openai_default": json.loads(sandbox.connection_json())},
                config=config,
                environment={"PYTHONPATH": str(CHECKOUT), LATENESS_FILE: str(lateness_path(folder))},
                announce=say,
            )
        )
        leaders |= {name: component.process_id for name, component in airflow.components.items()}
        meter = stack.enter_context(CpuMeter(leaders))
        airflow.wait_for_dags([LOOP_LATENESS, *(scenario.name for scenario in scenarios)])
        url = config.get("database", {}).get("sql_alchemy_conn", f"sqlite:///{airflow.home}/airflow.db")
        yield stack.enter_context(Benchmark(airflow, sandbox, meter, url, folder))


def measure_all(plan: Plan, database: str, say: Callable[[str], None]) -> dict[str, Cost]:
    """
    Measure the scenarios of a plan, and return their costs by name.

    :param plan: what to measure.
    :param database: ``sqlite`` or ``postgresql``.
    :param say: called with each line to log.
    """
    costs: dict[str, Cost] = {}
    with running_benchmark(plan.scenarios, database, say) as benchmark:
        for scenario in plan.scenarios:
            say(f"{scenario.name}: warming up")
            benchmark.warm_up(scenario)
        idle = benchmark.idle(plan.idle_seconds)
        for scenario in plan.scenarios:
            say(f"{scenario.name}: measuring")
            costs[scenario.name], idle = benchmark.measure(scenario, plan, idle)
            say(f"{scenario.name}: {costs[scenario.name].total_ms:.0f} ms per run")
    return costs


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.whole_airflow")
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument(
        "--runs", type=int, default=40, help=f"runs with a task each, a multiple of {TASKS_PER_DAG_RUN} (40)"
    )
    parser.add_argument("--together", type=int, default=200, help="runs that one task waits for (200)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each run takes (60)")
    parser.add_argument("--idle", type=float, default=60.0, help="length of each idle window in seconds (60)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _arguments(arguments)
    scenarios = []
    for name in options.scenarios:
        if reason := SCENARIOS[name].missing():
            _log(f"{name}: skipped: {reason}")
        else:
            scenarios.append(SCENARIOS[name])
    plan = Plan(
        scenarios=scenarios,
        runs=options.runs,
        together=options.together,
        seconds=options.seconds,
        idle_seconds=options.idle,
    )
    costs = measure_all(plan, options.database, _log)
    titles = {scenario.name: scenario.title for scenario in scenarios}
    sys.stdout.write(table(titles, costs) + "\n")
    if options.json:
        results: dict[str, Any] = {name: one.to_json() for name, one in costs.items()}
        written = json.dumps({**environment_info(), "database": options.database, "costs": results}, indent=2)
        options.json.write_text(written + "\n", encoding="utf-8")
    return 0


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
