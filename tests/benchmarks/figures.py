"""The figures of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from airflow_provider_openai_run.polling.backoff import PollBackoff
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.recording import Recording, Window
from tests.benchmarks.scenarios import Scenario

Figures = dict[str, float | None]

SUPERVISOR_CPU, STUB_CPU = "supervisor_cpu_seconds", "stub_cpu_seconds"
LATE_SECONDS = 0.010
DETECTION_SLACK_SECONDS = 1.0


class Baseline:
    """The cost of a runner whose triggers do nothing.

    :param recording: recording of such a runner.
    :param runs: number of its triggers.
    :ivar figures: its own figures.
    """

    def __init__(self, recording: Recording, runs: int) -> None:
        self._runs = runs
        idle = recording.window("idle begins", "idle ends")
        full = recording.window("steady begins", "steady ends")
        start = recording.window("start begins", "steady begins")
        self._rate_empty = recording.cpu_seconds(idle) / idle.seconds
        self._rate_full = recording.cpu_seconds(full) / full.seconds
        self.supervisor_rate = recording.used(SUPERVISOR_CPU, "steady begins", "steady ends") / full.seconds
        self.memory = recording.memory_per_trigger() or 0.0
        self.start_seconds = (recording.cpu_seconds(start) - self.cpu_seconds(recording, start)) / runs
        self.first_seconds = recording.cpu_seconds(recording.window("begin", "idle begins"))
        self.figures: Figures = {
            "cpu_start_ms": 1e3 * self.start_seconds,
            "core_share_percent": 100 * self._rate_full,
            "memory_kb": self.memory / 1e3,
            **_lag_figures("start", recording, start),
            **_lag_figures("steady", recording, full),
            "queued_percent": 100 * recording.queued_seconds(full) / full.seconds,
        }

    def cpu_seconds(self, recording: Recording, window: Window) -> float:
        """Return the CPU seconds that Airflow itself used in a window for the triggers that waited in it."""
        part = min(1.0, recording.mean_waiting(window) / self._runs)
        return window.seconds * (self._rate_empty + part * (self._rate_full - self._rate_empty))


def figures_of(
    recording: Recording, baseline: Baseline, contestant: Contestant, scenario: Scenario
) -> Figures:
    """Return all figures of a contestant in a scenario. The names end in their units."""
    if scenario.has_lifetimes:
        steady = recording.window("start begins", "over")
        whole = [steady]
        figures: Figures = {}
    else:
        steady = recording.window("steady begins", "steady ends")
        whole = [recording.window("start begins", "steady ends"), recording.window("ending begins", "over")]
        figures = {
            **_cpu_figures(recording, baseline, scenario),
            **_memory_figures(recording, baseline),
            **_lag_figures("start", recording, recording.window("start begins", "steady begins")),
        }
    polls = _polls(recording, steady)
    whole_lifetimes = sum(
        recording.cpu_seconds(part) - baseline.cpu_seconds(recording, part) for part in whole
    )
    return {
        **figures,
        **_lag_figures("steady", recording, steady),
        "cpu_whole_life_ms": 1e3 * whole_lifetimes / scenario.runs,
        "core_share_percent": 100 * recording.cpu_seconds(steady) / steady.seconds,
        "queued_percent": 100 * recording.queued_seconds(steady) / steady.seconds,
        "polls_per_second": polls / steady.seconds,
        "log_lines_per_poll": recording.log_lines(steady) / polls if polls else None,
        **_wire_figures(recording, scenario),
        **_detection_figures(recording, contestant, scenario),
    }


def _cpu_figures(recording: Recording, baseline: Baseline, scenario: Scenario) -> Figures:
    """Divide the CPU time among polls and starts.

    The cost of a poll comes from the steady window. The cost of a start is the CPU time while triggers start,
    without that of polls and of Airflow's own work on waiting triggers, but with its own work on starts.
    """
    steady = recording.window("steady begins", "steady ends")
    start = recording.window("start begins", "steady begins")
    polls, starting_polls = _polls(recording, steady), _polls(recording, start)
    spent = recording.cpu_seconds(steady) - baseline.cpu_seconds(recording, steady)
    poll = spent / polls if polls else 0.0
    started = recording.cpu_seconds(start) - baseline.cpu_seconds(recording, start) - starting_polls * poll
    supervising = (
        recording.used(SUPERVISOR_CPU, "steady begins", "steady ends")
        - baseline.supervisor_rate * steady.seconds
    )
    supervising_start = (
        recording.used(SUPERVISOR_CPU, "start begins", "steady begins")
        - baseline.supervisor_rate * start.seconds
    )
    first = recording.cpu_seconds(recording.window("begin", "idle begins"))
    stub = recording.used(STUB_CPU, "steady begins", "steady ends")
    return {
        "cpu_start_ms": 1e3 * started / scenario.runs,
        "cpu_start_beyond_airflow_ms": 1e3 * (started / scenario.runs - baseline.start_seconds),
        "cpu_poll_ms": 1e3 * poll,
        "supervisor_cpu_start_ms": 1e3 * supervising_start / scenario.runs,
        "supervisor_cpu_poll_ms": 1e3 * supervising / polls if polls else None,
        "cpu_first_start_s": first - baseline.first_seconds,
        "core_share_beyond_airflow_percent": 100 * spent / steady.seconds,
        "stub_core_share_percent": 100 * stub / steady.seconds,
    }


def _memory_figures(recording: Recording, baseline: Baseline) -> Figures:
    memory = recording.memory_per_trigger() or 0.0
    return {"memory_kb": memory / 1e3, "memory_beyond_airflow_kb": (memory - baseline.memory) / 1e3}


def _lag_figures(name: str, recording: Recording, window: Window) -> Figures:
    late, own = recording.lateness(window)
    if not late:
        return {}
    return {
        f"lag_{name}_p50_ms": 1e3 * _quantile(late, 0.5),
        f"lag_{name}_p99_ms": 1e3 * _quantile(late, 0.99),
        f"lag_{name}_max_ms": 1e3 * late[-1],
        f"late_{name}_times": sum(seconds > LATE_SECONDS for seconds in late),
        f"own_lag_{name}_p50_ms": 1e3 * _quantile(own, 0.5),
        f"own_lag_{name}_p99_ms": 1e3 * _quantile(own, 0.99),
        f"own_lag_{name}_max_ms": 1e3 * own[-1],
        f"own_late_{name}_times": sum(seconds > LATE_SECONDS for seconds in own),
    }


def _wire_figures(recording: Recording, scenario: Scenario) -> Figures:
    requests = len(recording.requests)
    rejected = sum(request.status == 429 for request in recording.requests)
    failed = sum(request.status not in (200, 429) for request in recording.requests)
    return {
        "connections": recording.connections,
        "most_open_connections": recording.most_open_connections,
        "requests_per_run": requests / scenario.runs,
        "responses_429_percent": 100 * rejected / requests if requests else None,
        "responses_failed_percent": 100 * failed / requests if requests else None,
    }


def _detection_figures(recording: Recording, contestant: Contestant, scenario: Scenario) -> Figures:
    """Compare ends and events. An event before the end or with another status is a failed wait."""
    backoff = PollBackoff(scenario.poll_interval, scenario.longest_interval or scenario.poll_interval)
    delays: dict[int, float] = {}
    failed = set(recording.failed)
    beyond_interval = 0
    for event in recording.events:
        end = recording.ends.get(event.run)
        if event.status != contestant.success or end is None or event.time < end:
            failed.add(event.run)
            continue
        delays[event.run] = event.time - end
        waited = recording.ages[event.run] + end - recording.handed_out[event.run]
        beyond_interval += delays[event.run] > backoff.interval(waited, 0.0) + DETECTION_SLACK_SECONDS
    sorted_delays = sorted(delays.values())
    return {
        "delay_median_s": median(sorted_delays) if sorted_delays else None,
        "delay_p99_s": _quantile(sorted_delays, 0.99) if sorted_delays else None,
        "delay_max_s": sorted_delays[-1] if sorted_delays else None,
        "detected": len(delays),
        "later_than_interval": beyond_interval,
        "failed_waits": len(failed),
        "never_detected": scenario.runs - len(delays.keys() | failed),
    }


def _polls(recording: Recording, window: Window) -> int:
    return sum(request.begins_poll and request.time in window for request in recording.requests)


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[round(part * (len(ordered) - 1))]
