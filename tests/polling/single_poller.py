"""A wait for one run without jitter, and what to tell it."""

from __future__ import annotations

from typing import Any

from airflow_provider_openai_run.exceptions import OpenAIRunError, RunRequestError
from airflow_provider_openai_run.polling.options import PollOptions
from airflow_provider_openai_run.polling.policy import Decision, PollAgain, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef

START = 1_795_000_000.0
REF = RunRef("assistants", "run_1", "thread_1")
CALLS = {
    "type": "submit_tool_outputs",
    "submit_tool_outputs": {
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_rain", "arguments": '{"at": "sk-hidden"}'},
            }
        ]
    },
}


def wait(*, deadline: float | None = None, **options: Any) -> RunPoller:
    """A wait that started at ``START`` and draws no jitter; ``deadline`` in seconds after the start."""
    until = None if deadline is None else START + deadline
    return RunPoller(REF, PollOptions(started_at=START, deadline=until, **options), draw=lambda: 0.0)


def run(status: str | None, **attributes: Any) -> Run:
    return Run(id="run_1", thread_id="thread_1", status=status, **attributes)


def passing(**facts: Any) -> RunRequestError:
    return RunRequestError("The API answered HTTP 503", is_retryable=True, **facts)


def goes_on(decision: Decision) -> PollAgain:
    assert isinstance(decision, PollAgain)
    return decision


def ends(decision: Decision) -> Outcome:
    assert isinstance(decision, Outcome)
    return decision


def fails(decision: Decision) -> OpenAIRunError:
    error = ends(decision).error
    assert error is not None
    return error


def texts(decision: Decision) -> list[str]:
    return [note.text for note in goes_on(decision).notes]


def assert_names(error: OpenAIRunError, *words: str) -> None:
    for word in (*words, "run_1", "thread_1"):
        assert word in str(error)
    assert (error.run_id, error.thread_id) == ("run_1", "thread_1")
