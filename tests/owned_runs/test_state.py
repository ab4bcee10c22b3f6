"""The state that a task keeps of its run, between tries and across deferrals."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Context

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.owned_runs.state import Continuation, TaskRunState
from airflow_provider_openai_run.types.run import Run
from tests.owned_runs.task_attempts import StateStore, TaskAttempts

IDENTITY = RunIdentity("dag/run/task/-1", 0)
RUN = run_ref("run_1", thread_id="thread_1")


def context_with(store: StateStore | None) -> Context:
    task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi", retries=2)
    return TaskAttempts(task, store).context()


def test_the_next_try_reads_the_state_and_a_cleared_task_does_not() -> None:
    store = StateStore()
    context = context_with(store)
    TaskRunState(context, IDENTITY).record_created(RUN)
    assert TaskRunState(context, IDENTITY).record.run_id == "run_1"
    cleared = TaskRunState(context, RunIdentity(IDENTITY.task, 1))
    assert cleared.record.run_id is None
    assert cleared.before_clear.run_id == "run_1"
    assert json.loads(json.dumps(store.kept)) == store.kept


def test_without_a_store_nothing_is_durable_and_no_key_repeats() -> None:
    state = TaskRunState(context_with(None), IDENTITY)
    state.record_created(RUN)
    assert not state.is_durable
    assert state.next_idempotency_key() != state.next_idempotency_key()


def test_a_store_that_fails_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    class Broken(StateStore):
        def get(self, key: str, default: object = None) -> object:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

        def set(self, key: str, value: object) -> None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    state = TaskRunState(context_with(Broken()), IDENTITY)
    state.record_created(RUN)
    assert state.record.run_id == "run_1"
    assert len(caplog.records) == 2


def test_a_continuation_reads_back_equal_from_json() -> None:
    continuation = Continuation(
        run_id="run_1", parent_id="t", started_at=5.0, run_ids=("run_1",)
    ).with_answers({"call": True})
    assert Continuation.from_json(json.loads(json.dumps(continuation.to_json()))) == continuation
    assert Continuation.from_json({"run_id": "run_1", "of a later version": 1}).run_id == "run_1"


def test_the_next_round_drops_answers_and_adds_tokens() -> None:
    continuation = Continuation(run_id="resp_1", run_ids=("resp_1",)).with_answers({"call": "x"})
    after = continuation.next_round(Run(id="resp_2"), tokens_used=7)
    assert (after.run_id, after.rounds, after.tokens_used, after.answers) == ("resp_2", 1, 7, {})
    assert after.run_ids == ("resp_1", "resp_2")


def test_the_state_of_version_0_1_0_is_read() -> None:
    stored = {
        "clear": 0,
        "run_id": "run_1",
        "thread_id": "thread_1",
        "spent": 7,
        "round": 2,
        "made": 3,
        "making": True,
        "given_up": ["run_0"],
    }
    record = TaskRunState(context_with(StateStore({"openai_run": stored})), IDENTITY).record
    assert record.ref == RUN
    assert (record.tokens_used, record.rounds, record.created_count) == (7, 2, 3)
    assert (record.is_creating, record.abandoned) == (True, ("run_0",))


def test_the_continuation_of_version_0_1_0_is_read() -> None:
    progress = {
        "run_id": "run_1",
        "thread_id": "thread_1",
        "started_at": 5.0,
        "owned": False,
        "round": 2,
        "spent": 7,
        "made": ["run_1"],
        "answers": {"call_1": True},
    }
    continuation = Continuation.from_json(progress)
    assert (continuation.ref, continuation.is_owned, continuation.started_at) == (RUN, False, 5.0)
    assert (continuation.rounds, continuation.tokens_used) == (2, 7)
    assert (continuation.run_ids, continuation.answers) == (("run_1",), {"call_1": True})


def test_a_response_of_version_0_1_0_has_no_thread() -> None:
    assert Continuation.from_json({"run_id": "resp_1", "thread_id": None}).ref == run_ref("resp_1")
