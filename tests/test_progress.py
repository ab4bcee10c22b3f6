from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_openai_run import progress, task_xcoms
from airflow_provider_openai_run.exceptions import RunWaitTimeoutError
from airflow_provider_openai_run.polling.policy import PollAgain
from airflow_provider_openai_run.progress import PROGRESS_KEY, build_payload, payload_for, push, push_async
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run, RunError, Usage
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.json_strategies import json_values

AT = 1_795_000_000.0
REF = RunRef("assistants", "run_1", "thread_1")
QUEUED = Run(id="run_1", thread_id="thread_1", model="gpt-5.2", status="queued", instructions="Top secret.")
RUNNING = Run(id="run_1", thread_id="thread_1", model="gpt-5.2", status="in_progress")


def changed(run: Run) -> PollAgain:
    return PollAgain(AT + 5, run=run)


@dataclass
class Task:
    """A task instance, on a worker and in the triggerer."""

    dag_id: str = "dag"
    task_id: str = "task"
    run_id: str = "manual__1"
    map_index: int = -1
    xcoms: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    def xcom_pull(self, *, key: str, task_ids: str, map_indexes: int | None) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)

    def xcom_push(self, key: str, value: Any) -> None:
        if self.error:
            raise self.error
        self.xcoms[key] = value


@pytest.fixture
def xcom(monkeypatch: pytest.MonkeyPatch) -> Task:
    """Where Airflow's XCom of the triggerer keeps what it is given."""
    from airflow.sdk.execution_time import xcom

    task = Task()

    class XCom:
        @staticmethod
        async def aget_one(**key_fields: Any) -> Any:
            return task.xcoms.get(key_fields["key"])

        @staticmethod
        async def aset(key: str, value: Any, **key_fields: Any) -> None:
            assert key_fields == {"dag_id": "dag", "task_id": "task", "run_id": "manual__1", "map_index": -1}
            task.xcom_push(key, value)

        @staticmethod
        def delete(key: str, **key_fields: Any) -> None:
            assert key_fields == {"dag_id": "dag", "task_id": "task", "run_id": "manual__1", "map_index": -1}
            task.xcoms.pop(key, None)

    monkeypatch.setattr(xcom, "XCom", XCom)
    return task


def test_statuses_are_kept_with_their_times() -> None:
    first = build_payload(None, status="queued", at=AT, run=QUEUED)
    then: dict[str, Any] = build_payload(first, status="in_progress", at=AT + 7, run=RUNNING)
    assert then["statuses"] == [{"status": "queued", "at": AT}, {"status": "in_progress", "at": AT + 7}]
    assert (then["run"]["status"], then["polled_at"]) == ("in_progress", AT + 7)


def test_instructions_are_not_pushed() -> None:
    assert "Top secret" not in json.dumps(build_payload(None, status="queued", at=AT, run=QUEUED))


def test_another_run_starts_a_new_history() -> None:
    first = build_payload(None, status="completed", at=AT, run=QUEUED)
    other = build_payload(first, status="queued", at=AT + 7, run=Run(id="run_2", status="queued"))
    assert other["statuses"] == [{"status": "queued", "at": AT + 7}]


def test_an_end_without_the_run_keeps_the_known_attributes() -> None:
    first = build_payload(None, status="queued", at=AT, run=QUEUED)
    end: dict[str, Any] = build_payload(
        first, status="failed", at=AT + 7, reason="Sorry.", request_id="req_1"
    )
    assert (end["run"]["model"], end["run"]["status"]) == ("gpt-5.2", "failed")
    assert (end["reason"], end["request_id"]) == ("Sorry.", "req_1")


@given(json_values)
def test_values_pushed_by_others_are_ignored(before: Any) -> None:
    value: dict[str, Any] = build_payload(before, status="queued", at=AT, run=QUEUED)
    assert value["run"]["id"] == "run_1"
    assert value["statuses"][-1]["status"] == "queued"


def test_the_payload_is_bounded() -> None:
    action: dict[str, Any] = {
        "submit_tool_outputs": {"tool_calls": [{"function": {"arguments": "x" * 50_000}}]}
    }
    value: Any = None
    for number in range(500):
        run = Run(id="run_1", status=f"s{number}" * 1000, required_action=action)
        value = build_payload(value, status=run.status, at=AT + number, run=run, reason="y" * 50_000)
    assert len(json.dumps(value)) < 100_000
    assert "too many" in value["run"]["required_action"]["left_out"]


def test_an_api_key_in_an_error_is_masked() -> None:
    error = RunError(code="invalid", message="Incorrect API key provided: sk-proj-abcdefghijklmnopqrstuvwx.")
    value: dict[str, Any] = build_payload(
        None, status="failed", at=AT, run=Run(id="run_1", status="failed", last_error=error)
    )
    assert "abcdefghijklmnopqrstuvwx" not in json.dumps(value)


def test_usage_is_plain_json() -> None:
    run = Run(id="run_1", status="expired", usage=Usage(total_tokens=7))
    value: dict[str, Any] = build_payload(None, status="expired", at=AT, run=run)
    assert value["run"]["usage"]["total_tokens"] == 7


@pytest.mark.parametrize(
    ("decision", "has_payload"),
    [
        (PollAgain(AT), False),
        (changed(QUEUED), True),
        (Outcome(ref=REF, status="completed"), False),
        (Outcome(ref=REF, status="failed", reason="Sorry."), True),
        (Outcome(ref=REF, status="queued", error=RunWaitTimeoutError("Gave up")), True),
    ],
)
def test_only_changes_and_failures_have_a_payload(decision: Any, has_payload: bool) -> None:
    assert (payload_for(decision, None, AT) is not None) == has_payload


def test_a_worker_extends_the_pushed_history() -> None:
    task = Task()
    push(changed(QUEUED), task)
    push(PollAgain(AT), task)
    push(changed(RUNNING), task)
    assert [entry["status"] for entry in task.xcoms[PROGRESS_KEY]["statuses"]] == ["queued", "in_progress"]


def test_a_failed_push_on_a_worker_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    push(changed(QUEUED), Task(error=OSError("the bucket is gone")))
    assert "the bucket is gone" in caplog.text


async def test_the_triggerer_extends_the_history_of_the_worker(xcom: Task) -> None:
    push(changed(QUEUED), xcom)
    assert await push_async(changed(RUNNING), xcom)
    assert [entry["status"] for entry in xcom.xcoms[PROGRESS_KEY]["statuses"]] == ["queued", "in_progress"]


async def test_a_poll_without_a_change_is_not_pushed(xcom: Task) -> None:
    assert await push_async(PollAgain(AT), xcom)
    assert xcom.xcoms == {}


async def test_a_failed_push_in_the_triggerer_is_logged_and_not_retried(
    xcom: Task, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    xcom.error = OSError("the bucket is gone")
    assert not await push_async(changed(QUEUED), xcom)
    assert "the bucket is gone" in caplog.text


async def test_a_missing_reply_from_airflow_does_not_delay_the_wait(
    xcom: Task, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    replied = asyncio.Event()

    async def never(*_: Any, **__: Any) -> None:
        await replied.wait()

    monkeypatch.setattr(progress, "_write", never)
    monkeypatch.setattr(task_xcoms, "_XCOM_TIMEOUT", 0.0)
    assert not await push_async(changed(QUEUED), xcom)
    assert "no reply" in caplog.text
    replied.set()
    await asyncio.sleep(0)


def write_slowly(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str | None], asyncio.Event]:
    """Return the statuses whose writing has started, and the event that lets it end."""
    replied = asyncio.Event()
    started: list[str | None] = []

    async def slow(_: Any, decision: Any, __: Any) -> None:
        started.append(decision.run.status)
        await replied.wait()

    monkeypatch.setattr(progress, "_write", slow)
    return started, replied


async def test_triggers_push_one_at_a_time_and_an_outcome_never_waits(
    xcom: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, replied = write_slowly(monkeypatch)
    first = asyncio.create_task(push_async(changed(QUEUED), xcom))
    second = asyncio.create_task(push_async(changed(RUNNING), xcom))
    while not started:  # noqa: ASYNC110 - it begins in a thread
        await asyncio.sleep(0.01)
    failed = Outcome(ref=REF, status="failed", run=RUNNING)
    assert await push_async(failed, xcom)
    assert started == ["queued"]
    replied.set()
    assert await first
    assert await second
    assert started == ["queued", "in_progress"]


async def test_an_outcome_that_no_worker_pushes_waits_for_its_turn(
    xcom: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, replied = write_slowly(monkeypatch)
    first = asyncio.create_task(push_async(changed(QUEUED), xcom))
    while not started:  # noqa: ASYNC110 - it begins in a thread
        await asyncio.sleep(0.01)
    ended = Outcome(ref=REF, status="in_progress", run=RUNNING)
    last = asyncio.create_task(push_async(ended, xcom, may_skip=False))
    replied.set()
    assert await first
    assert await last
    assert started == ["queued", "in_progress"]


async def test_an_airflow_without_async_xcom_is_not_pushed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time import xcom

    monkeypatch.setattr(xcom, "XCom", object)
    assert not await push_async(changed(QUEUED), Task())


def test_the_payload_has_the_name_of_the_api() -> None:
    run = Run(id="resp_1", api="responses", status="queued")
    value: dict[str, Any] = build_payload(None, status="queued", at=AT, run=run)
    assert value["run"]["api"] == "responses"
