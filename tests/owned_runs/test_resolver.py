"""Finding or creating a run on a thread that the API calls busy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openai_run.exceptions import RunRequestError, ThreadBusyError
from airflow_provider_openai_run.operators.openai_run import OpenAICreateRunOperator
from airflow_provider_openai_run.owned_runs import attempts as attempts_module
from airflow_provider_openai_run.owned_runs import resolver
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, watched

BUSY = {"error": {"message": "Thread thread_1 already has an active run run_1.", "code": None}}


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the delays, and take no time."""
    delays: list[float] = []
    for module in (attempts_module, resolver):
        clock = SimpleNamespace(sleep=delays.append, time=module.time.time)
        monkeypatch.setattr(module, "time", clock)
    return delays


def refuse(sandbox: Sandbox, times: int) -> None:
    sandbox.faults.add("reply", method="POST", path="/runs", times=times, status=400, body=BUSY)


def task_on(thread_id: str, **arguments: Any) -> TaskAttempts:
    task = OpenAICreateRunOperator(
        task_id="task", assistant_id="asst_1", thread_id=thread_id, deferrable=True, **arguments
    )
    return TaskAttempts(task)


@pytest.mark.parametrize("on_active_run", ["wait", "attach"])
def test_a_refused_run_is_created_once_the_thread_is_free(
    sandbox: Sandbox, slept: list[float], on_active_run: str
) -> None:
    thread = sandbox.create_thread()["id"]
    refuse(sandbox, times=2)
    attempts = task_on(thread, on_active_run=on_active_run)
    attempts.begin()
    assert sandbox.count("POST", "/runs") == 3
    assert len(sandbox.state()["runs"]) == 1
    assert slept == [0.5, 1.0]


def test_with_fail_a_refused_run_is_a_busy_thread(sandbox: Sandbox, slept: list[float]) -> None:
    thread = sandbox.create_thread()["id"]
    refuse(sandbox, times=1)
    with pytest.raises(ThreadBusyError, match="already has an active run") as caught:
        task_on(thread).begin()
    assert (caught.value.thread_id, caught.value.http_status) == (thread, 400)
    assert not isinstance(caught.value, AirflowFailException)
    assert slept == []


def test_after_a_refusal_the_active_run_is_attached_once_listed(
    sandbox: Sandbox, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = sandbox.create_thread()["id"]
    refuse(sandbox, times=1)
    attempts = task_on(thread, on_active_run="attach")
    hook = attempts.task.hook
    execute, created = hook.execute_call, list[str]()

    def create_another_first(call: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("retry") is False and not created:
            created.append(sandbox.create_run(thread, script="in_progress")["id"])
        return execute(call, *arguments, **options)

    monkeypatch.setattr(hook, "execute_call", create_another_first)
    deferred = attempts.begin()
    assert watched(deferred).ref.run_id == created[0]
    assert slept == []


def test_a_thread_that_stays_busy_fails_after_several_refusals(sandbox: Sandbox, slept: list[float]) -> None:
    thread = sandbox.create_thread()["id"]
    refuse(sandbox, times=100)
    with pytest.raises(ThreadBusyError):
        task_on(thread, on_active_run="wait").begin()
    assert len(slept) == sandbox.count("POST", "/runs") - 1 == 7


def test_no_refusal_is_waited_out_beyond_the_deadline(sandbox: Sandbox, slept: list[float]) -> None:
    thread = sandbox.create_thread()["id"]
    refuse(sandbox, times=100)
    with pytest.raises(ThreadBusyError):
        task_on(thread, on_active_run="wait", timeout=0.2).begin()
    assert slept == []


def test_another_bad_request_is_not_sent_again(sandbox: Sandbox, slept: list[float]) -> None:
    sandbox.faults.add("reply", method="POST", path="/runs", status=400)
    with pytest.raises(RunRequestError, match="No run was created") as caught:
        task_on(sandbox.create_thread()["id"], on_active_run="wait").begin()
    assert isinstance(caught.value, AirflowFailException)
    assert sandbox.count("POST", "/runs") == 1
    assert slept == []


def test_a_404_of_a_create_says_nothing_of_a_run_id(sandbox: Sandbox) -> None:
    sandbox.faults.add("reply", method="POST", path="/runs", status=404)
    with pytest.raises(RunRequestError, match=r"No run was created.*Check the ids in the request") as caught:
        task_on(sandbox.create_thread()["id"]).begin()
    assert "run_id" not in str(caught.value)
