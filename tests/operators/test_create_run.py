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
from airflow_provider_openai_run.operators.create_run import PARAMETERS
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
    assert known - NOT_OF_THE_API == set(PARAMETERS)
    assert set(PARAMETERS) < set(arguments)
    assert set(PARAMETERS) < set(OpenAICreateRunOperator.template_fields)


def test_the_run_is_made_waited_for_and_given_with_its_own_answer(sandbox: Sandbox) -> None:
    thread = sandbox.create_thread(message="Add up.")["id"]
    sandbox.create_run(thread, script={"base": "instant", "steps": [{"text": "Of another run."}]})
    tries = TaskAttempts(operator(thread_id=thread, model="gpt-4o", temperature=0.5))
    result = tries.begin()
    assert set(DOCUMENTED_ATTRIBUTES) <= set(result)
    assert result["status"] == "completed"
    assert result["answer"] == "The answer is 42."
    assert bodies(sandbox, "/runs")[-1]["temperature"] == 0.5


def test_ids_are_pushed_before_it_waits_and_it_defers_to_a_trigger_that_may_cancel(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    tries = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True))
    deferred = tries.begin()
    assert isinstance(deferred, TaskDeferred)
    assert isinstance(watched(deferred), OpenAIOwnedRunTrigger)
    run_id = next(iter(sandbox.state()["runs"]))
    assert tries.pushed["run_id"] == run_id
    assert set(tries.pushed) == {"run_id", "thread_id", PROGRESS_KEY}


def test_what_is_deferred_holds_ids_and_numbers_only(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    asked = {"instructions": "SECRET", "thread": {"messages": [{"role": "user", "content": "SECRET"}]}}
    deferred = TaskAttempts(operator(deferrable=True, **asked)).begin()
    assert "SECRET" not in str(deferred.kwargs) + str(deferred.trigger.serialize())


@pytest.mark.parametrize("store", [StateStore(), None])
def test_a_retry_goes_on_with_the_run_that_is_under_way(sandbox: Sandbox, store: StateStore | None) -> None:
    sandbox.set_default_script("completed")
    tries = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True), store)
    first = tries.begin()
    second = tries.begin()
    assert watched(first).ref == watched(second).ref
    sandbox.clock.advance(10)
    third = tries.begin()
    assert third["status"] == "completed"
    assert len(sandbox.state()["runs"]) == 1


def test_a_retry_goes_on_with_a_run_whose_id_nobody_has_written_down(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    tries = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True))
    tries.begin()
    tries.store = StateStore()
    tries.begin()
    assert len(sandbox.state()["runs"]) == 1


def test_a_new_thread_is_remembered_before_the_run_is_made(sandbox: Sandbox) -> None:
    sandbox.faults.add("server_error", method="POST", path="/runs", times=1)
    tries = TaskAttempts(operator(thread={"messages": [{"role": "user", "content": "Hi"}]}))
    with pytest.raises(RunRequestError):
        tries.begin()
    assert tries.begin()["status"] == "completed"
    assert len(sandbox.state()["threads"]) == 1
    assert len(sandbox.state()["runs"]) == 1


def test_without_a_store_the_thread_and_the_run_are_made_at_once(sandbox: Sandbox) -> None:
    result = TaskAttempts(operator(thread={"messages": [{"role": "user", "content": "Hi"}]}), None).begin()
    assert sandbox.count("POST", "/threads/runs") == 1
    assert result["answer"] == "The answer is 42."


def test_a_run_whose_answer_was_lost_is_found_and_not_made_again(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    thread = sandbox.create_thread()["id"]
    sandbox.faults.add("cut", method="POST", path="/runs", times=1)
    tries = TaskAttempts(operator(thread_id=thread, deferrable=True))
    deferred = tries.begin()
    assert sandbox.count("POST", "/runs") == 1
    assert watched(deferred).ref.run_id in sandbox.state()["runs"]


def test_a_refusal_for_the_moment_is_asked_again_and_makes_one_run(sandbox: Sandbox) -> None:
    sandbox.faults.add("rate_limited", method="POST", path="/runs", times=2, retry_after=0.01)
    TaskAttempts(operator(thread_id=sandbox.create_thread()["id"])).begin()
    keys = {request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"}
    assert sandbox.count("POST", "/runs") == 3
    assert len(keys) == 1
    assert len(sandbox.state()["runs"]) == 1


def test_a_run_that_failed_fails_the_task_after_all_was_pushed_and_a_retry_makes_another(
    sandbox: Sandbox,
) -> None:
    sandbox.set_default_script({"base": "failed", "seconds": 1})
    tries = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True, retries=1))
    deferred = tries.begin()
    sandbox.clock.advance(5)
    with pytest.raises(RunFailedError, match="server_error") as caught:
        tries.resume(deferred, {**ids(deferred), "status": "failed", "reason": "server_error: Sorry"})
    assert not isinstance(caught.value, AirflowFailException)
    assert tries.pushed["steps"]
    assert tries.pushed["return_value"]["status"] == "failed"
    assert tries.pushed["token_usage"]["try_number"] == 1
    tries.begin()
    assert len(sandbox.state()["runs"]) == 2


def ids(deferred: TaskDeferred) -> dict[str, Any]:
    ref = watched(deferred).ref
    return ref.ids


@pytest.mark.parametrize("store", [StateStore(), None])
def test_clearing_means_a_new_run_and_ends_the_one_left_behind(
    sandbox: Sandbox, store: StateStore | None
) -> None:
    sandbox.set_default_script({"base": "in_progress", "cancel_seconds": 0})
    tries = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True), store)
    before = watched(tries.begin()).ref.run_id
    tries.clears = 1
    after = watched(tries.begin()).ref.run_id
    assert sandbox.state()["runs"] == {before: "cancelled", after: "queued"}


def test_clearing_leaves_the_run_from_before_alone_if_told_so(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    tries = TaskAttempts(
        operator(thread_id=sandbox.create_thread()["id"], deferrable=True, cancel_on_kill=False)
    )
    tries.begin()
    tries.clears = 1
    assert tries.begin().method_name == "execute_on_free_thread"
    assert set(sandbox.state()["runs"].values()) == {"queued"}


def test_a_run_being_cancelled_is_waited_for_before_the_next_is_made(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    tries = TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], deferrable=True))
    before = watched(tries.begin()).ref.run_id
    tries.clears = 1
    deferred = tries.begin()
    assert deferred.method_name == "execute_on_free_thread"
    assert type(watched(deferred)) is OpenAIRunTrigger
    sandbox.clock.advance(2)
    again = tries.resume(deferred, {**ids(deferred), "status": "cancelled"})
    assert watched(again).ref.run_id != before


def test_a_busy_thread_fails_the_task_before_anything_is_spent(sandbox: Sandbox) -> None:
    other = sandbox.create_run(script="in_progress")
    with pytest.raises(ThreadBusyError, match=other["id"]):
        TaskAttempts(operator(thread_id=other["thread_id"])).begin()
    assert sandbox.count("POST") == 0


def test_a_busy_thread_is_waited_for_if_told_so(sandbox: Sandbox) -> None:
    other = sandbox.create_run(script="completed")
    tries = TaskAttempts(operator(thread_id=other["thread_id"], on_active_run="wait", deferrable=True))
    deferred = tries.begin()
    assert ids(deferred)["run_id"] == other["id"]
    sandbox.clock.advance(5)
    result = tries.resume(deferred, {**ids(deferred), "status": "completed"})
    assert result["id"] != other["id"]


def test_news_of_another_run_do_not_end_the_wait_for_its_own(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    tries = TaskAttempts(operator(deferrable=True))
    deferred = tries.begin()
    again = tries.resume(deferred, {"run_id": "run_other", "thread_id": "thread_1", "status": "cancelled"})
    assert ids(again) == ids(deferred)
    assert again.method_name == "execute_complete"


def test_a_run_of_somebody_elses_can_be_followed_and_is_never_cancelled(sandbox: Sandbox) -> None:
    other = sandbox.create_run(script="in_progress")
    tries = TaskAttempts(operator(thread_id=other["thread_id"], on_active_run="attach", deferrable=True))
    deferred = tries.begin()
    assert type(watched(deferred)) is OpenAIRunTrigger
    tries.task.on_kill()
    assert sandbox.count("POST") == 0


def test_an_unknown_thread_is_one_clear_error_without_retries(sandbox: Sandbox) -> None:
    with pytest.raises(RunNotFoundError, match="No thread found"):
        TaskAttempts(operator(thread_id="thread_nowhere")).begin()


def test_what_the_api_refuses_is_not_tried_again(sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="no script"):
        TaskAttempts(operator(thread={}, metadata={"sandbox_script": "nonsense"})).begin()
    assert sandbox.state()["runs"] == {}


def test_the_answer_is_read_as_the_model_it_was_asked_to_keep_to(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"text": '{"name": "red", "warm": true}'}]})
    result = TaskAttempts(operator(thread={}, response_format=Colour)).begin()
    assert result["answer"] == {"name": "red", "warm": True}
    sent = bodies(sandbox, "/runs")[0]["response_format"]
    assert sent["json_schema"]["strict"] is True


def test_an_answer_that_does_not_keep_to_it_fails_the_task_and_a_retry_asks_again(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"text": "The answer is 42."}]})
    tries = TaskAttempts(operator(thread={}, response_format=Colour))
    with pytest.raises(AnswerFormatError, match="no Colour"):
        tries.begin()
    assert tries.pushed["answer"] == "The answer is 42."
    with pytest.raises(AnswerFormatError):
        tries.begin()
    assert len(sandbox.state()["runs"]) == 2


def test_it_can_return_at_once(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    result = TaskAttempts(operator(thread={}, wait_for_completion=False)).begin()
    assert (result["status"], result["answer"]) == ("queued", None)


def test_parameters_this_version_does_not_know_pass_through(sandbox: Sandbox) -> None:
    TaskAttempts(operator(thread={}, extra_params={"new_thing": {"a": 1}})).begin()
    assert bodies(sandbox, "/runs")[0]["new_thing"] == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"thread_id": "thread/1"}, "thread_id holds"),
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
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"extra_params": {"model": "x"}}, "an argument of its own"),
        ({"extra_params": {"stream": True}}, "of no use to a task"),
        ({"extra_params": {"new": object()}}, "not what JSON can hold"),
        ({"metadata": {"airflow_task": "x"}}, "by which the task knows its runs"),
        ({"metadata": {str(number): "" for number in range(15)}}, "17 pairs"),
        ({"metadata": {"a": "x" * 513}}, r"metadata\['a'\]"),
    ],
)
def test_what_the_api_would_refuse_is_refused_before_anything_is_sent(
    sandbox: Sandbox, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        TaskAttempts(operator(thread_id=sandbox.create_thread()["id"], **arguments)).begin()
    assert sandbox.count("POST") == 0
