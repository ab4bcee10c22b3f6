"""The table of figures: a row for each figure, a column for each contestant and for each ratio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.figures import Figures


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param label: its label.
    :param figure: name of its figure.
    :param digits: digits after the decimal point.
    :param compared: whether it has ratios.
    """

    label: str
    figure: str
    digits: int = 0
    compared: bool = True


ROWS = (
    Row("CPU to start a waiting run, ms", "cpu_start_ms", 2),
    Row("  beyond Airflow's own", "cpu_start_beyond_airflow_ms", 2),
    Row("  the supervisor's", "supervisor_cpu_start_ms", 2),
    Row("CPU to start the first, s", "cpu_first_start_s", 2, compared=False),
    Row("CPU per poll, ms", "cpu_poll_ms", 3),
    Row("  the supervisor's", "supervisor_cpu_poll_ms", 3),
    Row("CPU for a run's whole lifetime, ms", "cpu_whole_life_ms", 2),
    Row("share of a core, %", "core_share_percent", 1),
    Row("  beyond Airflow's own", "core_share_beyond_airflow_percent", 1),
    Row("memory per waiting run, kB", "memory_kb", 1),
    Row("  beyond Airflow's own", "memory_beyond_airflow_kb", 1),
    Row("loop lag at start: p50, ms", "lag_start_p50_ms", 2, compared=False),
    Row("  p99", "lag_start_p99_ms", 2),
    Row("  most", "lag_start_max_ms", 1),
    Row("  most, own", "own_lag_start_max_ms", 1),
    Row("  times > 10 ms", "late_start_times", compared=False),
    Row("  times > 10 ms, own", "own_late_start_times", compared=False),
    Row("loop lag, steady: p50, ms", "lag_steady_p50_ms", 2, compared=False),
    Row("  p99", "lag_steady_p99_ms", 2),
    Row("  most", "lag_steady_max_ms", 1),
    Row("  most, own", "own_lag_steady_max_ms", 1),
    Row("  times > 10 ms", "late_steady_times", compared=False),
    Row("  times > 10 ms, own", "own_late_steady_times", compared=False),
    Row("queued for a CPU, % of time", "queued_percent", 1, compared=False),
    Row("connections opened", "connections"),
    Row("  most at once", "most_open_connections"),
    Row("requests per run", "requests_per_run", 1),
    Row("polls per second", "polls_per_second", 1, compared=False),
    Row("responses 429, %", "responses_429_percent", 1, compared=False),
    Row("responses failed, %", "responses_failed_percent", 1, compared=False),
    Row("log lines per poll", "log_lines_per_poll", 3, compared=False),
    Row("end detected after: median, s", "delay_median_s", 2),
    Row("  p99", "delay_p99_s", 2),
    Row("  most", "delay_max_s", 2),
    Row("  later than the interval + 1 s", "later_than_interval", compared=False),
    Row("ends detected", "detected", compared=False),
    Row("waits that failed", "failed_waits", compared=False),
    Row("ends never detected", "never_detected", compared=False),
    Row("the stub's share of its core, %", "stub_core_share_percent", 0, compared=False),
)

RATIOS = (("batch", "ours"), ("agent", "ours"), ("ours", "bare"))


def table(title: str, figures: Mapping[str, Figures]) -> str:
    """Return the table as text.

    :param title: its first line.
    :param figures: figures by contestant.
    """
    shown = [name for name in CONTESTANTS if name in figures]
    ratios = [(left, right) for left, right in RATIOS if left in shown and right in shown]
    names = {name: CONTESTANTS[name].title for name in shown}
    headings = [*names.values(), *(f"{names[left]}/{names[right]}" for left, right in ratios)]
    lines = [title, "", f"{'':36}" + "".join(f"{heading:>15}" for heading in headings)]
    for row in ROWS:
        if all(figures[name].get(row.figure) is None for name in shown):
            continue
        cells = [_number(figures[name].get(row.figure), row.digits) for name in shown]
        if row.compared:
            cells += _ratios(row, figures, ratios)
        lines.append(f"{row.label:36}" + "".join(f"{cell:>15}" for cell in cells))
    return "\n".join(lines)


def _ratios(row: Row, figures: Mapping[str, Figures], ratios: list[tuple[str, str]]) -> Iterator[str]:
    for left, right in ratios:
        above, below = figures[left].get(row.figure), figures[right].get(row.figure)
        comparable = above is not None and below is not None and above > 0 and below > 0
        yield (
            _number(above / below, 2 if above < 10 * below else 0) if comparable and above and below else "-"
        )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
