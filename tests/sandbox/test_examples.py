"""The example runs and responses."""

from __future__ import annotations

import pytest

from airflow_provider_openai_run.sandbox import Clock, Sandbox
from airflow_provider_openai_run.sandbox.examples import FEATURES, STATUSES
from tests.sandbox.conftest import Http

#: Statuses of responses where they differ from their script's name.
RESPONSE_STATUSES = {"requires_action": "completed", "expired": "failed"}


@pytest.mark.parametrize("status", STATUSES)
def test_there_is_an_example_run_in_each_status(sandbox: Sandbox, http: Http, status: str) -> None:
    sandbox.seed_examples()
    run = http("GET", f"/v1/threads/thread_{status}/runs/run_{status}").json()
    assert (run["id"], run["status"]) == (f"run_{status}", status)
    messages = http("GET", f"/v1/threads/thread_{status}/messages").json()["data"]
    assert messages[-1]["content"][0]["text"]["value"] == "What is the answer?"


@pytest.mark.parametrize("name", [*STATUSES, *FEATURES])
def test_there_is_an_example_response_of_each_kind(sandbox: Sandbox, http: Http, name: str) -> None:
    sandbox.seed_examples()
    response = http("GET", f"/v1/responses/resp_{name}").json()
    status = RESPONSE_STATUSES.get(name, name if name in STATUSES else "completed")
    assert (response["id"], response["status"]) == (f"resp_{name}", status)


def test_the_examples_are_returned_with_their_status(sandbox: Sandbox) -> None:
    examples = sandbox.seed_examples()
    statuses = {example.run_id: example.status for example in examples}
    assert statuses == sandbox.state()["runs"] | sandbox.state()["responses"]
    assert len(examples) == 2 * len(STATUSES) + len(FEATURES)


def test_an_ended_example_ended_when_it_was_created(sandbox: Sandbox) -> None:
    sandbox.seed_examples()
    run = next(run for run in sandbox.list_runs("thread_completed"))
    assert run["completed_at"] == int(sandbox.clock.now())
    assert run["completed_at"] - run["created_at"] == 3


def test_an_active_example_stays_active_for_30_days() -> None:
    sandbox = Sandbox(clock=Clock.manual(start=1000.0))
    sandbox.seed_examples()
    sandbox.clock.advance(29 * 86_400)
    for name in ("in_progress", "requires_action"):
        assert sandbox.state()["runs"][f"run_{name}"] == name
    sandbox.clock.advance(86_400)
    assert sandbox.state()["runs"]["run_in_progress"] == "expired"


def test_new_runs_are_created_now_after_the_examples(sandbox: Sandbox) -> None:
    sandbox.seed_examples()
    assert sandbox.create_run()["created_at"] == int(sandbox.clock.now())


def test_the_examples_can_be_created_over_http(http: Http) -> None:
    examples = http("POST", "/_sandbox/examples").json()
    assert examples[0] == {
        "script": "completed",
        "status": "completed",
        "run_id": "run_completed",
        "thread_id": "thread_completed",
    }
