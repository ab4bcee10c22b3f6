"""The identity by which a task finds its runs, and the state that it keeps of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.api.registry import run_ref
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.owned_runs.state import Continuation, TaskRunState
from airflow_provider_openai_run.types.run import Run
from tests.owned_runs.task_attempts import StateStore, TaskAttempts

IDENTITY = RunIdentity("dag/run/task/-1", 0)
RUN = run_ref("run_1", thread_id="thread_1")


def new_attempts(store: StateStore | None = None, **arguments: Any) -> TaskAttempts:
    task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi", retries=2)
    return TaskAttempts(task, store, **arguments)


def run_of(identity: RunIdentity) -> Run:
    return Run(id="run_1", metadata=dict(identity.metadata))


def test_the_identity_is_the_same_for_every_try() -> None:
    identities = {RunIdentity.of(new_attempts(tries=number).context()) for number in (1, 2, 3)}
    assert identities == {RunIdentity("dag/manual__1/task/-1", 0)}


def test_the_identity_differs_after_each_clearing() -> None:
    identities = [RunIdentity.of(new_attempts(clears=number).context()) for number in (0, 1, 4)]
    assert [identity.clear_generation for identity in identities] == [0, 1, 4]
    assert len({identity.task for identity in identities}) == 1
    assert not identities[0].matches(run_of(identities[1]))
    assert identities[0].is_same_task(run_of(identities[1]))


def test_a_run_without_metadata_matches_no_task() -> None:
    assert not IDENTITY.matches(Run(id="run_1"))
    assert not IDENTITY.is_same_task(Run(id="run_1", metadata={}))


@given(st.text(min_size=1, max_size=600))
def test_the_identity_fits_into_metadata_for_any_dag_id(name: str) -> None:
    attempts = new_attempts()
    context = attempts.context()
    context["ti"].dag_id = name
    identity = RunIdentity.of(context)
    assert len(identity.task) <= 512
    assert identity.tag({"a": "b"}) == {"a": "b", **identity.metadata}


def test_long_names_that_differ_at_their_end_have_different_tags() -> None:
    identities = set()
    for end in ("a", "b"):
        context = new_attempts().context()
        context["ti"].dag_id = "x" * 600 + end
        identities.add(RunIdentity.of(context).task)
    assert len(identities) == 2


def test_each_run_of_a_task_has_its_own_idempotency_key() -> None:
    keys = {
        IDENTITY.idempotency_key(0),
        IDENTITY.idempotency_key(1),
        RunIdentity(IDENTITY.task, 1).idempotency_key(0),
    }
    assert len(keys) == 3
    assert IDENTITY.idempotency_key(0) == RunIdentity("dag/run/task/-1", 0).idempotency_key(0)


def test_the_next_try_reads_the_state_and_a_cleared_task_does_not() -> None:
    store = StateStore()
    context = new_attempts(store).context()
    TaskRunState(context, IDENTITY).record_created(RUN)
    assert TaskRunState(context, IDENTITY).record.run_id == "run_1"
    cleared = TaskRunState(context, RunIdentity(IDENTITY.task, 1))
    assert cleared.record.run_id is None
    assert cleared.before_clear.run_id == "run_1"
    assert json.loads(json.dumps(store.kept)) == store.kept


def test_without_a_store_nothing_is_durable_and_no_key_repeats() -> None:
    state = TaskRunState(new_attempts(None).context(), IDENTITY)
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

    state = TaskRunState(new_attempts(Broken()).context(), IDENTITY)
    state.record_created(RUN)
    assert state.record.run_id == "run_1"
    assert len(caplog.records) == 2


def test_a_continuation_reads_back_equal_from_json() -> None:
    continuation = Continuation(
        run_id="run_1", parent_id="t", started_at=5.0, run_ids=("run_1",)
    ).with_answer("call", True)
    assert Continuation.from_json(json.loads(json.dumps(continuation.to_json()))) == continuation
    assert Continuation.from_json({"run_id": "run_1", "of a later version": 1}).run_id == "run_1"


def test_the_next_round_drops_answers_and_adds_tokens() -> None:
    continuation = Continuation(run_id="resp_1", run_ids=("resp_1",)).with_answer("call", "x")
    after = continuation.next_round(Run(id="resp_2"), tokens_used=7)
    assert (after.run_id, after.rounds, after.tokens_used, after.answers) == ("resp_2", 1, 7, {})
    assert after.run_ids == ("resp_1", "resp_2")
