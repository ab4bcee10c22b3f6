"""The arithmetic of ``whole_airflow``: the cost of a scenario beyond idling, and the table of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.loop_lateness import Lateness

#: The columns of the table: components whose CPU time they show.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "scheduler and workers": ("scheduler",),
    "API server": ("api-server",),
    "triggerer": ("triggerer",),
    "DAG processor": ("dag-processor",),
    "database": ("database",),
}
BASE, OFFICIAL = "noop", "official_response"


@dataclass(frozen=True, kw_only=True)
class Window:
    """A span of time and the CPU time used in it.

    :param seconds: its length.
    :param cpu: CPU time of each component, in seconds.
    """

    seconds: float
    cpu: Mapping[str, float]

    def rate(self, component: str) -> float:
        """Return the CPU time of a component per second."""
        return self.cpu.get(component, 0.0) / self.seconds

    @classmethod
    def between(
        cls, begin: float, before: Mapping[str, float], end: float, after: Mapping[str, float]
    ) -> Window:
        """
        Return the window between two readings.

        :param begin: time of the first, in seconds.
        :param before: CPU time of each component up to then.
        :param end: time of the second.
        :param after: CPU time of each component up to then.
        """
        return cls(seconds=end - begin, cpu={name: after[name] - before[name] for name in after})


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a scenario beyond idling.

    :param runs: number of awaited runs.
    :param wall_seconds: time from the start of its first DAG run to the end of its last.
    :param ms_per_run: CPU time of each component per run, in milliseconds; below 0 if idling cost more.
    :param uncertainty_ms: half the difference that it makes whether the idle rate before or after is
        subtracted, in milliseconds per run.
    :param late_ms: the triggerer's latest wake-up, in milliseconds, None if it was not recorded.
    :param own_late_ms: the same, without the time for which other processes had the CPU.
    """

    runs: int
    wall_seconds: float
    ms_per_run: Mapping[str, float]
    uncertainty_ms: float
    late_ms: float | None
    own_late_ms: float | None

    @property
    def total_ms(self) -> float:
        """CPU time of all components per run, in milliseconds."""
        return sum(self.ms_per_run.values())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "total_ms": self.total_ms}


def cost(
    *,
    runs: int,
    wall_seconds: float,
    busy: Window,
    idle_before: Window,
    idle_after: Window,
    lateness: Sequence[Lateness] = (),
) -> Cost:
    """
    Return what a scenario costs beyond idling at the mean of the rates before and after it.

    :param runs: number of awaited runs.
    :param wall_seconds: time from the start of its first DAG run to the end of its last.
    :param busy: the window in which it ran.
    :param idle_before: a window before it.
    :param idle_after: a window after it.
    :param lateness: how late the triggerer's event loop was in it.
    """

    def idle_rate(component: str) -> float:
        return (idle_before.rate(component) + idle_after.rate(component)) / 2

    idle_change = sum(idle_after.rate(name) - idle_before.rate(name) for name in busy.cpu)
    return Cost(
        runs=runs,
        wall_seconds=wall_seconds,
        ms_per_run={
            name: 1e3 * (seconds - idle_rate(name) * busy.seconds) / runs
            for name, seconds in busy.cpu.items()
        },
        uncertainty_ms=1e3 * abs(idle_change) / 2 * busy.seconds / runs,
        late_ms=max((1e3 * late.seconds for late in lateness), default=None),
        own_late_ms=max((1e3 * late.own_seconds for late in lateness), default=None),
    )


def table(titles: Mapping[str, str], costs: Mapping[str, Cost]) -> str:
    """
    Return the costs as a table in Markdown: a row for each scenario.

    :param titles: title of each scenario.
    :param costs: cost of each scenario that was measured.
    """
    columns = {
        heading: names
        for heading, names in COLUMNS.items()
        if any(name in cost.ms_per_run for cost in costs.values() for name in names)
    }
    headings = [
        "CPU per run, ms",
        "runs",
        "all",
        *columns,
        "times a task that does nothing",
        "times the official operator",
        "± (idling)",
        "wall time, s",
        "loop late at most, ms",
        "… by its own work",
    ]
    rows = [headings, ["---"] * len(headings)]
    for name, one in costs.items():
        rows.append(
            [
                titles[name],
                f"{one.runs:,}",
                f"{one.total_ms:.0f}",
                *(
                    f"{sum(one.ms_per_run.get(part, 0.0) for part in names):.0f}"
                    for names in columns.values()
                ),
                _ratio(one, costs.get(BASE)),
                _ratio(one, costs.get(OFFICIAL)),
                f"{one.uncertainty_ms:.0f}",
                f"{one.wall_seconds:.0f}",
                _rounded(one.late_ms),
                _rounded(one.own_late_ms),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _ratio(one: Cost, other: Cost | None) -> str:
    return f"{one.total_ms / other.total_ms:.2f}" if other is not None and other.total_ms > 0 else ""


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
