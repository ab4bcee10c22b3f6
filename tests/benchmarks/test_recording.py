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
TIMES = {
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
STEADY_POLLS = [(time, run) for run in range(2, 2 + RUNS) for time in (30.5, 35.5)]
STARTING_POLLS = [(21.0 + run / 10, run) for run in range(2, 2 + RUNS)]


def write(
    folder: Path,
    *,
    cpu_rates: Sequence[tuple[float, float]],
    memory_per_run: int,
    polls: Sequence[tuple[float, int]] = (),
    events: Sequence[tuple[float, int, dict[str, Any]]] = (),
    ticks: Sequence[tuple[float, float, float]] = ((31.0, 0.0, 0.0),),
    log_times: Sequence[float] = (),
) -> Recording:
    """Write a recording by hand; ``cpu_rates`` has pairs of (until, CPU seconds per second)."""
    counters = {"supervisor_cpu_seconds": 0.0, "stub_cpu_seconds": 0.0, "epoch_seconds": 0.0}
    marks = {name: {"time": time, **counters} for name, time in TIMES.items()}
    numbers = range(1, 2 + RUNS)
    document = {
        "marks": marks,
        "failed": [],
        "handed_out": dict.fromkeys(numbers, 20.0),
        "ends": dict.fromkeys(numbers, 45.0),
        "ages": dict.fromkeys(numbers, 0.0),
    }
    (folder / recorded_files.MARKS).write_text(json.dumps(document))
    stub = {
        "times": [time for time, _ in polls],
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
    lines = [{"timestamp": datetime.fromtimestamp(time, UTC).isoformat()} for time in log_times]
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


def test_cpu_is_divided_among_polls_starts_and_airflow(tmp_path: Path, baseline: Baseline) -> None:
    # 20 polls in the steady 10 s use 0.1 s beyond Airflow's 2 %; starting uses 0.25 s, for 10 polls too.
    rates = [(20, 0.01), (30, 0.02 + 0.025), (40, 0.02 + 0.01), (60, 0.02)]
    result = figures(
        tmp_path, baseline, cpu_rates=rates, memory_per_run=1_000, polls=STARTING_POLLS + STEADY_POLLS
    )
    assert result["cpu_poll_ms"] == pytest.approx(5)
    assert result["cpu_start_ms"] == pytest.approx((250 - 10 * 5) / RUNS)
    assert result["cpu_start_beyond_airflow_ms"] == pytest.approx((250 - 10 * 5) / RUNS - 5)
    assert result["core_share_percent"] == pytest.approx(3)


def test_memory_is_reported_with_and_without_airflows_own(tmp_path: Path, baseline: Baseline) -> None:
    result = figures(tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=4_500, polls=STEADY_POLLS)
    assert result["memory_kb"] == pytest.approx(4.5)
    assert result["memory_beyond_airflow_kb"] == pytest.approx(3.5)


def test_lag_while_queued_for_a_cpu_is_not_the_loops_own(tmp_path: Path, baseline: Baseline) -> None:
    ticks = [(31.0, 0.001, 0.0), (32.0, 0.050, 0.048), (33.0, 0.020, 0.0)]
    result = figures(
        tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=0, polls=STEADY_POLLS, ticks=ticks
    )
    assert result["lag_steady_max_ms"] == pytest.approx(50)
    assert result["own_lag_steady_max_ms"] == pytest.approx(20)
    assert (result["late_steady_times"], result["own_late_steady_times"]) == (2, 1)


def test_a_loop_blocked_beyond_the_window_lags_in_it(tmp_path: Path, baseline: Baseline) -> None:
    ticks = [(31.0, 0.0, 0.0), (43.0, 11.0, 0.0)]
    result = figures(
        tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=0, polls=STEADY_POLLS, ticks=ticks
    )
    assert result["lag_steady_max_ms"] == pytest.approx(11_000)


def test_delays_count_to_the_event_and_wrong_events_are_failures(tmp_path: Path, baseline: Baseline) -> None:
    events = [
        (46.0, 2, {"status": "completed"}),
        (55.0, 3, {"status": "completed"}),
        (46.0, 4, {"status": "failed"}),
        (44.0, 5, {"status": "completed"}),
    ]
    result = figures(
        tmp_path, baseline, cpu_rates=[(60, 0.02)], memory_per_run=0, polls=STEADY_POLLS, events=events
    )
    assert result["delay_median_s"] == pytest.approx(5.5)
    assert result["delay_max_s"] == pytest.approx(10)
    counts = (
        result["detected"],
        result["failed_waits"],
        result["never_detected"],
        result["later_than_interval"],
    )
    assert counts == (2, 2, 6, 1)


def test_requests_responses_and_log_lines_are_counted(tmp_path: Path, baseline: Baseline) -> None:
    result = figures(
        tmp_path,
        baseline,
        cpu_rates=[(60, 0.02)],
        memory_per_run=0,
        polls=STEADY_POLLS,
        log_times=[5.0, 31.0, 39.0, 41.0],
    )
    assert result["requests_per_run"] == pytest.approx(len(STEADY_POLLS) / RUNS)
    assert result["responses_429_percent"] == pytest.approx(100 / len(STEADY_POLLS))
    assert result["log_lines_per_poll"] == pytest.approx(2 / len(STEADY_POLLS))
    assert (result["connections"], result["most_open_connections"]) == (3, 2)
