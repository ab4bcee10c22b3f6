from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_openai_run.sandbox import Sandbox
from tests.benchmarks import whole_airflow
from tests.benchmarks.loop_lateness import Lateness, LoopLatenessTrigger, read_lateness
from tests.benchmarks.whole_airflow_costs import BASE, OFFICIAL, Cost, Window, cost, table
from tests.benchmarks.whole_airflow_scenarios import SCENARIOS, Load, Scenario, dag_runs
from tests.benchmarks.whole_airflow_tasks import TASKS_PER_DAG_RUN

AVAILABLE = [scenario for scenario in SCENARIOS.values() if scenario.missing() is None]
IDLE = Window(seconds=10.0, cpu={"scheduler": 1.0, "triggerer": 0.5})


def cost_of(total_ms: float) -> Cost:
    return Cost(
        runs=40,
        wall_seconds=61.0,
        ms_per_run={"scheduler": 0.75 * total_ms, "triggerer": 0.25 * total_ms},
        uncertainty_ms=3.2,
        late_ms=None,
        own_late_ms=None,
    )


def cells(costs: dict[str, Cost]) -> dict[str, dict[str, str]]:
    titles = {name: scenario.title for name, scenario in SCENARIOS.items()}
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(titles, costs).splitlines()
    )
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_a_window_is_the_difference_of_two_readings() -> None:
    window = Window.between(100.0, {"scheduler": 7.0}, 104.0, {"scheduler": 9.0})
    assert (window.seconds, window.cpu, window.rate("scheduler")) == (4.0, {"scheduler": 2.0}, 0.5)


def test_the_cost_of_a_run_is_the_cpu_time_beyond_idling_per_run() -> None:
    busy = Window(seconds=20.0, cpu={"scheduler": 12.0, "triggerer": 2.0})
    found = cost(runs=10, wall_seconds=15.0, busy=busy, idle_before=IDLE, idle_after=IDLE)
    assert found.ms_per_run == pytest.approx({"scheduler": 1000.0, "triggerer": 100.0})
    assert found.total_ms == pytest.approx(1100.0)
    assert found.uncertainty_ms == 0.0


def test_the_rate_of_idling_is_the_mean_of_before_and_after() -> None:
    busy = Window(seconds=20.0, cpu={"scheduler": 12.0, "triggerer": 2.0})
    after = Window(seconds=5.0, cpu={"scheduler": 1.0, "triggerer": 0.25})
    found = cost(runs=10, wall_seconds=15.0, busy=busy, idle_before=IDLE, idle_after=after)
    assert found.ms_per_run["scheduler"] == pytest.approx(900.0)
    assert found.uncertainty_ms == pytest.approx(100.0)


def test_the_latest_wake_up_counts() -> None:
    lateness = [
        Lateness(at=1.0, seconds=0.2, own_seconds=0.01),
        Lateness(at=2.0, seconds=0.1, own_seconds=0.03),
    ]
    found = cost(runs=1, wall_seconds=1.0, busy=IDLE, idle_before=IDLE, idle_after=IDLE, lateness=lateness)
    assert (found.late_ms, found.own_late_ms) == (200.0, 30.0)


def test_records_outside_a_span_and_an_unfinished_line_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "lateness.jsonl"
    file.write_text("[1.0, 0.5, 0.5]\n[2.0, 0.2, 0.1]\n[3.0, 0.3, 0.1]\n[2.5, 0.", encoding="utf-8")
    assert read_lateness(file, 1.5, 2.6) == [Lateness(at=2.0, seconds=0.2, own_seconds=0.1)]


async def test_a_trigger_records_how_late_its_loop_is(tmp_path: Path) -> None:
    file = tmp_path / "lateness.jsonl"
    started = LoopLatenessTrigger(str(file), seconds=0.01)
    classpath, kwargs = started.serialize()
    module, _, name = classpath.rpartition(".")
    assert getattr(import_module(module), name)(**kwargs).serialize() == started.serialize()
    assert [event.payload async for event in started.run()] == [None]
    (record,) = read_lateness(file, 0.0, math.inf)
    assert record.seconds >= 0.0


def test_a_row_shows_the_cost_of_each_component_and_its_ratios() -> None:
    shown = cells({BASE: cost_of(100.0), "sensor": cost_of(250.0), OFFICIAL: cost_of(1000.0)})
    sensor = shown[SCENARIOS["sensor"].title]
    assert {name: sensor[name] for name in ("runs", "all", "scheduler and workers", "triggerer")} == {
        "runs": "40",
        "all": "250",
        "scheduler and workers": "188",
        "triggerer": "62",
    }
    assert sensor["times a task that does nothing"] == "2.50"
    assert sensor["times the official operator"] == "0.25"


def test_what_was_not_measured_has_no_ratio_and_no_column() -> None:
    row = cells({"sensor": cost_of(250.0)})[SCENARIOS["sensor"].title]
    assert row["times the official operator"] == row["times a task that does nothing"] == ""
    assert "database" not in row


def test_the_database_has_a_column_if_it_is_a_process_of_its_own() -> None:
    with_database = replace(cost_of(0.0), ms_per_run={"database": 12.0})
    assert cells({"sensor": with_database})[SCENARIOS["sensor"].title]["database"] == "12"


def test_runs_are_divided_among_dag_runs() -> None:
    assert [dag_runs(runs) for runs in (1, TASKS_PER_DAG_RUN, 4 * TASKS_PER_DAG_RUN)] == [1, 1, 4]


@pytest.mark.parametrize("scenario", AVAILABLE, ids=lambda scenario: scenario.name)
def test_each_scenario_prepares_its_runs(scenario: Scenario, sandbox: Sandbox, tmp_path: Path) -> None:
    load = Load(runs=2 * TASKS_PER_DAG_RUN, seconds=3.0, folder=tmp_path)
    confs = scenario.prepare(sandbox, load)
    assert len(confs) == (1 if scenario.is_one_task else 2)
    assert json.loads(json.dumps(confs)) == confs
    waited_for = [run_id for conf in confs for run_id in conf.get("run_ids", ())]
    assert waited_for == [response["id"] for response in sandbox.list_responses()]


def test_what_cannot_be_measured_is_skipped_with_a_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "the installed version is too old"
    monkeypatch.setitem(SCENARIOS, "noop", replace(SCENARIOS["noop"], missing=lambda: reason))
    plans: list[whole_airflow.Plan] = []

    def measured(plan: whole_airflow.Plan, *_: object) -> dict[str, Cost]:
        plans.append(plan)
        return {"sensor": cost_of(5.0)}

    monkeypatch.setattr(whole_airflow, "measure_all", measured)
    assert whole_airflow.main(["--scenarios", "noop", "sensor"]) == 0
    shown = capsys.readouterr()
    assert f"noop: skipped: {reason}" in shown.err
    assert [scenario.name for scenario in plans[0].scenarios] == ["sensor"]
    assert SCENARIOS["sensor"].title in shown.out


@pytest.mark.benchmark
def test_a_small_measurement_of_a_real_airflow_has_a_row_per_scenario(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "costs.json"
    options = ["--runs", "10", "--seconds", "1", "--idle", "2", "--json", str(file)]
    assert whole_airflow.main(["--scenarios", "noop", "date_time", *options]) == 0
    costs = json.loads(file.read_text(encoding="utf-8"))["costs"]
    assert costs["noop"]["ms_per_run"].keys() == {"scheduler", "api-server", "triggerer", "dag-processor"}
    assert costs["noop"]["runs"] == 10
    assert len(capsys.readouterr().out.splitlines()) == 4
