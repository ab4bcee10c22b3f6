"""The operator that retrieves a run: its XComs, its failures and its wait."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_openai_run.exceptions import (
    InvalidRunReferenceError,
    OpenAIRunError,
    RunAuthenticationError,
    RunEndedError,
    RunFailedError,
    RunIncompleteError,
    RunNotFoundError,
    RunRequestError,
    RunRequiresActionError,
    RunWaitTimeoutError,
)
from airflow_provider_openai_run.hooks._run_poll import RunPollHook
from airflow_provider_openai_run.operators.openai_run import OpenAIGetRunOperator
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES, Run
from tests.airflow_task import TriggerFailureReason
from tests.fake_clock import FakeClock
from tests.operators.conftest import MakeGetRun
from tests.sandbox_fixtures import Connect
from tests.task_log import TaskLog

MODES = {"holding a worker": False, "deferred": True}


@pytest.fixture(params=MODES)
def deferrable(request: pytest.FixtureRequest) -> bool:
    return MODES[request.param]


def ended_run(sandbox: Sandbox, script: Any = "completed", **params: Any) -> dict[str, Any]:
    run = sandbox.create_run(script=script, **params)
    sandbox.clock.advance(10)
    return run


def test_each_attribute_has_a_key_and_all_are_the_return_value(
    sandbox: Sandbox, make_get_run: MakeGetRun
) -> None:
    run = ended_run(sandbox, "many_steps", metadata={"k": "v"}, instructions="Be brief.")
    end = make_get_run(run).run_to_end()
    assert end.state == "success"
    assert set(DOCUMENTED_ATTRIBUTES) | {"return_value"} <= set(end.xcoms)
    attributes = end.xcoms["return_value"]
    assert {name: end.xcoms[name] for name in attributes} == attributes
    assert (attributes["id"], attributes["thread_id"]) == (run["id"], run["thread_id"])
    assert (attributes["status"], attributes["object"]) == ("completed", "thread.run")
    assert (attributes["metadata"], attributes["instructions"]) == ({"k": "v"}, "Be brief.")
    assert attributes["usage"]["total_tokens"] == 45 * 150
    assert len(attributes["steps"]) == 45
    assert json.loads(attributes["steps"][0]["details"])["type"] == "tool_calls"


def test_the_return_value_can_be_read_back_as_a_run(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    end = make_get_run(ended_run(sandbox)).run_to_end()
    read = Run.from_xcom(json.loads(json.dumps(end.xcoms["return_value"])))
    assert read.to_xcom() == end.xcoms["return_value"]


def test_a_response_is_pushed_under_the_same_keys(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    response = sandbox.create_response(script="completed")
    sandbox.clock.advance(10)
    end = make_get_run({"id": response["id"]}).run_to_end()
    assert set(DOCUMENTED_ATTRIBUTES) <= set(end.xcoms)
    assert (end.xcoms["thread_id"], end.xcoms["usage"]["prompt_tokens"]) == (None, 240)


@pytest.mark.parametrize(
    "script", ["failed", "expired", "cancelled", "incomplete", "in_progress", "requires_action"]
)
def test_a_run_is_returned_in_any_status(sandbox: Sandbox, make_get_run: MakeGetRun, script: str) -> None:
    end = make_get_run(ended_run(sandbox, script)).run_to_end()
    assert (end.state, end.xcoms["status"]) == ("success", script)


def test_the_steps_can_be_left_out(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    end = make_get_run(ended_run(sandbox), include_steps=False).run_to_end()
    assert end.xcoms["steps"] is None
    assert sandbox.count(path="/steps") == 0


def test_the_json_of_the_api_can_be_pushed_too(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    run = ended_run(sandbox)
    assert "raw" not in make_get_run(run).run_to_end().xcoms
    assert make_get_run(run, include_raw=True).run_to_end().xcoms["raw"]["tool_resources"] == {}


def test_without_multiple_outputs_there_is_one_xcom(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    end = make_get_run(ended_run(sandbox), multiple_outputs=False).run_to_end()
    assert list(end.xcoms) == ["return_value"]


@pytest.mark.parametrize("options", [{}, {"fail_on_unsuccessful": True}])
@pytest.mark.parametrize("script", ["completed", "failed"])
def test_nothing_is_pushed_without_do_xcom_push(
    sandbox: Sandbox, make_get_run: MakeGetRun, options: dict[str, Any], script: str
) -> None:
    assert make_get_run(ended_run(sandbox, script), do_xcom_push=False, **options).run_to_end().xcoms == {}


def test_a_failed_run_fails_the_task_after_its_xcoms(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    end = make_get_run(ended_run(sandbox, "failed"), fail_on_unsuccessful=True).run_to_end()
    assert end.state == "failed"
    assert isinstance(end.error, RunFailedError)
    assert set(DOCUMENTED_ATTRIBUTES) | {"return_value"} <= set(end.xcoms)
    failing = end.xcoms["steps"][-1]
    for words in ("server_error", "Sorry, something went wrong", failing["id"], "message_creation"):
        assert words in str(end.error)
    assert end.error.code == "server_error"


def test_without_multiple_outputs_a_failure_has_one_xcom(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    end = make_get_run(
        ended_run(sandbox, "failed"), fail_on_unsuccessful=True, multiple_outputs=False
    ).run_to_end()
    assert list(end.xcoms) == ["return_value"]


@pytest.mark.parametrize("script", ["failed", "expired", "cancelled", "incomplete"])
@pytest.mark.parametrize("wait_for_completion", [False, True])
def test_an_unsuccessful_run_is_not_retried(
    sandbox: Sandbox, make_get_run: MakeGetRun, script: str, wait_for_completion: bool
) -> None:
    end = make_get_run(
        ended_run(sandbox, script), fail_on_unsuccessful=True, wait_for_completion=wait_for_completion
    ).run_to_end()
    assert end.state == "failed"
    assert isinstance(end.error, RunEndedError)
    assert end.error.status == script


def test_an_incomplete_run_names_its_reason(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    end = make_get_run(ended_run(sandbox, "incomplete"), fail_on_unsuccessful=True).run_to_end()
    assert isinstance(end.error, RunIncompleteError)
    assert "max_completion_tokens" in str(end.error)


@pytest.mark.parametrize("script", ["in_progress", "requires_action", "unknown_status"])
def test_a_run_that_has_not_ended_can_be_retried(
    sandbox: Sandbox, make_get_run: MakeGetRun, script: str
) -> None:
    end = make_get_run(ended_run(sandbox, script), fail_on_unsuccessful=True).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, OpenAIRunError)
    assert end.xcoms["status"] in str(end.error)
    assert "wait_for_completion" in str(end.error)


def test_a_successful_run_does_not_fail_the_task(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    assert make_get_run(ended_run(sandbox), fail_on_unsuccessful=True).run_to_end().state == "success"


@pytest.mark.parametrize("script", ["completed", "failed", "cancelled", "expired", "incomplete"])
def test_it_waits_for_the_end_first(
    sandbox: Sandbox, make_get_run: MakeGetRun, deferrable: bool, script: str
) -> None:
    run = sandbox.create_run(script=script)
    end = make_get_run(run, wait_for_completion=True, deferrable=deferrable).run_to_end()
    assert (end.state, end.xcoms["status"]) == ("success", script)
    assert {request.method for request in sandbox.requests} == {"GET"}


def test_it_does_not_defer_for_a_run_that_has_ended(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    attempt = make_get_run(ended_run(sandbox), wait_for_completion=True, deferrable=True).begin()
    assert attempt.state == "success"


def test_it_gives_up_at_its_timeout(
    sandbox: Sandbox, make_get_run: MakeGetRun, fake_clock: FakeClock, deferrable: bool
) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_get_run(
        run, wait_for_completion=True, deferrable=deferrable, timeout=100, poll_interval=30.0
    ).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunWaitTimeoutError)
    for words in (run["id"], "in_progress", "1 minute 40 seconds"):
        assert words in str(end.error)
    assert sandbox.count(path="cancel") == 0


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "limit"),
    [(100, 70, "1 minute 10 seconds, the execution_timeout"), (70, 100, "1 minute 10 seconds, the timeout")],
)
def test_the_smaller_of_timeout_and_execution_timeout_holds(
    sandbox: Sandbox,
    make_get_run: MakeGetRun,
    deferrable: bool,
    timeout: int,
    execution_timeout: int,
    limit: str,
) -> None:
    end = make_get_run(
        sandbox.create_run(script="in_progress"),
        wait_for_completion=True,
        deferrable=deferrable,
        timeout=timedelta(seconds=timeout),
        execution_timeout=timedelta(seconds=execution_timeout),
    ).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunWaitTimeoutError)
    assert limit in str(end.error)


def test_an_execution_timeout_alone_limits_the_wait(
    sandbox: Sandbox, make_get_run: MakeGetRun, deferrable: bool
) -> None:
    run = sandbox.create_run(script="in_progress")
    end = make_get_run(
        run, wait_for_completion=True, deferrable=deferrable, execution_timeout=timedelta(seconds=70)
    ).run_to_end()
    assert isinstance(end.error, RunWaitTimeoutError)
    assert "the execution_timeout" in str(end.error)


def test_airflows_interrupt_of_a_worker_names_run_and_limit(
    sandbox: Sandbox, make_get_run: MakeGetRun, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise AirflowTaskTimeout

    monkeypatch.setattr(RunPollHook, "poll_once", interrupted)
    run = sandbox.create_run(script="in_progress")
    end = make_get_run(
        run, wait_for_completion=True, deferrable=deferrable, execution_timeout=timedelta(seconds=70)
    ).begin()
    assert isinstance(end.error, RunWaitTimeoutError)
    assert run["id"] in str(end.error)
    assert "the execution_timeout" in str(end.error)


@pytest.mark.parametrize(("on_requires_action", "state"), [("return", "success"), ("fail", "up_for_retry")])
def test_a_required_action_is_returned_or_fails_the_task(
    sandbox: Sandbox, make_get_run: MakeGetRun, deferrable: bool, on_requires_action: str, state: str
) -> None:
    end = make_get_run(
        sandbox.create_run(script="requires_action"),
        wait_for_completion=True,
        deferrable=deferrable,
        on_requires_action=on_requires_action,
    ).run_to_end()
    assert end.state == state
    if state == "success":
        assert end.xcoms["status"] == "requires_action"
        assert end.xcoms["required_action"]["submit_tool_outputs"]["tool_calls"]
    else:
        assert isinstance(end.error, RunRequiresActionError)


def test_a_deferral_without_a_timeout_has_none(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    message = make_get_run(sandbox.create_run(), wait_for_completion=True, deferrable=True).begin().message
    assert message.trigger_timeout is None
    assert message.trigger_kwargs["deadline"] is None


def test_a_trigger_that_crashed_fails_the_try(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    task = make_get_run(sandbox.create_run(), wait_for_completion=True, deferrable=True)
    end = task.resume(task.begin(), "__fail__", {"error": TriggerFailureReason.TRIGGER_FAILURE})
    assert end.state == "up_for_retry"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("wrong_key", RunAuthenticationError),
        ("forbidden", RunAuthenticationError),
        ("not_found", RunNotFoundError),
        ("server_error", RunRequestError),
    ],
)
def test_an_error_response_fails_the_try(
    sandbox: Sandbox, make_get_run: MakeGetRun, fault: str, error: type[Exception]
) -> None:
    run = ended_run(sandbox)
    sandbox.faults.add(fault)
    end = make_get_run(run).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, error)
    assert run["id"] in str(end.error)
    assert end.xcoms == {}


def test_a_size_above_the_limit_is_logged(
    sandbox: Sandbox, make_get_run: MakeGetRun, task_log: TaskLog
) -> None:
    run = ended_run(sandbox, "many_steps")
    end = make_get_run(run, xcom_size_warning=10_000).run_to_end()
    size = len(json.dumps(end.xcoms["return_value"]))
    (warning,) = [text for text in task_log.warnings if "xcom_size_warning" in text]
    for words in (f"{size:,} bytes", "10,000", "include_steps=False", "XComObjectStorageBackend"):
        assert words in warning


@pytest.mark.parametrize("options", [{}, {"xcom_size_warning": None}])
def test_no_warning_below_the_limit_or_without_one(
    sandbox: Sandbox, make_get_run: MakeGetRun, task_log: TaskLog, options: dict[str, Any]
) -> None:
    make_get_run(ended_run(sandbox, "many_steps"), **options).run_to_end()
    assert not [text for text in task_log.warnings if "xcom_size_warning" in text]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"run_id": "a b"}, "run_id"),
        ({"thread_id": ""}, "thread_id"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"max_poll_interval": 1}, "max_poll_interval"),
        ({"on_requires_action": "panic"}, "on_requires_action"),
        ({"on_requires_action": "answer"}, "OpenAISubmitToolOutputsOperator"),
        ({"api": "chat"}, "api must be one of"),
        ({"max_consecutive_failures": 0}, "max_consecutive_failures"),
        ({"timeout": -1}, "timeout"),
        ({"xcom_size_warning": -1}, "xcom_size_warning"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        OpenAIGetRunOperator(task_id="details", **{"run_id": "run_1", **arguments})


def test_templates_are_rendered_and_checked_when_the_task_runs(
    sandbox: Sandbox, make_get_run: MakeGetRun
) -> None:
    run = ended_run(sandbox)
    templates = {"id": "{{ params.r }}", "thread_id": "{{ params.t }}"}
    good = make_get_run(templates, params={"r": run["id"], "t": run["thread_id"]}).run_to_end()
    assert good.xcoms["id"] == run["id"]
    sandbox.reset()
    bad = make_get_run(templates, params={"r": "a/b", "t": None}).run_to_end()
    assert isinstance(bad.error, InvalidRunReferenceError)
    assert sandbox.requests == []


def test_the_operator_can_be_mapped_over_run_ids(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    from tests.airflow_task import AirflowTask

    responses = [sandbox.create_response(script=script)["id"] for script in ("completed", "failed")]
    sandbox.clock.advance(10)

    def make() -> Any:
        return OpenAIGetRunOperator.partial(task_id="details").expand(run_id=responses)

    ends = [AirflowTask(make, fake_clock, map_index=index).run_to_end() for index in range(2)]
    assert [end.xcoms["status"] for end in ends] == ["completed", "failed"]
    assert [end.xcoms["id"] for end in ends] == responses


def test_a_missing_key_names_the_connection(
    sandbox: Sandbox, connect: Connect, make_get_run: MakeGetRun
) -> None:
    connect(password=None)
    end = make_get_run(sandbox.create_run()).run_to_end()
    assert isinstance(end.error, RunAuthenticationError)
    assert "openai_default" in str(end.error)


def test_the_key_is_neither_logged_nor_pushed(
    sandbox: Sandbox, make_get_run: MakeGetRun, task_log: TaskLog, deferrable: bool
) -> None:
    run = sandbox.create_run(script="failed")
    task = make_get_run(
        run, wait_for_completion=True, deferrable=deferrable, fail_on_unsuccessful=True, include_raw=True
    )
    end = task.run_to_end()
    for text in (repr(end), str(end.error), task_log.everything()):
        assert sandbox.api_key not in text


def test_a_404_of_the_steps_does_not_say_that_the_run_is_unknown(
    sandbox: Sandbox, make_get_run: MakeGetRun
) -> None:
    run = ended_run(sandbox)
    sandbox.faults.add("reply", path="/steps", status=404, body={"detail": "Not Found"})
    end = make_get_run(run).run_to_end()
    assert end.state == "up_for_retry"
    assert isinstance(end.error, RunRequestError)
    assert not isinstance(end.error, RunNotFoundError)
    assert f"HTTP 404 for the steps of run {run['id']}" in str(end.error)
    assert "The run exists, but its steps were not found" in str(end.error)
    assert "Check run_id" not in str(end.error)


def test_the_error_of_a_failing_step_is_cut_and_masked(sandbox: Sandbox, make_get_run: MakeGetRun) -> None:
    run = sandbox.create_run(script="completed")
    error = {"code": "server_error", "message": f"{sandbox.api_key} boom \ud83d\x00" + "x" * 3_000}
    failed = {"id": run["id"], "status": "failed", "last_error": error}
    sandbox.faults.add(
        "reply", path="/steps", status=200, body={"data": [{**failed, "type": "tool_calls", "id": "step_1"}]}
    )
    sandbox.faults.add("reply", path=run["id"], status=200, body=failed)

    end = make_get_run(run, fail_on_unsuccessful=True).run_to_end()

    message = str(end.error)
    assert (
        "Its failing step is step_1 (tool_calls, failed): server_error: *** boom \ufffd\ufffdxxx" in message
    )
    assert sandbox.api_key not in message
    assert len(message) < 1_500
