from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import recorded_files
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.figures import Baseline, Figures, figures_of
from tests.benchmarks.recording import Recording
from tests.benchmarks.scenarios import SCENARIOS

RUNS = 10
SCENARIO = replace(SCENARIOS["steady"], runs=RUNS)
MOMENTS = {
    "begin": 0,
    "idle begins": 10,
    "idle ends": 20,
    "start begins": 20,
    "start ends": 25,
    "steady begins": 30,
    "steady ends": 40,
    "ending begins": 41,
    "over": 60,
}
STEADY_POLLS = [(moment, run) for run in range(2, 2 + RUNS) for moment in (30.5, 35.5)]
STARTING_POLLS = [(21.0 + run / 10, run) for run in range(2, 2 + RUNS)]


def write(
    folder: Path,
    *,
    cpu_rates: Sequence[tuple[float, float]],
    memory_per_run: int,
    polls: Sequence[tuple[float, int]] = (),
    events: Sequence[tuple[float, int, dict[str, Any]]] = (),
    ticks: Sequence[tuple[float, float, float]] = ((31.0, 0.0, 0.0),),
    log_moments: Sequence[float] = (),
) -> Recording:
    """Write a recording by hand; ``cpu_rates`` has pairs of (until, CPU seconds per second)."""
    counters = {"supervisor_cpu_seconds": 0.0, "stub_cpu_seconds": 0.0, "epoch_seconds": 0.0}
    marks = {name: {"moment": moment, **counters} for name, moment in MOMENTS.items()}
    numbers = range(1, 2 + RUNS)
    written = {
        "marks": marks,
        "failed": [],
        "handed_out": dict.fromkeys(numbers, 20.0),
        "ends": dict.fromkeys(numbers, 45.0),
        "ages": dict.fromkeys(numbers, 0.0),
    }
    (folder / recorded_files.MARKS).write_text(json.dumps(written))
    stub = {
        "moments": [moment for moment, _ in polls],
        "runs": [run for _, run in polls],
        "begins_poll": [1] * len(polls),
        "statuses": [429, *[200] * (len(polls) - 1)] if polls else [],
        "connections": 3,
        "most_open_connections": 2,
    }
    (folder / recorded_files.STUB_REPORT).write_text(json.dumps(stub))
    (folder / recorded_files.EVENTS).write_text("".join(json.dumps(event) + "\n" for event in events))
    memory = [{"bytes": 5_000_000}, {"bytes": 5_000_000 + RUNS * memory_per_run}]
    (folder / recorded_files.MEMORY).write_text("".join(json.dumps(line) + "\n" for line in memory))
    usage = array("d", (0.0, 0.0))
    for until, rate in cpu_rates:
        usage.extend((until, usage[-1] + rate * (until - usage[-2])))
    (folder / recorded_files.USAGE).write_bytes(usage.tobytes())
    flat = array("d", [value for tick in ((21.0, 0.0, 0.0), *ticks) for value in tick])
    (folder / recorded_files.TICKS).write_bytes(flat.tobytes())
    lines = [{"timestamp": datetime.fromtimestamp(moment, UTC).isoformat()} for moment in log_moments]
    (folder / "triggerer.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Recording(folder)


@pytest.fixture
def baseline(tmp_path: Path) -> Baseline:
    folder = tmp_path / "baseline"
    folder.mkdir()
    # 1 % of a core when empty and 2 % when full; a start costs 5 ms: 50 ms over the 10 s that it takes.
    rates = [(20, 0.01), (30, 0.02 + 0.005), (60, 0.02)]
    return Baseline(write(folder, cpu_rates=rates, memory_per_run=1_000), RUNS)


def figures(folder: Path, baseline: Baseline, **recorded: Any) -> Figures:
    recording = write(folder, **recorded)
    return figures_of(recording, baseline, CONTESTANTS["ours"], SCENARIO)


def test_cpu_is_divided_among_polls_starts_and_airflow_itself(tmp_path: Path, baseline: Baseline) -> None:
    # 20 polls in the steady 10 s use 0.1 s beyond Airflow's 2 %; starting uses 0.25 s, for 10 polls too.
    rates = [(20, 0.01), (30, 0.02 + 0.025), (40, 0.02 + 0.01), (60, 0.02)]
    got = figures(
        tmp_path, baseline, cpu_rates=rates, memory_per_run=1_000, polls=STARTING_POLLS + STEADY_POLLS
    )
    assert got["cpu_poll_ms"] == pytest.approx(5)
    assert got["cpu_start_ms"] == pytest.approx((250 - 10 * 5) / RUNS)
    assert got["cpu_start_beyond_airflow_ms"] == pytest.approx((250 - 10 * 5) / RUNS - 5)
    assert got["core_share_percent"] == pytest.approx(3)


def test_memory_is_told_with_and_without_airflows_own(tmp_path: Path, baseline: Baseline) -> None:
    got = figures(tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=4_500, polls=STEADY_POLLS)
    assert got["memory_kb"] == pytest.approx(4.5)
    assert got["memory_beyond_airflow_kb"] == pytest.approx(3.5)


def test_lateness_while_other_processes_had_the_cpu_is_not_the_loops_own(
    tmp_path: Path, baseline: Baseline
) -> None:
    ticks = [(31.0, 0.001, 0.0), (32.0, 0.050, 0.048), (33.0, 0.020, 0.0)]
    got = figures(
        tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=0, polls=STEADY_POLLS, ticks=ticks
    )
    assert got["lag_steady_max_ms"] == pytest.approx(50)
    assert got["own_lag_steady_max_ms"] == pytest.approx(20)
    assert (got["late_steady_times"], got["own_late_steady_times"]) == (2, 1)


def test_a_loop_held_over_the_end_of_the_window_is_late_in_it(tmp_path: Path, baseline: Baseline) -> None:
    ticks = [(31.0, 0.0, 0.0), (43.0, 11.0, 0.0)]
    got = figures(
        tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=0, polls=STEADY_POLLS, ticks=ticks
    )
    assert got["lag_steady_max_ms"] == pytest.approx(11_000)


def test_a_delay_counts_from_the_end_to_the_event_and_a_wrong_or_early_event_is_a_failed_wait(
    tmp_path: Path, baseline: Baseline
) -> None:
    events = [
        (46.0, 2, {"status": "completed"}),
        (55.0, 3, {"status": "completed"}),
        (46.0, 4, {"status": "failed"}),
        (44.0, 5, {"status": "completed"}),
    ]
    got = figures(
        tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=0, polls=STEADY_POLLS, events=events
    )
    assert got["delay_median_s"] == pytest.approx(5.5)
    assert got["delay_max_s"] == pytest.approx(10)
    counts = (got["detected"], got["failed_waits"], got["never_detected"], got["later_than_interval"])
    assert counts == (2, 2, 6, 1)


def test_requests_answers_and_log_lines_are_counted(tmp_path: Path, baseline: Baseline) -> None:
    got = figures(
        tmp_path,
        baseline,
        cpu_rates=[(60, 0.02)],
        memory_per_run=0,
        polls=STEADY_POLLS,
        log_moments=[5.0, 31.0, 39.0, 41.0],
    )
    assert got["requests_per_run"] == pytest.approx(len(STEADY_POLLS) / RUNS)
    assert got["answers_429_percent"] == pytest.approx(100 / len(STEADY_POLLS))
    assert got["log_lines_per_poll"] == pytest.approx(2 / len(STEADY_POLLS))
    assert (got["connections"], got["most_open_connections"]) == (3, 2)
