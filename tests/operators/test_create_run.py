"""Making runs of the Assistants API, with the real SDK against the sandbox."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from openai.resources.beta.threads import Threads
from openai.resources.beta.threads.runs import Runs
from pydantic import BaseModel

from airflow_provider_openai_run.exceptions import (
    AnswerFormatError,
    RunFailedError,
    RunNotFoundError,
    RunRequestError,
    ThreadBusyError,
)
from airflow_provider_openai_run.operators.openai_run import OpenAICreateRunOperator
from airflow_provider_openai_run.progress import PROGRESS_KEY
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.triggers.openai_run import OpenAIOwnedRunTrigger, OpenAIRunTrigger
from airflow_provider_openai_run.types.run import DOCUMENTED_ATTRIBUTES
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import StateStore, TaskAttempts, bodies, watched

NOT_OF_THE_API = {"self", "thread_id", "stream", "extra_headers", "extra_query", "extra_body", "timeout"}


class Colour(BaseModel):
    name: str
    warm: bool


def operator(**arguments: Any) -> OpenAICreateRunOperator:
    return OpenAICreateRunOperator(task_id="task", **{"assistant_id": "asst_1", **arguments})


def test_every_parameter_of_the_api_is_an_argument_and_templated() -> None:
    known = {
        *inspect.signature(Runs.create).parameters,
        *inspect.signature(Threads.create_and_run).parameters,
    }
    arguments = inspect.signature(OpenAICreateRunOperator.__init__).parameters
    assert known - NOT_OF_THE_API == set(OpenAICreateRunOperator.API_PARAMETERS)
    assert set(OpenAICreateRunOperator.API_PARAMETERS) < set(arguments)
    assert set(OpenAICreateRunOperator.API_PARAMETERS) < set(OpenAICreateRunOperator.template_fields)


def test_a_run_is_created_and_returned_with_its_own_answer(sandbox: Sandbox) -> None:
    thread = sandbox.create_thread(message="Add up.")["id"]
    sandbox.create_run(thread, script={"base": "instant", "steps": [{"text": "Of another run."}]})
    attempts = TaskAttempts(operator(thread_id=thread, model="gpt-4o", temperature=0.5))
    result = attempts.begin()
    assert set(DOCUMENTED_ATTRIBUTES) <= set(result)
    assert result["status"] == "completed"
    assert result["answer"] == "The answer is 42."
    assert bodies(sandbox, "/runs")[-1]["temperature"] == 0.5


def test_ids_are_pushed_before_it_defers_to_a_trigger_that_may_cancel(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    attempts = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True))
    deferred = attempts.begin()
    assert isinstance(deferred, TaskDeferred)
    assert isinstance(watched(deferred), OpenAIOwnedRunTrigger)
    run_id = next(iter(sandbox.state()["runs"]))
    assert attempts.pushed["run_id"] == run_id
    assert set(attempts.pushed) == {"run_id", "thread_id", "api", PROGRESS_KEY}


def test_what_is_deferred_holds_ids_and_numbers_only(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    required = {"instructions": "SECRET", "thread": {"messages": [{"role": "user", "content": "SECRET"}]}}
    deferred = TaskAttempts(operator(deferrable=True, **required)).begin()
    assert "SECRET" not in str(deferred.kwargs) + str(deferred.trigger.serialize())


@pytest.mark.parametrize("store", [StateStore(), None])
def test_a_retry_goes_on_with_the_run_that_is_under_way(sandbox: Sandbox, store: StateStore | None) -> None:
    sandbox.set_default_script("completed")
    attempts = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True), store)
    first = attempts.begin()
    second = attempts.begin()
    assert watched(first).ref == watched(second).ref
    sandbox.clock.advance(10)
    third = attempts.begin()
    assert third["status"] == "completed"
    assert len(sandbox.state()["runs"]) == 1


def test_a_retry_finds_a_run_whose_id_was_not_stored(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    attempts = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True))
    attempts.begin()
    attempts.store = StateStore()
    attempts.begin()
    assert len(sandbox.state()["runs"]) == 1


def test_a_new_thread_is_stored_before_the_run_is_created(sandbox: Sandbox) -> None:
    sandbox.faults.add("server_error", method="POST", path="/runs", times=1)
    attempts = TaskAttempts(operator(thread={"messages": [{"role": "user", "content": "Hi"}]}))
    with pytest.raises(RunRequestError):
        attempts.begin()
    assert attempts.begin()["status"] == "completed"
    assert len(sandbox.state()["threads"]) == 1
    assert len(sandbox.state()["runs"]) == 1


def test_without_a_store_thread_and_run_are_created_in_one_request(sandbox: Sandbox) -> None:
    result = TaskAttempts(operator(thread={"messages": [{"role": "user", "content": "Hi"}]}), None).begin()
    assert sandbox.count("POST", "/threads/runs") == 1
    assert result["answer"] == "The answer is 42."


def test_a_run_whose_response_was_lost_is_found_again(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    thread = sandbox.create_thread()["id"]
    sandbox.faults.add("cut", method="POST", path="/runs", times=1)
    attempts = TaskAttempts(operator(thread_id=thread, deferrable=True))
    deferred = attempts.begin()
    assert sandbox.count("POST", "/runs") == 1
    assert watched(deferred).ref.run_id in sandbox.state()["runs"]


def test_a_rate_limited_request_is_retried_and_creates_one_run(sandbox: Sandbox) -> None:
    sandbox.faults.add("rate_limited", method="POST", path="/runs", times=2, retry_after=0.01)
    TaskAttempts(operator(thread_id=sandbox.create_thread()["id"])).begin()
    keys = {request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"}
    assert sandbox.count("POST", "/runs") == 3
    assert len(keys) == 1
    assert len(sandbox.state()["runs"]) == 1


def test_a_failed_run_is_pushed_and_a_retry_creates_another(
    sandbox: Sandbox,
) -> None:
    sandbox.set_default_script({"base": "failed", "seconds": 1})
    attempts = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True, retries=1))
    deferred = attempts.begin()
    sandbox.clock.advance(5)
    with pytest.raises(RunFailedError, match="server_error") as caught:
        attempts.resume(deferred, {**ids(deferred), "status": "failed", "reason": "server_error: Sorry"})
    assert not isinstance(caught.value, AirflowFailException)
    assert attempts.pushed["steps"]
    assert attempts.pushed["return_value"]["status"] == "failed"
    assert attempts.pushed["token_usage"]["try_number"] == 1
    attempts.begin()
    assert len(sandbox.state()["runs"]) == 2


def ids(deferred: TaskDeferred) -> dict[str, Any]:
    ref = watched(deferred).ref
    return ref.ids


@pytest.mark.parametrize("store", [StateStore(), None])
def test_clearing_cancels_the_run_and_creates_another(sandbox: Sandbox, store: StateStore | None) -> None:
    sandbox.set_default_script({"base": "in_progress", "cancel_seconds": 0})
    attempts = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True), store)
    before = watched(attempts.begin()).ref.run_id
    attempts.clears = 1
    after = watched(attempts.begin()).ref.run_id
    assert sandbox.state()["runs"] == {before: "cancelled", after: "queued"}


def test_clearing_does_not_cancel_without_cancel_on_kill(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    attempts = TaskAttempts(
        operator(thread_id=sandbox.create_thread()["id"], deferrable=True, cancel_on_kill=False)
    )
    attempts.begin()
    attempts.clears = 1
    assert attempts.begin().method_name == "execute_on_free_thread"
    assert set(sandbox.state()["runs"].values()) == {"queued"}


def test_a_run_being_cancelled_is_waited_for_before_the_next(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    attempts = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True))
    before = watched(attempts.begin()).ref.run_id
    attempts.clears = 1
    deferred = attempts.begin()
    assert deferred.method_name == "execute_on_free_thread"
    assert type(watched(deferred)) is OpenAIRunTrigger
    sandbox.clock.advance(2)
    again = attempts.resume(deferred, {**ids(deferred), "status": "cancelled"})
    assert watched(again).ref.run_id != before


def test_a_busy_thread_fails_the_task_before_a_run_is_created(sandbox: Sandbox) -> None:
    other = sandbox.create_run(script="in_progress")
    with pytest.raises(ThreadBusyError, match=other["id"]):
        TaskAttempts(operator(thread_id=other["thread_id"])).begin()
    assert sandbox.count("POST") == 0


def test_a_busy_thread_is_waited_for_with_on_active_run_wait(sandbox: Sandbox) -> None:
    other = sandbox.create_run(script="completed")
    attempts = TaskAttempts(operator(thread_id=other["thread_id"], on_active_run="wait", deferrable=True))
    deferred = attempts.begin()
    assert ids(deferred)["run_id"] == other["id"]
    sandbox.clock.advance(5)
    result = attempts.resume(deferred, {**ids(deferred), "status": "completed"})
    assert result["id"] != other["id"]


def test_an_event_about_another_run_does_not_end_the_wait(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    attempts = TaskAttempts(operator(deferrable=True))
    deferred = attempts.begin()
    again = attempts.resume(deferred, {"run_id": "run_other", "thread_id": "thread_1", "status": "cancelled"})
    assert ids(again) == ids(deferred)
    assert again.method_name == "execute_complete"


def test_an_attached_run_of_another_owner_is_never_cancelled(sandbox: Sandbox) -> None:
    other = sandbox.create_run(script="in_progress")
    attempts = TaskAttempts(operator(thread_id=other["thread_id"], on_active_run="attach", deferrable=True))
    deferred = attempts.begin()
    assert type(watched(deferred)) is OpenAIRunTrigger
    attempts.task.on_kill()
    assert sandbox.count("POST") == 0


def test_an_unknown_thread_is_an_error_that_says_so(sandbox: Sandbox) -> None:
    with pytest.raises(RunNotFoundError, match="No thread found"):
        TaskAttempts(operator(thread_id="thread_nowhere")).begin()


def test_a_request_that_the_api_refuses_fails_without_retry(sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="no script"):
        TaskAttempts(operator(thread={}, metadata={"sandbox_script": "nonsense"})).begin()
    assert sandbox.state()["runs"] == {}


def test_the_answer_is_read_as_the_model_of_response_format(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"text": '{"name": "red", "warm": true}'}]})
    result = TaskAttempts(operator(thread={}, response_format=Colour)).begin()
    assert result["answer"] == {"name": "red", "warm": True}
    sent = bodies(sandbox, "/runs")[0]["response_format"]
    assert sent["json_schema"]["strict"] is True


def test_an_answer_that_does_not_match_fails_and_is_not_continued(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"text": "The answer is 42."}]})
    attempts = TaskAttempts(operator(thread={}, response_format=Colour))
    with pytest.raises(AnswerFormatError, match="does not match Colour"):
        attempts.begin()
    assert attempts.pushed["answer"] == "The answer is 42."
    with pytest.raises(AnswerFormatError):
        attempts.begin()
    assert len(sandbox.state()["runs"]) == 2


def test_without_wait_for_completion_it_returns_at_once(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    result = TaskAttempts(operator(thread={}, wait_for_completion=False)).begin()
    assert (result["status"], result["answer"]) == ("queued", None)


def test_extra_params_are_sent_as_they_are(sandbox: Sandbox) -> None:
    TaskAttempts(operator(thread={}, extra_params={"new_thing": {"a": 1}})).begin()
    assert bodies(sandbox, "/runs")[0]["new_thing"] == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thread_id": "thread/1"}, "thread_id contains"),
        ({"thread_id": "thread_1", "thread": {}}, "leave out thread_id"),
        ({"assistant_id": ""}, "assistant_id is empty"),
        ({"on_active_run": "maybe"}, "on_active_run must be one of"),
        ({"tools": [{"type": "function", "function": {"name": "look"}}]}, "tools without a handler: look"),
        ({"tool_handlers": {"look": 5}}, "must be a plain function"),
        ({"token_budget": 0}, "token_budget must be more than 0"),
        ({"human_tools": "look"}, "collection of names"),
        ({"on_requires_action": "maybe"}, "on_requires_action must be one of"),
        ({"poll_interval": 0}, "poll_interval must be"),
    ],
)
def test_invalid_arguments_are_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"extra_params": {"model": "x"}}, "an argument of the operator"),
        ({"extra_params": {"stream": True}}, "is not supported"),
        ({"extra_params": {"new": object()}}, "is not JSON"),
        ({"metadata": {"airflow_task": "x"}}, "the operator adds them"),
        ({"metadata": {str(number): "" for number in range(15)}}, "17 entries"),
        ({"metadata": {"a": "x" * 513}}, r"metadata\['a'\]"),
    ],
)
def test_a_body_the_api_would_refuse_is_refused_before_it_is_sent(
    sandbox: Sandbox, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], **arguments)).begin()
    assert sandbox.count("POST") == 0


def test_a_thread_that_is_not_an_object_is_refused_before_any_request(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match="thread must be an object, not 'text'"):
        TaskAttempts(operator(thread="text"), StateStore()).begin()
    assert bodies(sandbox, "/threads") == []
