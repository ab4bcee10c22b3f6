"""The page of a task with many runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run.run_list_progress import RUN_LIST_PROGRESS_KEY
from airflow_provider_openai_run.run_page.xcom_data import read_xcoms
from tests.browser.hostile import ATTACKS
from tests.json_strategies import json_values, objects_with, quick
from tests.run_page.pages import NOW, ParsedPage, make_task, make_view
from tests.run_page.test_rendering import TEMPLATE_TAGS

PROGRESS: dict[str, Any] = {
    "total": 250,
    "counts": {"completed": 200, "in_progress": 47, "failed": 3},
    "runs": [
        {"run_id": "resp_2", "custom_id": "line-2", "status": "failed", "error": "Sorry.", "at": NOW - 20},
        {"run_id": "resp_1", "custom_id": "line-1", "status": "completed", "at": NOW - 30},
    ],
    "tokens": 12_345,
    "started_at": NOW - 60,
    "polled_at": NOW - 5,
    "estimated_end": NOW + 15,
    "results": "file:///tmp/results",
    "run_url": "https://platform.openai.com/logs/{run_id}",
}


def page_of(progress: Any = PROGRESS, state: str = "deferred", **xcoms: Any) -> ParsedPage:
    task = make_task(state=state, operator="OpenAIRunSensor")
    return ParsedPage(make_view({RUN_LIST_PROGRESS_KEY: progress, **xcoms}, task=task))


def test_the_progress_bar_can_be_read_without_seeing_it() -> None:
    attributes = dict(page_of().attributes)
    assert ("role", "progressbar") in page_of().attributes
    assert (attributes["aria-valuemin"], attributes["aria-valuemax"]) == ("0", "250")
    assert attributes["aria-valuenow"] == "203"
    words = "203 of 250 runs ended: 200 completed, 3 failed, 47 in_progress"
    assert attributes["aria-valuetext"] == words


def test_a_deferred_task_shows_counts_tokens_times_and_results() -> None:
    text = page_of().text
    for part in ("203 of 250 ended", "12,345", "Estimated end", "file:///tmp/results", "1 min 00 s"):
        assert part in text
    for part in ("line-2", "resp_2", "Sorry.", "and 248 runs more"):
        assert part in text
    assert "no status yet" not in text


def test_a_run_leads_to_its_page_in_the_console() -> None:
    links = [link["href"] for link in page_of().links]
    assert "https://platform.openai.com/logs/resp_2" in links


def test_an_ended_task_has_no_estimated_end() -> None:
    progress = {**PROGRESS, "counts": {"completed": 250}, "runs": PROGRESS["runs"][1:]}
    page = page_of(progress, "success", return_value={"counts": {"completed": 250}, "statuses": {}})
    assert "Estimated end" not in page.text
    assert "250 of 250 ended" in page.text
    assert 'class="status success"' in page.html
    assert "55 s" in page.text


def test_columns_without_values_are_left_out() -> None:
    rows = [{"run_id": "resp_1", "status": "completed"}]
    text = page_of({**PROGRESS, "runs": rows}).text
    assert "Custom id" not in text
    assert "Error" not in text


def test_a_failed_task_is_marked() -> None:
    assert 'class="status failure"' in page_of(state="failed").html


@pytest.mark.parametrize("attack", ATTACKS)
def test_content_is_escaped(attack: str) -> None:
    row = {"run_id": attack, "custom_id": attack, "status": attack, "error": attack}
    progress = {**PROGRESS, "counts": {attack: 1}, "runs": [row], "results": attack, "run_url": attack}
    page = page_of(progress)
    assert set(page.tags) <= TEMPLATE_TAGS
    assert page.tags.count("script") == 2
    assert not any((link["href"] or "").startswith(("javascript:", "data:")) for link in page.links)


@quick
@given(json_values | objects_with("total", "counts", "runs", "started_at", "polled_at", "run_url", "tokens"))
def test_any_json_is_shown(progress: Any) -> None:
    page_of(progress)
    page_of({**PROGRESS, "runs": progress, "counts": progress, "started_at": progress})


def test_the_raw_json_has_the_progress() -> None:
    assert read_xcoms({RUN_LIST_PROGRESS_KEY: PROGRESS}).to_json() == {RUN_LIST_PROGRESS_KEY: PROGRESS}
    assert read_xcoms({RUN_LIST_PROGRESS_KEY: json.dumps(PROGRESS)}).run_list is not None
