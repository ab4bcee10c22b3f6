"""The mark by which a task knows its runs, and what it remembers of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.owned_runs.continuation import Continuation
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.owned_runs.state import TaskRunState
from airflow_provider_openai_run.types.run import Run
from tests.owned_runs.task_attempts import StateStore, TaskAttempts

MARK = RunIdentity("dag/run/task/-1", 0)


def new_tries(store: StateStore | None = None, **arguments: Any) -> TaskAttempts:
    task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi", retries=2)
    return TaskAttempts(task, store, **arguments)


def marked(mark: RunIdentity) -> Run:
    return Run(id="run_1", metadata=dict(mark.metadata))


def test_the_mark_is_the_same_for_every_try() -> None:
    marks = {RunIdentity.of(new_tries(tries=number).context()) for number in (1, 2, 3)}
    assert marks == {RunIdentity("dag/manual__1/task/-1", 0)}


def test_the_mark_is_another_after_each_clearing() -> None:
    marks = [RunIdentity.of(new_tries(clears=number).context()) for number in (0, 1, 4)]
    assert [mark.clear for mark in marks] == [0, 1, 4]
    assert len({mark.task for mark in marks}) == 1
    assert not marks[0].is_on(marked(marks[1]))
    assert marks[0].is_of_the_same_task(marked(marks[1]))


def test_a_run_without_metadata_is_nobodys() -> None:
    assert not MARK.is_on(Run(id="run_1"))
    assert not MARK.is_of_the_same_task(Run(id="run_1", metadata={}))


@given(st.text(min_size=1, max_size=600))
def test_the_mark_fits_whatever_a_dag_is_called(name: str) -> None:
    tries = new_tries()
    context = tries.context()
    context["ti"].dag_id = name
    mark = RunIdentity.of(context)
    assert len(mark.task) <= 512
    assert mark.on({"a": "b"}) == {"a": "b", **mark.metadata}


def test_names_that_differ_at_their_end_have_different_marks() -> None:
    marks = set()
    for end in ("a", "b"):
        context = new_tries().context()
        context["ti"].dag_id = "x" * 600 + end
        marks.add(RunIdentity.of(context).task)
    assert len(marks) == 2


def test_each_run_under_a_mark_has_a_key_of_its_own() -> None:
    keys = {MARK.key(0), MARK.key(1), RunIdentity(MARK.task, 1).key(0)}
    assert len(keys) == 3
    assert MARK.key(0) == RunIdentity("dag/run/task/-1", 0).key(0)


def test_what_is_remembered_is_known_to_the_next_try_and_not_after_a_clearing() -> None:
    store = StateStore()
    context = new_tries(store).context()
    TaskRunState(context, MARK).made(run_id="run_1", thread_id=None)
    assert TaskRunState(context, MARK).get("run_id") == "run_1"
    cleared = TaskRunState(context, RunIdentity(MARK.task, 1))
    assert cleared.get("run_id") is None
    assert cleared.before_clear["run_id"] == "run_1"
    assert json.loads(json.dumps(store.kept)) == store.kept


def test_without_a_store_nothing_lasts_and_no_key_repeats() -> None:
    memory = TaskRunState(new_tries(None).context(), MARK)
    memory.made(run_id="run_1")
    assert not memory.lasts
    assert memory.next_key() != memory.next_key()


def test_a_store_that_fails_is_borne_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    class Broken(StateStore):
        def get(self, key: str, default: object = None) -> object:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

        def set(self, key: str, value: object) -> None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    memory = TaskRunState(new_tries(Broken()).context(), MARK)
    memory.made(run_id="run_1")
    assert memory.get("run_id") == "run_1"
    assert len(caplog.records) == 2


def test_progress_reads_back_equal_from_json() -> None:
    progress = Continuation(run_id="run_1", parent_id="t", started_at=5.0, made=("run_1",)).answered(
        "call", True
    )
    assert Continuation.from_json(json.loads(json.dumps(progress.to_json()))) == progress
    assert Continuation.from_json({"run_id": "run_1", "of a later version": 1}).run_id == "run_1"


def test_a_round_forgets_the_answers_and_counts_what_was_spent() -> None:
    progress = Continuation(run_id="resp_1", made=("resp_1",)).answered("call", "x")
    after = progress.on(Run(id="resp_2"), spent=7)
    assert (after.run_id, after.round, after.spent, after.answers) == ("resp_2", 1, 7, {})
    assert after.made == ("resp_1", "resp_2")
