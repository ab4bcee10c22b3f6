"""A task that resumes after its trigger has kept the response sends no request."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_openai_run.exceptions import RunFailedError
from airflow_provider_openai_run.kept_result import RESULT_KEY
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sandbox.scripts import function_call
from airflow_provider_openai_run.triggers.openai_run import OpenAIRunTrigger
from tests.airflow_task import only_event
from tests.fake_clock import FakeClock
from tests.owned_runs.task_attempts import TaskAttempts, TaskInstance, watched
from tests.test_progress import Task, xcom

__all__ = ["xcom"]


def wait(deferred: Any, fake_clock: FakeClock, task: Task) -> dict[str, Any]:
    """Run the trigger of a deferred task, with the XComs of its task, and return its event."""
    assert isinstance(deferred, TaskDeferred)
    trigger = watched(deferred)
    is_property = isinstance(getattr(OpenAIRunTrigger, "task_instance", None), property)
    setattr(trigger, "_task_instance" if is_property else "task_instance", task)
    return fake_clock.run(only_event(trigger))


def attempts_of(task: Any, xcom: Task) -> TaskAttempts:
    attempts = TaskAttempts(task)
    attempts.pushed = xcom.xcoms
    return attempts


def response_task(**arguments: Any) -> OpenAICreateResponseOperator:
    options = {"model": "gpt-5.2", "input": "Hi", "deferrable": True, **arguments}
    return OpenAICreateResponseOperator(task_id="task", **options)


@pytest.mark.parametrize("store", [True, False])
def test_a_late_worker_needs_no_api(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task, store: bool) -> None:
    sandbox.set_default_script({"base": "completed", "seconds": 30})
    attempts = attempts_of(response_task(store=store), xcom)
    deferred = attempts.begin()
    event = wait(deferred, fake_clock, xcom)
    assert event["is_kept"] is True
    assert set(event) <= {"api", "run_id", "parent_id", "status", "request_id", "is_kept"}
    assert xcom.xcoms[RESULT_KEY]["steps"]
    # The API has forgotten everything by then.
    count = len(sandbox.requests)
    sandbox.reset()
    result = attempts.resume(deferred, event)
    assert result["status"] == "completed"
    assert result["answer"]
    assert result["usage"]["total_tokens"] > 0
    assert (len(sandbox.requests), count > 0) == (0, True)
    assert RESULT_KEY not in xcom.xcoms
    assert attempts.pushed["token_usage"]["total_tokens"] == result["usage"]["total_tokens"]


def test_the_kept_response_is_the_one_of_the_api(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task) -> None:
    sandbox.set_default_script({"base": "completed", "seconds": 30})
    attempts = attempts_of(response_task(), xcom)
    deferred = attempts.begin()
    event = wait(deferred, fake_clock, xcom)
    kept = attempts.resume(deferred, event)
    del event["is_kept"]
    assert attempts.resume(deferred, event) == kept


def test_a_kept_response_that_failed_raises_the_same_error(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task
) -> None:
    sandbox.set_default_script({"base": "failed", "seconds": 30})
    attempts = attempts_of(response_task(), xcom)
    deferred = attempts.begin()
    event = wait(deferred, fake_clock, xcom)
    requests = len(sandbox.requests)
    with pytest.raises(RunFailedError) as kept:
        attempts.resume(deferred, event)
    assert len(sandbox.requests) == requests
    del event["is_kept"]
    with pytest.raises(RunFailedError) as retrieved:
        attempts.resume(deferred, event)
    assert str(kept.value) == str(retrieved.value)
    assert attempts.pushed["last_error"]


def test_tool_calls_are_answered_from_what_is_kept(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task
) -> None:
    call = {"tool_calls": [function_call("get_time", {"city": "Oslo"})]}
    sandbox.set_default_script(
        {"base": "requires_action", "seconds": 30, "steps": [{"type": "tool_calls", "details": call}]}
    )
    tool = {
        "type": "function",
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
    cities = list[str]()

    def get_time(city: str) -> str:
        cities.append(city)
        return "noon"

    task = response_task(tools=[tool], tool_handlers={"get_time": get_time})
    attempts = attempts_of(task, xcom)
    deferred = attempts.begin()
    event = wait(deferred, fake_clock, xcom)
    gets = sandbox.count("GET")
    assert isinstance(attempts.resume(deferred, event), TaskDeferred)
    assert cities == ["Oslo"]
    # One poll of the response that follows.
    assert sandbox.count("GET") == gets + 1


@pytest.mark.parametrize("options", [{"keep_result": False}, {"do_xcom_push": False}])
def test_content_can_be_kept_out_of_xcom(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task, options: dict[str, bool]
) -> None:
    sandbox.set_default_script({"base": "completed", "seconds": 30})
    attempts = attempts_of(response_task(**options), xcom)
    event = wait(attempts.begin(), fake_clock, xcom)
    assert "is_kept" not in event
    assert RESULT_KEY not in xcom.xcoms


def test_a_run_on_a_thread_is_retrieved(sandbox: Sandbox, fake_clock: FakeClock, xcom: Task) -> None:
    sandbox.set_default_script({"base": "completed", "seconds": 30})
    task = OpenAICreateRunOperator(task_id="task", assistant_id="asst_1", thread={}, deferrable=True)
    attempts = attempts_of(task, xcom)
    deferred = attempts.begin()
    event = wait(deferred, fake_clock, xcom)
    assert "is_kept" not in event
    assert attempts.resume(deferred, event)["status"] == "completed"


@pytest.mark.parametrize(
    ("options", "is_kept"),
    [
        ({}, True),
        ({"include_steps": False}, False),
        ({"include_raw": True}, False),
        ({"keep_result": False}, False),
    ],
)
@pytest.mark.parametrize("script", ["completed", "failed"])
def test_the_get_operator_reads_what_is_kept(
    sandbox: Sandbox, fake_clock: FakeClock, xcom: Task, options: Any, is_kept: bool, script: str
) -> None:
    response = sandbox.create_response(script={"base": script, "seconds": 30})
    task = OpenAIGetRunOperator(
        task_id="task", run_id=response["id"], wait_for_completion=True, deferrable=True, **options
    )
    context: Any = {"ti": TaskInstance(task=task, pushed=xcom.xcoms)}
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = wait(deferred.value, fake_clock, xcom)
    assert event.get("is_kept", False) is is_kept
    requests = len(sandbox.requests)
    result = task.execute_complete(context, event, **(deferred.value.kwargs or {}))
    assert result["status"] == script
    assert (len(sandbox.requests) == requests) is is_kept
    assert RESULT_KEY not in xcom.xcoms


PROGRAM = """
import sys
from types import SimpleNamespace
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.types.run import Run

class TaskInstance(SimpleNamespace):
    def xcom_pull(self, *, key, **_):
        return Run(id="resp_1", api="responses", status=STATUS, steps=()).to_xcom()
    def xcom_push(self, key, value):
        pass

task = OpenAICreateResponseOperator(task_id="t", model="m", input="Hi", deferrable=True)
key = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1}
ti = TaskInstance(**key, id="0", try_number=1, max_tries=0, task=task)
event = {"api": "responses", "run_id": "resp_1", "parent_id": None, "status": STATUS, "is_kept": True}
try:
    task.execute_complete({"ti": ti}, event, {"api": "responses", "run_id": "resp_1", "parent_id": None})
except Exception as error:
    assert type(error).__name__ == "RunFailedError", error
assert "openai" not in sys.modules, "the OpenAI SDK was imported"
"""


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_task_that_reads_what_is_kept_does_not_import_the_sdk(status: str) -> None:
    program = PROGRAM.replace("STATUS", repr(status))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
