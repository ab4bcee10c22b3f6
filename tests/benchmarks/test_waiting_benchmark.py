from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import waiting
from tests.benchmarks.contestants import BASELINE, CONTESTANTS
from tests.benchmarks.scenarios import SCENARIOS, quick
from tests.benchmarks.table import ROWS, table

pytestmark = pytest.mark.benchmark

STEADY = quick(SCENARIOS["steady"])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pytest.importorskip("airflow.triggers.shared_stream", reason="Airflow before 3.3 has another triggerer")
    file: Path = tmp_path_factory.mktemp("benchmark") / "results.json"
    assert waiting.main(["--quick", "--json", str(file)]) == 0
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def figures(results: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    read: dict[str, dict[str, float | None]] = results["results"][0]["figures"]
    return read


def test_each_contestant_was_measured(figures: dict[str, dict[str, float | None]]) -> None:
    assert tuple(figures) == (BASELINE, *STEADY.contestants)


@pytest.mark.parametrize("contestant", STEADY.contestants)
def test_a_contestant_detects_every_end(figures: dict[str, dict[str, float | None]], contestant: str) -> None:
    outcome = {name: figures[contestant][name] for name in ("detected", "failed_waits", "never_detected")}
    assert outcome == {"detected": STEADY.runs, "failed_waits": 0, "never_detected": 0}


@pytest.mark.parametrize("contestant", STEADY.contestants)
def test_no_figure_of_a_contestant_is_missing(
    figures: dict[str, dict[str, float | None]], contestant: str
) -> None:
    assert not [row.figure for row in ROWS if figures[contestant][row.figure] is None]


@pytest.mark.parametrize("contestant", STEADY.contestants)
def test_a_contestant_keeps_its_interval_and_opens_connections(
    figures: dict[str, dict[str, float | None]], contestant: str
) -> None:
    most_polls = 1.2 * STEADY.runs / STEADY.poll_interval
    assert 0 < (figures[contestant]["polls_per_second"] or 0) < most_polls
    assert (figures[contestant]["connections"] or 0) > 0


def test_a_poll_of_the_agent_trigger_is_two_requests(figures: dict[str, dict[str, float | None]]) -> None:
    requests_per_run = {name: figures[name]["requests_per_run"] or 0 for name in STEADY.contestants}
    assert requests_per_run["agent"] > 1.5 * requests_per_run["batch"]


def test_the_table_shows_each_contestant_and_the_ratios(
    figures: dict[str, dict[str, float | None]],
) -> None:
    heading = table("steady", figures).splitlines()[2]
    titles = [CONTESTANTS[name].title for name in STEADY.contestants]
    assert all(title in heading for title in [*titles, "batch/ours", "agent/ours", "ours/bare loop"])


def test_the_results_say_when_and_with_what_they_were_measured(results: dict[str, Any]) -> None:
    assert results["date"].endswith("UTC")
    assert {"apache-airflow", "openai", "aiohttp", "python"} <= results["versions"].keys()
