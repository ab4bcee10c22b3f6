"""Making responses, with the real SDK against the sandbox."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from openai.resources.responses import Responses
from pydantic import BaseModel

from airflow_provider_openai_run.exceptions import RunFailedError, RunRequestError
from airflow_provider_openai_run.operators.create_response import PARAMETERS
from airflow_provider_openai_run.operators.openai_run import OpenAICreateResponseOperator
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import StateStore, TaskAttempts, bodies, watched

NOT_OF_THE_API = {"self", "stream", "stream_options", "extra_headers", "extra_query", "extra_body", "timeout"}


class Colour(BaseModel):
    name: str


def operator(**arguments: Any) -> OpenAICreateResponseOperator:
    return OpenAICreateResponseOperator(task_id="task", **{"model": "gpt-5.2", "input": "Hi", **arguments})


def test_every_parameter_of_the_api_is_an_argument_and_templated() -> None:
    known = set(inspect.signature(Responses.create).parameters) - NOT_OF_THE_API
    assert known <= set(PARAMETERS)
    assert set(PARAMETERS) < set(inspect.signature(OpenAICreateResponseOperator.__init__).parameters)
    assert set(PARAMETERS) < set(OpenAICreateResponseOperator.template_fields)


def test_the_response_is_made_in_the_background_and_its_text_is_given(sandbox: Sandbox) -> None:
    tries = TaskAttempts(operator())
    result = tries.begin()
    assert result["answer"] == "The answer is 42."
    sent = bodies(sandbox, "/responses")[0]
    assert (sent["background"], sent["store"]) == (True, True)
    assert sent["metadata"] == {"airflow_task": "dag/manual__1/task/-1", "airflow_clear": "0"}
    assert tries.pushed["token_usage"]["total_tokens"] == 150
    assert tries.pushed["token_usage"]["run_ids"] == [result["id"]]


def test_the_answer_is_the_object_the_model_was_asked_for(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"text": '{"name": "red"}'}]})
    result = TaskAttempts(operator(text_format=Colour, text={"verbosity": "low"})).begin()
    assert result["answer"] == {"name": "red"}
    text = bodies(sandbox, "/responses")[0]["text"]
    assert text["verbosity"] == "low"
    assert text["format"]["schema"]["required"] == ["name"]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_response_that_is_not_stored_is_taken_as_it_was_made(sandbox: Sandbox, deferrable: bool) -> None:
    tries = TaskAttempts(operator(background=False, store=False, deferrable=deferrable))
    result = tries.begin()
    assert (result["status"], result["answer"]) == ("completed", "The answer is 42.")
    assert tries.pushed["run_id"] == result["id"]
    assert tries.pushed["token_usage"]["total_tokens"] == 150
    assert sandbox.count("GET") == 0


def test_a_response_that_had_failed_when_it_was_made_fails_the_task(sandbox: Sandbox) -> None:
    sandbox.set_default_script("failed_at_once")
    tries = TaskAttempts(operator(background=False, store=False))
    with pytest.raises(RunFailedError, match="quota"):
        tries.begin()
    assert tries.pushed["status"] == "failed"


def test_a_retry_goes_on_with_the_response_it_remembers(sandbox: Sandbox) -> None:
    sandbox.set_default_script("completed")
    tries = TaskAttempts(operator(deferrable=True))
    first, second = tries.begin(), tries.begin()
    assert watched(first).ref == watched(second).ref
    assert sandbox.count("POST") == 1


def test_without_a_state_store_a_retry_makes_another(sandbox: Sandbox) -> None:
    sandbox.set_default_script("completed")
    tries = TaskAttempts(operator(deferrable=True), store=None)
    assert watched(tries.begin()).ref != watched(tries.begin()).ref


def test_a_lost_answer_is_not_asked_for_again_within_the_try(sandbox: Sandbox) -> None:
    sandbox.faults.add("cut", method="POST", times=1)
    with pytest.raises(RunRequestError):
        TaskAttempts(operator()).begin()
    assert sandbox.count("POST") == 1


def test_after_a_lost_answer_a_retry_asks_under_the_same_key(sandbox: Sandbox) -> None:
    sandbox.faults.add("cut", method="POST", times=1)
    tries = TaskAttempts(operator())
    with pytest.raises(RunRequestError):
        tries.begin()
    tries.begin()
    assert len({request.headers["idempotency-key"] for request in posts(sandbox)}) == 1


def test_a_retry_after_a_failure_asks_under_another_key(sandbox: Sandbox) -> None:
    sandbox.set_default_script("failed_at_once")
    tries = TaskAttempts(operator())
    for _ in range(2):
        with pytest.raises(RunFailedError, match="rate_limit_exceeded"):
            tries.begin()
    assert len({request.headers["idempotency-key"] for request in posts(sandbox)}) == 2


def posts(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.requests if request.method == "POST"]


def test_clearing_cancels_the_response_left_behind_and_makes_another(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    tries = TaskAttempts(operator(deferrable=True))
    before = watched(tries.begin()).ref.run_id
    tries.clears = 1
    after = watched(tries.begin()).ref.run_id
    assert sandbox.state()["responses"] == {before: "cancelled", after: "queued"}


def test_a_retry_does_not_take_up_what_was_left_before_a_clearing(sandbox: Sandbox) -> None:
    store = StateStore()
    done = TaskAttempts(operator(), store).begin()
    again = TaskAttempts(operator(), store, clears=1).begin()
    assert again["id"] != done["id"]


def test_a_failed_task_has_pushed_what_it_used_and_its_try(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "incomplete", "seconds": 1})
    tries = TaskAttempts(operator(deferrable=True, retries=3), tries=1)
    deferred = tries.begin()
    assert isinstance(deferred, TaskDeferred)
    sandbox.clock.advance(5)
    with pytest.raises(Exception, match="max_output_tokens"):
        tries.resume(deferred, {"run_id": watched(deferred).ref.run_id, "status": "incomplete"})
    assert tries.pushed["token_usage"]["try_number"] == 2
    assert tries.pushed["token_usage"]["total_tokens"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": None}, "needs a model"),
        ({"input": None}, "needs an input"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "exclude each other"),
        ({"text_format": dict}, "must be a pydantic model"),
        ({"text_format": Colour, "text": {"format": {}}}, "leave out one"),
        ({"tools": [{"type": "function", "name": "look"}]}, "tools without a handler: look"),
        ({"store": False, "tool_handlers": {"look": str}}, "need store=True"),
        ({"wait_for_completion": False, "tool_handlers": {"look": str}}, "need on_requires_action"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operator(**arguments)
