"""The operators that create runs, at servers that others wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openai_run.api import calls
from airflow_provider_openai_run.exceptions import RunFailedError
from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from tests.owned_runs.task_attempts import TaskAttempts, watched
from tests.peers.waiting import CONN_ID

PACE: dict[str, Any] = {"conn_id": CONN_ID, "poll_interval": 0.1, "max_poll_interval": 0.2, "timeout": 30}

Connect = Callable[[str], OpenAIRunHook]


def create_response(text: str, **arguments: Any) -> OpenAICreateResponseOperator:
    return OpenAICreateResponseOperator(task_id="task", model="echo", input=text, **PACE, **arguments)


def test_a_response_is_created_and_its_text_returned(agentserver: str, connect: Connect) -> None:
    connect(agentserver)
    attempts = TaskAttempts(create_response("hello"))
    result = attempts.begin()
    assert result["status"] == "completed"
    assert isinstance(result["answer"], str)
    assert attempts.pushed["token_usage"]["total_tokens"] == 18


def test_a_failed_response_pushes_its_attributes(agentserver: str, connect: Connect) -> None:
    connect(agentserver)
    attempts = TaskAttempts(create_response("fail"))
    with pytest.raises(RunFailedError):
        attempts.begin()
    assert attempts.pushed["return_value"]["status"] == "failed"


def test_a_retry_resumes_a_response_and_killing_cancels_it(agentserver: str, connect: Connect) -> None:
    hook = connect(agentserver)
    task = create_response("slow", deferrable=True)
    attempts = TaskAttempts(task)
    first, second = watched(attempts.begin()).ref, watched(attempts.begin()).ref
    assert first == second
    task.on_kill()
    assert hook.get_run(run_id=first.run_id).status == "cancelled"


def test_a_tool_output_creates_the_next_response(agentserver: str, connect: Connect) -> None:
    connect(agentserver)
    locations: list[str] = []

    def get_weather(location: str) -> str:
        locations.append(location)
        return "rain"

    attempts = TaskAttempts(create_response("tool", tool_handlers={"get_weather": get_weather}))
    result = attempts.begin()
    assert locations == ["Seattle"]
    assert result["status"] == "completed"
    assert len(attempts.pushed["token_usage"]["run_ids"]) == 2


def test_an_unknown_assistant_fails_without_a_retry(openai_responses: str, connect: Connect) -> None:
    hook = connect(openai_responses)
    task = OpenAICreateRunOperator(
        task_id="task",
        assistant_id="asst_nowhere",
        thread_id=hook.execute_call(calls.create_thread({})),
        **PACE,
    )
    with pytest.raises(AirflowFailException, match=r"No run was created.*The assistant"):
        TaskAttempts(task).begin()


def test_a_run_is_created_on_a_thread_and_killing_cancels_it(openai_responses: str, connect: Connect) -> None:
    hook = connect(openai_responses)
    thread_id = hook.execute_call(calls.create_thread({}))
    assistant = requests.post(f"{openai_responses}/assistants", json={"model": "gpt-4o"}, timeout=10)
    task = OpenAICreateRunOperator(
        task_id="task", assistant_id=assistant.json()["id"], thread_id=thread_id, deferrable=True, **PACE
    )
    ref = watched(TaskAttempts(task).begin()).ref
    assert ref.parent_id == thread_id
    task.on_kill()
    assert hook.get_run(ref.run_id, thread_id=thread_id).status in {"cancelling", "cancelled"}
