"""The identity by which a task finds its runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.owned_runs.identity import RunIdentity
from airflow_provider_openai_run.types.run import Run
from tests.owned_runs.task_attempts import StateStore, TaskAttempts

IDENTITY = RunIdentity("dag/run/task/-1", 0)


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


def test_each_iteration_of_a_loop_has_an_identity_of_its_own() -> None:
    identities = []
    for region, index in ((1, 0), (1, 1), (2, 1)):
        # From Airflow 3.4 on, a mapped task has a region outside of loops too.
        for in_loop in ({"loop": object()}, {}):
            context: Any = {**new_attempts().context(), **in_loop}
            vars(context["ti"]).update(region_id=UUID(int=region), region_index=index)
            identities.append(RunIdentity.of(context).task)
    assert len(set(identities[::2])) == 3
    assert set(identities[1::2]) == {"dag/manual__1/task/-1"}


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


@pytest.mark.parametrize("metadata", ["{'a': 'b'}", ["a"], 1])
def test_metadata_that_is_not_an_object_is_refused(metadata: Any) -> None:
    with pytest.raises(TypeError, match="metadata must be an object"):
        IDENTITY.tag(metadata)


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
