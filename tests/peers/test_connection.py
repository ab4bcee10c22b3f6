"""``test_connection`` recognizes the APIs of servers that others wrote."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_openai_run.hooks.openai_run import OpenAIRunHook

Connect = Callable[[str], OpenAIRunHook]


def test_a_server_of_responses_is_recognized(connect: Connect, agentserver: str) -> None:
    is_usable, message = connect(agentserver).test_connection()
    assert is_usable
    assert "The Responses API is served" in message
    assert "The Assistants API is not served" in message


def test_a_server_of_threads_and_runs_is_recognized(connect: Connect, openai_responses: str) -> None:
    is_usable, message = connect(openai_responses).test_connection()
    assert is_usable
    assert "The Responses API is not served" in message
    assert "The Assistants API is served" in message
