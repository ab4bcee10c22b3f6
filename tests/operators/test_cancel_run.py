"""The operator that cancels a run: its XCom, its failures and its wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import (
    InvalidRunReferenceError,
    RunRequestError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.operators.openai_run import OpenAICancelRunOperator
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock

MODES = {"holding a worker": False, "deferred": True}


@pytest.fixture(params=MODES)
def deferrable(request: pytest.FixtureRequest) -> bool:
    return MODES[request.param]


@pytest.fixture
def make_cancel_run(sandbox: Sandbox, fake_clock: FakeClock) -> Callable[..., AirflowTask]:
    def make(run: Mapping[str, Any], **options: Any) -> AirflowTask:
        arguments = {"run_id": run["id"], "thread_id": run.get("thread_id"), "deferrable": False, **options}
        return AirflowTask(lambda: OpenAICancelRunOperator(task_id="cancel", **arguments), fake_clock)

    return make


MakeCancelRun = Callable[..., AirflowTask]


def test_a_run_of_a_thread_is_cancelled(sandbox: Sandbox, make_cancel_run: MakeCancelRun) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_cancel_run(run).run_to_end()
    assert end.state == "success"
    assert end.xcoms["return_value"] == {
        "run_id": run["id"],
        "thread_id": run["thread_id"],
        "api": "assistants",
        "status": "cancelling",
    }
    assert sandbox.count(path="cancel") == 1


def test_a_response_is_cancelled(sandbox: Sandbox, make_cancel_run: MakeCancelRun) -> None:
    response = sandbox.create_response(script="in_progress")
    end = make_cancel_run(response).run_to_end()
    assert end.xcoms["return_value"] == {
        "run_id": response["id"],
        "thread_id": None,
        "api": "responses",
        "status": "cancelled",
    }


@pytest.mark.parametrize("script", ["completed", "failed", "cancelled", "expired"])
def test_a_run_that_has_ended_is_a_success(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun, script: str
) -> None:
    run = sandbox.create_run(script=script)
    sandbox.clock.advance(100)
    end = make_cancel_run(run).run_to_end()
    assert (end.state, end.xcoms["return_value"]["status"]) == ("success", script)


@pytest.mark.parametrize("http_status", [200, 202, 302, 400, 404, 405, 409, 410, 422, 500, 501, 502])
def test_a_refusal_is_a_success_if_the_run_has_ended(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun, http_status: int
) -> None:
    response = sandbox.create_response(script="completed")
    sandbox.clock.advance(100)
    sandbox.faults.add("reply", path="/cancel", status=http_status, body={"error": {"message": "No."}})
    end = make_cancel_run(response).run_to_end()
    assert (end.state, end.xcoms["return_value"]["status"]) == ("success", "completed")


@pytest.mark.parametrize("http_status", [302, 400, 401, 404, 409, 422, 429, 500, 501, 503])
def test_a_refused_cancellation_of_an_active_run_fails(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun, http_status: int
) -> None:
    response = sandbox.create_response(script="in_progress")
    sandbox.faults.add("reply", path="/cancel", status=http_status)
    end = make_cancel_run(response).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == http_status


def test_the_refusal_is_raised_if_the_run_cannot_be_retrieved(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun
) -> None:
    response = sandbox.create_response(script="completed")
    sandbox.faults.add("reply", path="/cancel", status=422)
    sandbox.faults.add("reply", method="GET", path="/responses/", status=500)
    end = make_cancel_run(response).run_to_end()
    assert isinstance(end.error, RunRequestError)
    assert end.error.http_status == 422


def test_the_operator_can_wait_for_the_end(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun, deferrable: bool
) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_cancel_run(run, wait_for_completion=True, deferrable=deferrable).run_to_end()
    assert (end.state, end.xcoms["return_value"]["status"]) == ("success", "cancelled")
    assert sandbox.count(path="cancel") == 1


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"timeout": timedelta(seconds=70), "execution_timeout": timedelta(seconds=90)}, "the timeout"),
        ({"timeout": 90, "execution_timeout": timedelta(seconds=70)}, "the execution_timeout"),
    ],
)
def test_the_smaller_of_timeout_and_execution_timeout_holds(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun, deferrable: bool, limits: dict[str, Any], named: str
) -> None:
    run = sandbox.create_run(script="cancelling")
    sandbox.clock.advance(10)
    end = make_cancel_run(run, wait_for_completion=True, deferrable=deferrable, **limits).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunWaitTimeoutError)
    assert f"1 minute 10 seconds, {named}" in str(end.error)


def test_an_event_for_another_run_does_not_end_the_wait(
    sandbox: Sandbox, make_cancel_run: MakeCancelRun
) -> None:
    run = sandbox.create_run(script="cancelling")
    sandbox.clock.advance(10)
    task = make_cancel_run(run, wait_for_completion=True, deferrable=True, timeout=500)
    first = task.begin()
    event = {"run_id": "resp_other", "thread_id": None, "status": "failed"}
    again = task.resume(first, "execute_complete", {**first.message.next_kwargs, "event": event})
    assert (again.state, again.message.trigger_kwargs["run_id"]) == ("deferred", run["id"])
    assert again.message.trigger_kwargs["deadline"] == first.message.trigger_kwargs["deadline"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"timeout": -1}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"max_poll_interval": timedelta(seconds=1)}, "max_poll_interval"),
        ({"max_consecutive_failures": 0}, "max_consecutive_failures"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        OpenAICancelRunOperator(task_id="cancel", run_id="resp_1", **arguments)


@pytest.mark.parametrize("reference", [{"run_id": "a/b"}, {"run_id": "run_1", "api": "chat"}])
def test_a_wrong_reference_is_refused_when_the_dag_is_parsed(reference: dict[str, Any]) -> None:
    with pytest.raises(InvalidRunReferenceError):
        OpenAICancelRunOperator(task_id="cancel", **reference)


def test_execute_works_without_a_task_instance(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    response = sandbox.create_response(script="in_progress")
    result = OpenAICancelRunOperator(task_id="cancel", run_id=response["id"]).execute({})
    assert result["status"] == "cancelled"
