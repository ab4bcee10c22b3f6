"""The way from an operator to the API."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_openai_run
from airflow_provider_openai_run.connection import transport
from airflow_provider_openai_run.hooks import openai_run
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts

PACKAGE = Path(airflow_provider_openai_run.__path__[0])
MAX_HOPS = 10


def response_task(_: Sandbox) -> OpenAICreateResponseOperator:
    return OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi")


def run_task(sandbox: Sandbox) -> OpenAICreateRunOperator:
    thread_id = sandbox.create_thread()["id"]
    return OpenAICreateRunOperator(task_id="task", assistant_id="asst_1", thread_id=thread_id)


@pytest.mark.parametrize("new_task", [response_task, run_task])
def test_the_request_is_at_most_ten_hops_from_execute(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, new_task: Any
) -> None:
    stacks: list[list[str]] = []
    send = transport.send

    def record_stack(client: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        if request.method == "POST":
            frames = traceback.extract_stack()
            ours = [frame.name for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
            stacks.append(ours[ours.index("execute") :])
        return send(client, request, *arguments, **options)

    task = new_task(sandbox)
    monkeypatch.setattr(openai_run, "send", record_stack)
    TaskAttempts(task).begin()
    assert len(stacks) == 1
    # The call of `send` itself, and its call of the client's POST.
    assert len(stacks[0]) + 1 <= MAX_HOPS, stacks[0]
