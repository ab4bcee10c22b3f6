"""``test_connection`` tells what servers that others wrote serve."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

RESPONSES = "The Responses API is"
ASSISTANTS = "The Assistants API (threads and runs) is"


def test_a_server_of_responses_is_told(connect: Callable[[str], OpenAIRunHook], agentserver: str) -> None:
    is_good, words = connect(agentserver).test_connection()
    assert is_good
    assert f"{RESPONSES} served, and" in words
    assert f"{ASSISTANTS} not served" in words


def test_a_server_of_threads_and_runs_is_told(
    connect: Callable[[str], OpenAIRunHook], openai_responses: str
) -> None:
    is_good, words = connect(openai_responses).test_connection()
    assert is_good
    assert f"{RESPONSES} not served" in words
    assert f"{ASSISTANTS} served, and" in words
