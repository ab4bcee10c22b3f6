"""Which requests that create a run or submit outputs are sent again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openai_run.exceptions import RunRequestError
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.owned_runs import attempts as attempts_module
from airflow_provider_openai_run.owned_runs.attempts import attempts_for
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, watched

LOCKED = {"error": {"message": "Another process is writing to conv_1.", "code": "conversation_locked"}}
LOCKED_HEADERS = {"x-should-retry": "true", "retry-after": "2"}
MESSAGE = {"role": "user", "content": "Hi"}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the delays, and take no time."""
    delays: list[float] = []
    monkeypatch.setattr(attempts_module, "time", SimpleNamespace(sleep=delays.append))
    return delays


def lock(sandbox: Sandbox, times: int) -> None:
    arguments: dict[str, Any] = {"status": 400, "body": LOCKED, "headers": LOCKED_HEADERS}
    sandbox.faults.add("reply", method="POST", path="/responses", times=times, **arguments)


def test_a_locked_conversation_is_waited_for(sandbox: Sandbox, slept: list[float]) -> None:
    lock(sandbox, times=3)
    task = OpenAICreateResponseOperator(task_id="task", model="m", input="Hi", conversation="conv_1")
    assert TaskAttempts(task).begin()["status"] == "completed"
    assert slept == [2.0, 2.0, 2.0]
    assert len(sandbox.state()["responses"]) == 1


def test_a_conversation_that_stays_locked_leaves_retries_to_the_task(
    sandbox: Sandbox, slept: list[float]
) -> None:
    lock(sandbox, times=100)
    task = OpenAICreateResponseOperator(task_id="task", model="m", input="Hi", conversation="conv_1")
    with pytest.raises(RunRequestError, match="conv_1") as caught:
        TaskAttempts(task).begin()
    assert not isinstance(caught.value, AirflowFailException)
    assert len(slept) == sandbox.count("POST", "/responses") - 1 > 0


def test_handlers_are_not_called_again_for_a_locked_conversation(
    sandbox: Sandbox, slept: list[float]
) -> None:
    called: list[dict[str, Any]] = []

    def get_weather(**arguments: Any) -> str:
        called.append(arguments)
        return "rain"

    sandbox.set_default_script("requires_action")
    task = OpenAICreateResponseOperator(
        task_id="task",
        model="m",
        input="Hi",
        conversation="conv_1",
        tools=[WEATHER],
        tool_handlers={"get_weather": get_weather},
        deferrable=True,
    )
    attempts = TaskAttempts(task)
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    lock(sandbox, times=2)
    event = {**watched(deferred).ref.ids, "status": "completed"}
    following = attempts.resume(deferred, event)
    assert watched(following).ref != watched(deferred).ref
    assert len(called) == 2  # two calls in one round
    assert slept == [2.0, 2.0]


def count_attempts(error: Exception) -> int:
    """Let every attempt fail with an error, and return how many there were."""
    sent: list[int] = []

    def create() -> None:
        for attempt in attempts_for("create"):
            with attempt:
                sent.append(1)
                raise error

    with pytest.raises(type(error)):
        create()
    return len(sent)


def refusal(**fields: Any) -> RunRequestError:
    return RunRequestError("refused", **fields)


@pytest.mark.parametrize("http_status", [429, 503])
def test_a_request_that_created_nothing_is_sent_four_times(slept: list[float], http_status: int) -> None:
    assert count_attempts(refusal(http_status=http_status)) == 4
    assert slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("http_status", [None, 400, 401, 404, 409, 500, 502])
def test_a_request_that_is_not_safe_to_repeat_is_sent_once(
    slept: list[float], http_status: int | None
) -> None:
    assert count_attempts(refusal(http_status=http_status, is_retryable=True)) == 1
    assert slept == []


def test_a_delay_that_is_too_long_is_left_to_the_task(slept: list[float]) -> None:
    assert count_attempts(refusal(http_status=429, retry_after=31.0)) == 1
    assert slept == []


def test_another_error_is_raised_at_once(slept: list[float]) -> None:
    assert count_attempts(KeyError("x")) == 1
    assert slept == []


def test_outputs_are_submitted_again_and_handlers_not_called_again(
    sandbox: Sandbox, slept: list[float]
) -> None:
    called: list[dict[str, Any]] = []

    def get_weather(**arguments: Any) -> str:
        called.append(arguments)
        return "rain"

    sandbox.set_default_script("requires_action")
    task = OpenAICreateRunOperator(
        task_id="task",
        assistant_id="asst_1",
        thread_id=sandbox.create_thread()["id"],
        tool_handlers={"get_weather": get_weather},
        deferrable=True,
    )
    attempts = TaskAttempts(task)
    deferred = attempts.begin()
    sandbox.clock.advance(1.5)
    sandbox.faults.add("reply", method="POST", path="/submit_tool_outputs", times=2, status=429)
    attempts.resume(deferred, {**watched(deferred).ref.ids, "status": "requires_action"})
    assert sandbox.count("POST", "/submit_tool_outputs") == 3
    assert len(called) == 2  # two calls in one round
    assert slept == [0.5, 1.0]


def test_a_new_thread_is_created_again_after_a_rate_limit(sandbox: Sandbox, slept: list[float]) -> None:
    sandbox.faults.add("reply", method="POST", path="/threads", times=1, status=429)
    task = OpenAICreateRunOperator(task_id="task", assistant_id="asst_1", thread={"messages": [MESSAGE]})
    assert TaskAttempts(task).begin()["status"] == "completed"
    assert slept == [0.5]
    assert len(sandbox.state()["threads"]) == 1
