"""Values to give to a poller, and checks of its decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from airflow_provider_openai_run.exceptions import OpenAIRunError, RunRequestError
from airflow_provider_openai_run.polling.policy import Decision, PollAgain, RunPoller
from airflow_provider_openai_run.types.outcome import Outcome
from airflow_provider_openai_run.types.run import Run
from airflow_provider_openai_run.types.run_ref import RunRef

#: The fixture of the same name: ``make_poller(deadline=60, poll_interval=5)``.
MakePoller: TypeAlias = Callable[..., RunPoller]

START = 1_795_000_000.0
REF = RunRef("assistants", "run_1", "thread_1")
REQUIRED_ACTION = {
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


def run(status: str | None, **attributes: Any) -> Run:
    """Return the run with a status."""
    return Run(id="run_1", thread_id="thread_1", status=status, **attributes)


def retryable_error(**fields: Any) -> RunRequestError:
    return RunRequestError("The API returned HTTP 503", is_retryable=True, **fields)


def poll_again(decision: Decision) -> PollAgain:
    assert isinstance(decision, PollAgain)
    return decision


def outcome_of(decision: Decision) -> Outcome:
    assert isinstance(decision, Outcome)
    return decision


def error_of(decision: Decision) -> OpenAIRunError:
    error = outcome_of(decision).error
    assert error is not None
    return error


def logged(decision: Decision) -> list[str]:
    """Return the lines for the task's log."""
    return [message.text for message in poll_again(decision).log_messages]


def assert_names(error: OpenAIRunError, *words: str) -> None:
    """The error's message has the words and the run's ids."""
    for word in (*words, "run_1", "thread_1"):
        assert word in str(error)
    assert (error.run_id, error.parent_id) == ("run_1", "thread_1")
