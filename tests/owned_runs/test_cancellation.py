"""Which ends of a task cancel its run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from airflow.models.trigger import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_openai_run.cancellation import CancelReason
from airflow_provider_openai_run.exceptions import (
    OpenAIRunError,
    RunCancelledError,
    RunStalledError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIOwnedRunTrigger, OpenAIRunTrigger
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import StateStore, TaskAttempts, bodies, watched
from tests.task_log import TaskLog


@pytest.fixture
def endless(sandbox: Sandbox) -> Sandbox:
    sandbox.set_default_script("in_progress")
    return sandbox


def response_task(**arguments: Any) -> OpenAICreateResponseOperator:
    options = {"model": "gpt-5.2", "input": "Hi", "deferrable": True, **arguments}
    return OpenAICreateResponseOperator(task_id="task", **options)


def statuses(sandbox: Sandbox) -> set[str]:
    return set(sandbox.state()["responses"].values()) | set(sandbox.state()["runs"].values())


@pytest.mark.parametrize(("cancel_on_kill", "status"), [(True, "cancelled"), (False, "queued")])
def test_killing_the_worker_cancels_the_run_if_allowed(
    endless: Sandbox, cancel_on_kill: bool, status: str
) -> None:
    task = response_task(cancel_on_kill=cancel_on_kill)
    TaskAttempts(task).begin()
    task.on_kill()
    assert statuses(endless) == {status}


def test_ending_the_task_while_deferred_cancels_the_run(endless: Sandbox) -> None:
    trigger = watched(TaskAttempts(response_task()).begin())
    assert isinstance(trigger, OpenAIOwnedRunTrigger)
    asyncio.run(trigger.on_kill())
    assert statuses(endless) == {"cancelled"}


def test_without_cancel_on_kill_the_trigger_never_cancels(endless: Sandbox) -> None:
    trigger = watched(TaskAttempts(response_task(cancel_on_kill=False)).begin())
    assert type(trigger) is OpenAIRunTrigger
    assert "on_kill" not in vars(OpenAIRunTrigger)
    assert statuses(endless) == {"queued"}


def test_a_run_being_created_when_the_task_is_killed_is_cancelled(
    endless: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = response_task()
    create = task.hook.execute_call

    def killed_meanwhile(*arguments: Any, **options: Any) -> Any:
        made = create(*arguments, **options)
        task.on_kill()
        return made

    monkeypatch.setattr(task.hook, "execute_call", killed_meanwhile)
    with pytest.raises(RunCancelledError):
        TaskAttempts(task).begin()
    assert statuses(endless) == {"cancelled"}


def test_a_task_that_is_killed_as_it_resumes_cancels_its_run(
    endless: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = response_task()
    attempts = TaskAttempts(task)
    deferred = attempts.begin()
    task.kill_guard.watch(None)

    def killed_while_importing(*_: object) -> None:
        task.on_kill()
        raise KeyboardInterrupt

    monkeypatch.setattr(task, "_new_runner", killed_while_importing)
    with pytest.raises(KeyboardInterrupt):
        attempts.resume(deferred, {"run_id": watched(deferred).ref.run_id, "status": "completed"})
    assert statuses(endless) == {"cancelled"}


def test_a_killed_task_creates_no_run(endless: Sandbox) -> None:
    task = response_task()
    task.on_kill()
    with pytest.raises(OpenAIRunError, match="was killed"):
        TaskAttempts(task).begin()
    assert endless.count("POST") == 0


def test_nothing_is_cancelled_when_there_is_no_run(endless: Sandbox) -> None:
    response_task().on_kill()
    assert endless.requests == []


@pytest.mark.parametrize("fault", ["server_error", "wrong_key", "cut"])
def test_a_failed_cancel_is_logged_with_the_run_id_and_not_raised(
    endless: Sandbox, task_log: TaskLog, fault: str
) -> None:
    task = response_task()
    run_id = watched(TaskAttempts(task).begin()).ref.run_id
    endless.faults.add(fault, path="/cancel")
    task.on_kill()
    assert [line for line in task_log.warnings if "Could not cancel" in line and run_id in line]


@pytest.mark.parametrize("http_status", [200, 202, 302, 400, 404, 405, 409, 410, 422, 500, 501, 502])
@pytest.mark.parametrize("is_deferred", [False, True])
def test_cancelling_a_run_that_has_ended_is_logged_as_info(
    sandbox: Sandbox, http_status: int, is_deferred: bool, task_log: TaskLog
) -> None:
    sandbox.set_default_script("completed")
    task = response_task()
    trigger = watched(TaskAttempts(task).begin())
    sandbox.clock.advance(1000)
    sandbox.faults.add("reply", path="/cancel", status=http_status, body={"status": "completed"})
    if is_deferred:
        assert isinstance(trigger, OpenAIOwnedRunTrigger)
        asyncio.run(trigger.on_kill())
    else:
        task.on_kill()
    assert sandbox.count("POST", "/cancel") == 1
    assert [text for text in task_log.texts("info") if "was not cancelled" in text and "completed" in text]
    assert not [text for text in task_log.warnings if "Could not cancel" in text]


@pytest.mark.parametrize("http_status", [400, 409, 422, 501])
def test_a_refused_cancel_of_an_active_run_is_logged_as_failure(
    endless: Sandbox, http_status: int, task_log: TaskLog
) -> None:
    task = response_task()
    TaskAttempts(task).begin()
    endless.faults.add("reply", path="/cancel", status=http_status)
    task.on_kill()
    assert [text for text in task_log.warnings if "Could not cancel" in text]


def test_a_cancel_whose_response_is_malformed_is_checked(endless: Sandbox, task_log: TaskLog) -> None:
    task = response_task()
    TaskAttempts(task).begin()
    endless.faults.add("malformed", path="/cancel")
    task.on_kill()
    assert statuses(endless) == {"cancelled"}
    assert [text for text in task_log.texts("info") if text.startswith("Cancelled run ")]


def timed_out(deferred: TaskDeferred) -> dict[str, Any]:
    ref = watched(deferred).ref
    error = {
        "type": "RunWaitTimeoutError",
        "message": f"Gave up waiting for {ref}.",
        "run_left_running": True,
    }
    return {**ref.ids, "status": "in_progress", "error": error}


@pytest.mark.parametrize(
    ("cancel_on_timeout", "status", "message"),
    [(True, "cancelled", "Cancellation was requested"), (False, "queued", "left as it is")],
)
def test_a_timeout_cancels_the_run_if_allowed(
    endless: Sandbox, cancel_on_timeout: bool, status: str, message: str
) -> None:
    attempts = TaskAttempts(response_task(timeout=5, cancel_on_timeout=cancel_on_timeout))
    deferred = attempts.begin()
    with pytest.raises(RunWaitTimeoutError, match=message) as caught:
        attempts.resume(deferred, timed_out(deferred))
    assert caught.value.run_left_running is not cancel_on_timeout
    assert statuses(endless) == {status}
    assert attempts.pushed.get("cancel_reason") == ("timeout" if cancel_on_timeout else None)
    assert attempts.pushed["token_usage"]["try_number"] == 1


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_stalled_run_is_cancelled_and_a_retry_creates_another(
    endless: Sandbox, fake_clock: FakeClock, deferrable: bool
) -> None:
    task = response_task(stalled_after=60, on_stalled="fail", deferrable=deferrable)
    attempts = TaskAttempts(task)

    def run_to_end() -> None:
        deferred = attempts.begin()
        attempts.resume(deferred, fake_clock.run(only_event(watched(deferred))))

    with pytest.raises(RunStalledError, match="Cancellation was requested") as caught:
        run_to_end()
    assert caught.value.run_left_running is False
    assert statuses(endless) == {"cancelled"}
    assert attempts.pushed["cancel_reason"] == CancelReason.STALLED
    task.deferrable = True
    attempts.begin()
    assert len(bodies(endless, "/responses")) == 2


def test_after_a_timeout_that_cancelled_a_retry_creates_another_run(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=5))
    deferred = attempts.begin()
    with pytest.raises(RunWaitTimeoutError):
        attempts.resume(deferred, timed_out(deferred))
    assert watched(attempts.begin()).ref != watched(deferred).ref


def test_after_a_timeout_that_did_not_a_retry_continues_the_run(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=5, cancel_on_timeout=False))
    deferred = attempts.begin()
    with pytest.raises(RunWaitTimeoutError):
        attempts.resume(deferred, timed_out(deferred))
    assert watched(attempts.begin()).ref == watched(deferred).ref


def test_a_failed_cancel_does_not_hide_the_timeout(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=5))
    deferred = attempts.begin()
    endless.faults.add("server_error", path="/cancel")
    with pytest.raises(RunWaitTimeoutError, match="may still be running") as caught:
        attempts.resume(deferred, timed_out(deferred))
    assert caught.value.run_left_running is True
    assert "cancel_reason" not in attempts.pushed


def test_a_run_that_could_not_be_cancelled_is_cancelled_by_the_next_try(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=5))
    deferred = attempts.begin()
    outage = endless.faults.add("server_error")
    with pytest.raises(RunWaitTimeoutError, match="may still be running"):
        attempts.resume(deferred, timed_out(deferred))
    endless.faults.clear(outage.id)
    given_up = watched(deferred).ref.run_id
    assert endless.state()["responses"][given_up] == "queued"

    created = watched(attempts.begin()).ref.run_id

    assert endless.state()["responses"] == {given_up: "cancelled", created: "queued"}


def test_a_deferral_that_airflow_times_out_cancels_the_run(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=5))
    attempts.begin()
    with pytest.raises(Exception, match="TRIGGER_TIMEOUT"):
        attempts.task.resume_execution(
            TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, attempts.context()
        )
    assert statuses(endless) == {"cancelled"}


def test_a_failed_trigger_cancels_nothing(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=5))
    attempts.begin()
    with pytest.raises(Exception, match="TRIGGER_FAILURE"):
        attempts.task.resume_execution(
            TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_FAILURE}, attempts.context()
        )
    assert statuses(endless) == {"queued"}


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize(("cancel_on_timeout", "status"), [(True, "cancelled"), (False, "queued")])
def test_the_execution_timeout_on_a_worker_is_not_a_kill(
    endless: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    remembers: bool,
    cancel_on_timeout: bool,
    status: str,
) -> None:
    def over(*_: object) -> None:
        raise AirflowTaskTimeout

    task = response_task(deferrable=False, cancel_on_timeout=cancel_on_timeout)
    monkeypatch.setattr(task.hook, "poll_once", over)
    with pytest.raises(AirflowTaskTimeout):
        TaskAttempts(task, store=StateStore() if remembers else None).begin()
    task.on_kill()
    assert statuses(endless) == {status}


def test_the_deadline_is_the_smaller_of_both_timeouts(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=50, execution_timeout=timedelta(seconds=20)))
    first = watched(attempts.begin())
    assert first.options.deadline == pytest.approx(first.options.started_at + 20)


def test_a_run_of_another_task_is_not_cancelled_by_clearing(endless: Sandbox) -> None:
    other = endless.create_run(metadata={"airflow_task": "another", "airflow_clear": "0"})
    task = OpenAICreateRunOperator(
        task_id="task",
        assistant_id="asst_1",
        thread_id=other["thread_id"],
        on_active_run="wait",
        deferrable=True,
    )
    TaskAttempts(task, clears=1).begin()
    assert endless.count("POST") == 0


def test_the_execution_timeout_of_a_deferred_task_is_its_own_reason(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task(timeout=50, execution_timeout=timedelta(seconds=20)))
    deferred = attempts.begin()
    with pytest.raises(RunWaitTimeoutError):
        attempts.resume(deferred, timed_out(deferred))
    assert attempts.pushed["cancel_reason"] == "execution_timeout"


def test_the_reason_is_logged_with_the_run(endless: Sandbox, task_log: TaskLog) -> None:
    attempts = TaskAttempts(response_task(timeout=5))
    deferred = attempts.begin()
    with pytest.raises(RunWaitTimeoutError):
        attempts.resume(deferred, timed_out(deferred))
    line = f"Cancelled {watched(deferred).ref}: {CancelReason.TIMEOUT.description}"
    assert line in task_log.texts("info")


def test_a_cleared_task_does_not_report_the_old_runs_reason(endless: Sandbox) -> None:
    attempts = TaskAttempts(response_task())
    attempts.begin()
    attempts.clears = 1
    attempts.begin()
    assert endless.count("POST", "/cancel") == 1
    assert "cancel_reason" not in attempts.pushed
