"""The XCom with the tool rounds of a task."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_openai_run.owned_runs.human_form import APPROVE
from airflow_provider_openai_run.owned_runs.rounds import (
    MAX_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    ROUNDS_KEY,
    build_round,
    push_round,
)
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.required_action import PendingCall
from airflow_provider_openai_run.types.run import Run, Usage
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.input_store import InputStore
from tests.owned_runs.task_attempts import TaskAttempts, TaskInstance
from tests.owned_runs.test_human_input import (
    chosen,
    run_task,
    run_until_parked,
    store,  # noqa: F401 - a fixture
)
from tests.owned_runs.test_tool_rounds import BOTH, event_for, of_a_run

RUN = Run(id="resp_1", status="completed", completed_at=1_795_000_000, usage=Usage(total_tokens=12))
CALL = PendingCall(id="call_1", kind="function", name="f", arguments='{"a": 1}')


def task_instance(**pushed: Any) -> Any:
    return TaskInstance(task=None, pushed=pushed)  # type: ignore[arg-type]


@BOTH
def test_each_round_is_pushed_with_its_calls_and_outputs(sandbox: Sandbox, new_task: Any) -> None:
    sandbox.set_default_script("requires_action_twice")
    attempts = TaskAttempts(new_task(sandbox))
    deferred = attempts.begin()
    for _ in range(2):
        sandbox.clock.advance(1.5)
        deferred = attempts.resume(deferred, event_for(deferred))
    first, second = attempts.pushed[ROUNDS_KEY]
    assert [call["name"] for call in first["calls"]] == ["get_time"]
    assert [(call["name"], json.loads(call["arguments"]), call["output"]) for call in second["calls"]] == [
        ("get_weather", {"city": "Oslo"}, '{"weather": "rain in Oslo"}'),
        ("get_weather", {"city": "Lima"}, '{"weather": "rain in Lima"}'),
    ]
    assert {call["by"] for call in first["calls"]} == {"function"}
    assert first["answered_at"] <= second["answered_at"]


def test_the_calls_are_pushed_before_the_task_is_parked(sandbox: Sandbox, store: InputStore) -> None:  # noqa: F811
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(run_task(sandbox))
    run_until_parked(attempts, sandbox)
    run = attempts.pushed[PROGRESS_KEY]["run"]
    assert run["status"] == "requires_action"
    assert run["required_action"]["submit_tool_approval"]["tool_calls"][0]["name"] == "roll"


def test_an_approval_by_a_person_is_pushed(sandbox: Sandbox, store: InputStore) -> None:  # noqa: F811
    sandbox.set_default_script("requires_approval")
    attempts = TaskAttempts(run_task(sandbox))
    attempts.resume(run_until_parked(attempts, sandbox), chosen(APPROVE))
    ((call,),) = [entry["calls"] for entry in attempts.pushed[ROUNDS_KEY]]
    assert (call["approved"], call["by"], call["server_label"]) == (True, "person", "dice")


def test_a_task_without_xcoms_pushes_no_rounds(sandbox: Sandbox) -> None:
    sandbox.set_default_script("requires_action")
    attempts = TaskAttempts(of_a_run(sandbox, do_xcom_push=False))
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    assert isinstance(attempts.resume(deferred, event_for(deferred)), TaskDeferred)
    assert attempts.pushed == {}


def test_the_time_of_the_request_is_that_of_the_run_or_of_its_status() -> None:
    ti = task_instance(**{PROGRESS_KEY: {"statuses": [{"status": "requires_action", "at": 7.5}]}})
    push_round(build_round(RUN, [CALL], {}), ti)
    push_round(build_round(Run(id="run_1"), [CALL], {}), ti)
    assert [entry["requested_at"] for entry in ti.pushed[ROUNDS_KEY]] == [1_795_000_000, 7.5]


def test_credentials_are_masked_and_long_texts_are_cut() -> None:
    output = "the-password-of-the-connection " + "x" * MAX_TEXT_CHARACTERS
    call = PendingCall(id="call_1", kind="function", name="f", arguments="sk-abcdefgh12345678")
    value: Any = build_round(RUN, [call], {"call_1": output}, secrets=["the-password-of-the-connection"])
    shown = value["calls"][0]
    assert shown["arguments"] == "***"
    assert shown["output"].startswith("*** xxx")
    assert len(shown["output"]) == MAX_TEXT_CHARACTERS


def test_the_texts_of_the_oldest_rounds_give_way_in_a_large_xcom() -> None:
    calls = [PendingCall(id=f"call_{n}", kind="function", name="f", arguments="{}") for n in range(10)]
    outputs = {call.id: "x" * MAX_TEXT_CHARACTERS for call in calls}
    ti = task_instance()
    for _ in range(8):
        push_round(build_round(RUN, calls, outputs), ti)
    rounds = ti.pushed[ROUNDS_KEY]
    assert len(json.dumps(rounds)) < MAX_CHARACTERS
    assert [entry.get("left_out", False) for entry in rounds] == [True] * 4 + [False] * 4
    assert "output" not in rounds[0]["calls"][0]
    assert "output" in rounds[-1]["calls"][0]


@pytest.mark.parametrize("before", ["?", {"a": 1}, [None, "?", {"calls": "?"}, {"calls": [1]}]])
def test_an_xcom_of_another_shape_does_not_stop_a_round(before: Any) -> None:
    ti = task_instance(**{ROUNDS_KEY: before, PROGRESS_KEY: before})
    push_round(build_round(Run(id="run_1"), [CALL], {"call_1": "1"}), ti)
    assert ti.pushed[ROUNDS_KEY][-1]["calls"][0]["output"] == "1"


def test_an_xcom_that_cannot_be_set_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(TaskInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            raise RuntimeError("no database")

    with caplog.at_level(logging.WARNING):
        push_round(build_round(RUN, [CALL], {}), Broken(task=None))  # type: ignore[arg-type]
    assert "no database" in caplog.text
