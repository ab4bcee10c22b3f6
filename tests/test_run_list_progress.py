from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run import task_xcoms
from airflow_provider_openai_run.run_list_progress import (
    MAX_ROWS,
    OTHER_STATUSES,
    RUN_LIST_PROGRESS_KEY,
    PushSchedule,
    RunListProgress,
    RunRow,
    estimate_end,
    push,
    push_async,
)
from tests.json_strategies import exactly, json_values, objects_with, quick
from tests.test_progress import Task, xcom

__all__ = ["xcom"]

AT = 1_795_000_000.0
FAILED = RunRow(run_id="resp_2", custom_id="b", status="failed", error="Sorry.", at=AT + 5)
PROGRESS = RunListProgress(
    total=2,
    counts={"completed": 1, "failed": 1},
    rows=(FAILED, RunRow(run_id="resp_1", status="completed", at=AT)),
    tokens=70,
    started_at=AT,
    polled_at=AT + 6,
    results="file:///tmp/results",
    run_url="https://platform.openai.com/logs/{run_id}",
)


def test_it_reads_back_as_it_was() -> None:
    assert RunListProgress.from_xcom(json.loads(json.dumps(PROGRESS.to_xcom()))) == PROGRESS


@quick
@given(json_values | objects_with("total", "counts", "runs", "tokens", "started_at", "results", "run_url"))
def test_any_json_is_read(value: Any) -> None:
    progress = RunListProgress.from_xcom(value)
    assert progress is None or exactly(progress.to_xcom())


def test_failed_runs_come_first_then_active_ones_and_the_table_is_bounded() -> None:
    statuses = ["completed"] * 500 + ["in_progress"] * 100 + ["failed"] * 20
    rows = [RunRow(run_id=f"resp_{index}", status=status) for index, status in enumerate(statuses)]
    given_up = RunRow(run_id="resp_x", status="in_progress", error="404")
    shown: Any = RunListProgress(total=621, counts={}, rows=[*rows, given_up]).to_xcom()["runs"]
    assert [row["status"] for row in shown] == (
        ["failed"] * 20 + ["in_progress"] + ["in_progress"] * 100 + ["completed"] * 79
    )
    assert shown[20] == given_up.to_xcom()
    assert [row["run_id"] for row in shown[:3]] == ["resp_600", "resp_601", "resp_602"]


def test_whatever_a_server_sends_it_is_small_and_can_be_stored() -> None:
    text = "\ud83d\x00 sk-proj-abcdEFGH1234" + "x" * 40_000
    row = RunRow(run_id=text, status=text, custom_id=text, error=text)
    counts = {f"{number}{text}": number for number in range(100)}
    progress = RunListProgress(
        total=1, counts=counts, rows=[row] * 10_000, results=text, run_url=text, tokens=3
    )
    value: Any = progress.to_xcom()
    stored = json.dumps(value, ensure_ascii=False).encode()
    assert len(stored) < 600_000
    assert b"abcdEFGH1234" not in json.dumps(value["runs"][0]["error"]).encode()
    assert b"\\u0000" not in stored
    assert len(value["runs"]) == MAX_ROWS
    assert value["counts"][OTHER_STATUSES] == sum(range(80))


def test_ten_thousand_usual_runs_are_less_than_50_kb() -> None:
    rows = [RunRow(run_id=f"resp_{index:048}", status="completed", at=AT) for index in range(10_000)]
    progress = RunListProgress(total=10_000, counts={"completed": 10_000}, rows=rows)
    assert len(json.dumps(progress.to_xcom())) < 50_000


@pytest.mark.parametrize(
    ("ended", "expected"), [(0, None), (1, AT + 400), (50, AT + 8), (99, AT + 400 / 99), (100, None)]
)
def test_the_end_is_estimated_from_the_runs_that_have_ended(ended: int, expected: float | None) -> None:
    end = estimate_end(AT, AT + 4, ended=ended, total=100)
    assert end == pytest.approx(expected)


def test_it_is_due_at_a_change_every_ten_seconds_and_at_the_end() -> None:
    schedule = PushSchedule()
    times = (0.0, 1.0, 9.9, 10.0, 15.0, 25.0)
    assert [schedule.is_due(at) for at in times] == [True, False, False, True, False, True]
    assert schedule.is_due(25.1, is_last=True)


def test_a_worker_pushes_it() -> None:
    task = Task()
    push(PROGRESS, task)
    assert task.xcoms == {RUN_LIST_PROGRESS_KEY: PROGRESS.to_xcom()}


def test_a_failed_push_on_a_worker_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    push(PROGRESS, Task(error=OSError("the bucket is gone")))
    assert "the bucket is gone" in caplog.text


async def test_the_triggerer_pushes_it(xcom: Task) -> None:
    assert await push_async(PROGRESS, xcom)
    assert xcom.xcoms == {RUN_LIST_PROGRESS_KEY: PROGRESS.to_xcom()}


async def test_a_failed_push_in_the_triggerer_is_logged_and_not_retried(
    xcom: Task, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    xcom.error = OSError("the bucket is gone")
    assert not await push_async(PROGRESS, xcom)
    assert "the bucket is gone" in caplog.text


async def test_the_last_push_does_not_wait_for_other_triggers(xcom: Task) -> None:
    async with vars(task_xcoms)["_lock"]():
        assert await push_async(PROGRESS, xcom, is_last=True)
    assert xcom.xcoms == {}


async def test_an_airflow_without_async_xcom_is_not_pushed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time import xcom

    monkeypatch.setattr(xcom, "XCom", object)
    assert not await push_async(PROGRESS, Task())
