"""The run that a trigger keeps in XCom until the task resumes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.sdk.execution_time import comms, task_runner

from airflow_provider_openai_run import kept_result, task_xcoms
from airflow_provider_openai_run.exceptions import RunWaitTimeoutError
from airflow_provider_openai_run.kept_result import MAX_CHARACTERS, RESULT_KEY, keep, take
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run, RunStep
from airflow_provider_openai_run.types.run_ref import RunRef
from tests.test_progress import Task, xcom

__all__ = ["xcom"]

REF = RunRef("responses", "resp_1")
RUN = Run(
    id="resp_1",
    api="responses",
    status="completed",
    steps=(RunStep(id="msg_1", type="message", details='{"content": []}'),),
)


def outcome(run: Run | None = RUN, *, ref: RunRef = REF, **fields: Any) -> Outcome:
    return Outcome(ref=ref, run=run, **{"status": "completed", "is_kept": True, **fields})


def test_a_run_is_kept_and_read_back_once(xcom: Task) -> None:
    assert asyncio.run(keep(outcome(), xcom))
    assert take(outcome(), xcom) == RUN
    assert xcom.xcoms == {}
    assert take(outcome(), xcom) is None


class SupervisorOfXComs:
    """Stands in for Airflow's supervisor, for the messages about XComs."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def send(self, msg: Any) -> Any:
        if isinstance(msg, comms.SetXCom):
            self.xcoms[msg.key] = json.loads(json.dumps(msg.value))
        elif isinstance(msg, comms.DeleteXCom):
            assert (msg.dag_id, msg.task_id, msg.run_id, msg.map_index) == ("dag", "task", "manual__1", -1)
            del self.xcoms[msg.key]
        else:
            return comms.XComResult(key=msg.key, value=self.xcoms.get(msg.key))
        return None

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)


def test_airflow_s_own_xcom_keeps_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    if not hasattr(XCom, "aset"):
        pytest.skip("triggers of this Airflow cannot set XComs")
    supervisor = SupervisorOfXComs()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    class Instance(Task):
        def xcom_pull(self, *, key: str, task_ids: str, map_indexes: int | None) -> Any:
            return XCom.get_one(
                key=key, dag_id=self.dag_id, task_id=task_ids, run_id=self.run_id, map_index=map_indexes
            )

    assert asyncio.run(keep(outcome(), Instance()))
    assert list(supervisor.xcoms) == [RESULT_KEY]
    assert take(outcome(), Instance()) == RUN
    assert supervisor.xcoms == {}


@pytest.mark.parametrize(
    "ended",
    [
        outcome(None),
        outcome(ref=RunRef("assistants", "run_1", "thread_1")),
        outcome(error=RunWaitTimeoutError("too late")),
        outcome(Run(id="resp_1", status="completed", instructions="x" * MAX_CHARACTERS)),
    ],
)
def test_what_a_poll_does_not_read_whole_is_not_kept(xcom: Task, ended: Outcome) -> None:
    assert not asyncio.run(keep(ended, xcom))
    assert xcom.xcoms == {}


def test_without_xcoms_in_triggers_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time import xcom

    monkeypatch.setattr(xcom, "XCom", object)
    assert not asyncio.run(keep(outcome(), Task()))


def test_a_backend_that_fails_is_logged(xcom: Task, caplog: pytest.LogCaptureFixture) -> None:
    xcom.error = OSError("the bucket is gone")
    assert not asyncio.run(keep(outcome(), xcom))
    assert [record.levelname for record in caplog.records if "the bucket is gone" in record.message] == [
        "WARNING"
    ]


def test_the_end_of_a_wait_is_not_delayed_for_long(xcom: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_result, "_KEEP_TIMEOUT", 0.0)

    async def scenario() -> bool:
        async with task_xcoms._lock():
            return await keep(outcome(), xcom)

    assert not asyncio.run(scenario())
    assert xcom.xcoms == {}


@pytest.mark.parametrize(
    "value", [None, "text", {}, {**RUN.to_xcom(), "id": "resp_2"}, {**RUN.to_xcom(), "status": "failed"}]
)
def test_a_value_of_another_run_is_ignored(xcom: Task, value: Any) -> None:
    xcom.xcoms[RESULT_KEY] = value
    assert take(outcome(), xcom) is None


def test_an_xcom_that_cannot_be_read_or_deleted_does_not_fail_the_task(
    xcom: Task, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.sdk.execution_time import xcom as module

    asyncio.run(keep(outcome(), xcom))
    monkeypatch.delattr(module.XCom, "delete")
    assert take(outcome(), xcom) == RUN
    monkeypatch.delattr(Task, "xcom_pull")
    assert take(outcome(), xcom) is None
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2


def test_without_the_word_of_the_trigger_nothing_is_read() -> None:
    assert take(outcome(is_kept=False), object()) is None


def test_the_word_crosses_in_the_event() -> None:
    event = outcome().to_event()
    assert json.loads(json.dumps(event))["is_kept"] is True
    assert Outcome.from_event(event, REF).is_kept
    assert "is_kept" not in outcome(is_kept=False).to_event()
