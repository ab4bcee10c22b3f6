from __future__ import annotations

from tests.benchmarks.figures import Figures
from tests.benchmarks.table import table
from tests.benchmarks.waiting import medians

FIGURES: dict[str, Figures] = {
    "bare": {"cpu_poll_ms": 0.5, "connections": 6, "failed_waits": 0},
    "ours": {"cpu_poll_ms": 0.55, "connections": 8, "failed_waits": 0},
    "agent": {"cpu_poll_ms": 4.4, "connections": 10_000, "failed_waits": 3},
}


def lines(figures: dict[str, Figures]) -> dict[str, list[str]]:
    rows = table("a title", figures).splitlines()[2:]
    return {row[:36].strip(): row[36:].split() for row in rows}


def test_a_cost_is_shown_with_its_ratios() -> None:
    assert lines(FIGURES)["CPU per poll, ms"] == ["0.500", "0.550", "4.400", "8.00", "1.10"]


def test_a_large_ratio_has_no_decimals() -> None:
    assert lines(FIGURES)["connections opened"] == ["6", "8", "10,000", "1,250", "1.33"]


def test_a_count_of_failures_has_no_ratio() -> None:
    assert lines(FIGURES)["waits that failed"] == ["0", "0", "3"]


def test_missing_figures_are_dashes_and_empty_rows_are_left_out() -> None:
    shown = lines({**FIGURES, "bare": {"connections": 6}})
    assert shown["CPU per poll, ms"] == ["-", "0.550", "4.400", "8.00", "-"]
    assert "polls per second" not in shown


def test_repetitions_are_reported_by_their_medians() -> None:
    repetitions: list[dict[str, Figures]] = [{"ours": {"connections": opened}} for opened in (8, 30, 9)]
    assert medians(repetitions) == {"ours": {"connections": 9}}


def test_a_missing_figure_is_the_median_of_the_other_repetitions() -> None:
    repetitions: list[dict[str, Figures]] = [
        {"ours": {"delay_max_s": None}},
        {"ours": {"delay_max_s": 5.0}},
        {},
    ]
    assert medians(repetitions) == {"ours": {"delay_max_s": 5.0}}
