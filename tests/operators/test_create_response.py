"""Making responses, with the real SDK against the sandbox."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from openai.resources.responses import Responses
from pydantic import BaseModel

from airflow_provider_openai_run.exceptions import RunFailedError, RunRequestError
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
    assert known <= set(OpenAICreateResponseOperator.API_PARAMETERS)
    assert set(OpenAICreateResponseOperator.API_PARAMETERS) < set(
        inspect.signature(OpenAICreateResponseOperator.__init__).parameters
    )
    assert set(OpenAICreateResponseOperator.API_PARAMETERS) < set(
        OpenAICreateResponseOperator.template_fields
    )


def test_a_response_is_created_in_the_background_and_its_text_returned(sandbox: Sandbox) -> None:
    attempts = TaskAttempts(operator())
    result = attempts.begin()
    assert result["answer"] == "The answer is 42."
    sent = bodies(sandbox, "/responses")[0]
    assert (sent["background"], sent["store"]) == (True, True)
    assert sent["metadata"] == {"airflow_task": "dag/manual__1/task/-1", "airflow_clear": "0"}
    assert attempts.pushed["token_usage"]["total_tokens"] == 150
    assert attempts.pushed["token_usage"]["run_ids"] == [result["id"]]


def test_the_answer_is_the_object_of_the_text_format(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"text": '{"name": "red"}'}]})
    result = TaskAttempts(operator(text_format=Colour, text={"verbosity": "low"})).begin()
    assert result["answer"] == {"name": "red"}
    text = bodies(sandbox, "/responses")[0]["text"]
    assert text["verbosity"] == "low"
    assert text["format"]["schema"]["required"] == ["name"]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_response_that_is_not_stored_is_used_as_it_was_created(sandbox: Sandbox, deferrable: bool) -> None:
    attempts = TaskAttempts(operator(background=False, store=False, deferrable=deferrable))
    result = attempts.begin()
    assert (result["status"], result["answer"]) == ("completed", "The answer is 42.")
    assert attempts.pushed["run_id"] == result["id"]
    assert attempts.pushed["token_usage"]["total_tokens"] == 150
    assert sandbox.count("GET") == 0


def test_a_response_that_failed_when_it_was_created_fails_the_task(sandbox: Sandbox) -> None:
    sandbox.set_default_script("failed_at_once")
    attempts = TaskAttempts(operator(background=False, store=False))
    with pytest.raises(RunFailedError, match="quota"):
        attempts.begin()
    assert attempts.pushed["status"] == "failed"


def test_a_retry_continues_the_stored_response(sandbox: Sandbox) -> None:
    sandbox.set_default_script("completed")
    attempts = TaskAttempts(operator(deferrable=True))
    first, second = attempts.begin(), attempts.begin()
    assert watched(first).ref == watched(second).ref
    assert sandbox.count("POST") == 1


def test_a_retry_returns_the_answer_of_a_response_that_has_ended(sandbox: Sandbox) -> None:
    attempts = TaskAttempts(operator())
    first = attempts.begin()

    second = attempts.begin()

    assert second == first
    assert second["answer"] == "The answer is 42."
    assert second["steps"]
    assert len(bodies(sandbox, "/responses")) == 1


def test_without_a_state_store_a_retry_creates_another_response(sandbox: Sandbox) -> None:
    sandbox.set_default_script("completed")
    attempts = TaskAttempts(operator(deferrable=True), store=None)
    assert watched(attempts.begin()).ref != watched(attempts.begin()).ref


def test_a_lost_response_is_not_created_again_within_the_try(sandbox: Sandbox) -> None:
    sandbox.faults.add("cut", method="POST", times=1)
    with pytest.raises(RunRequestError):
        TaskAttempts(operator()).begin()
    assert sandbox.count("POST") == 1


def test_after_a_lost_response_a_retry_uses_the_same_idempotency_key(sandbox: Sandbox) -> None:
    sandbox.faults.add("cut", method="POST", times=1)
    attempts = TaskAttempts(operator())
    with pytest.raises(RunRequestError):
        attempts.begin()
    attempts.begin()
    assert len({request.headers["idempotency-key"] for request in posts(sandbox)}) == 1


def test_a_retry_after_a_failure_uses_another_idempotency_key(sandbox: Sandbox) -> None:
    sandbox.set_default_script("failed_at_once")
    attempts = TaskAttempts(operator())
    for _ in range(2):
        with pytest.raises(RunFailedError, match="rate_limit_exceeded"):
            attempts.begin()
    assert len({request.headers["idempotency-key"] for request in posts(sandbox)}) == 2


def posts(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.requests if request.method == "POST"]


def test_clearing_cancels_the_response_and_creates_another(sandbox: Sandbox) -> None:
    sandbox.set_default_script("in_progress")
    attempts = TaskAttempts(operator(deferrable=True))
    before = watched(attempts.begin()).ref.run_id
    attempts.clears = 1
    after = watched(attempts.begin()).ref.run_id
    assert sandbox.state()["responses"] == {before: "cancelled", after: "queued"}


def test_a_cleared_task_does_not_continue_the_response_from_before(sandbox: Sandbox) -> None:
    store = StateStore()
    done = TaskAttempts(operator(), store).begin()
    again = TaskAttempts(operator(), store, clears=1).begin()
    assert again["id"] != done["id"]


def test_a_failed_task_has_pushed_its_token_usage_and_its_try_number(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "incomplete", "seconds": 1})
    attempts = TaskAttempts(operator(deferrable=True, retries=3), tries=1)
    deferred = attempts.begin()
    assert isinstance(deferred, TaskDeferred)
    sandbox.clock.advance(5)
    with pytest.raises(Exception, match="max_output_tokens"):
        attempts.resume(deferred, {"run_id": watched(deferred).ref.run_id, "status": "incomplete"})
    assert attempts.pushed["token_usage"]["try_number"] == 2
    assert attempts.pushed["token_usage"]["total_tokens"] is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_invalid_arguments_are_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator(**arguments)
