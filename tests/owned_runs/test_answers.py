"""The answer of a run: commentary, refusals, and what does not match the format."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from airflow_provider_openai_run.exceptions import AnswerFormatError
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts
from tests.task_log import TaskLog


class Colour(BaseModel):
    name: str


def attempts(**arguments: Any) -> TaskAttempts:
    return TaskAttempts(
        OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi", **arguments)
    )


def set_messages(sandbox: Sandbox, *messages: dict[str, Any]) -> None:
    """Let the next responses consist of these messages."""
    steps = [{"type": "message", "details": {"role": "assistant", **message}} for message in messages]
    sandbox.set_default_script({"base": "instant", "steps": steps})


def test_commentary_is_not_part_of_the_answer(sandbox: Sandbox) -> None:
    set_messages(
        sandbox,
        {"phase": "commentary", "content": [{"type": "output_text", "text": "Looking it up."}]},
        {"phase": "final_answer", "content": [{"type": "output_text", "text": '{"name": "red"}'}]},
    )
    assert attempts().begin()["answer"] == '{"name": "red"}'
    assert attempts(text_format=Colour).begin()["answer"] == {"name": "red"}


def test_content_that_is_a_bare_text_is_the_answer(sandbox: Sandbox) -> None:
    set_messages(sandbox, {"content": "42"})
    assert attempts().begin()["answer"] == "42"


def test_messages_of_others_are_not_part_of_the_answer(sandbox: Sandbox) -> None:
    set_messages(sandbox, {"content": "the prompt", "role": "user"}, {"content": "42"})
    assert attempts().begin()["answer"] == "42"


def test_a_refusal_is_kept_in_its_own_words(sandbox: Sandbox, task_log: TaskLog) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"refusal": "I will not say that."}]})
    result = attempts().begin()
    assert (result["answer"], result["refusal"]) == (None, "I will not say that.")
    assert "refused: 'I will not say that.'" in task_log.everything()


def test_a_run_that_refuses_keeps_its_words(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"refusal": "No."}]})
    result = TaskAttempts(OpenAICreateRunOperator(task_id="task", assistant_id="asst_1")).begin()
    assert (result["answer"], result["refusal"]) == (None, "No.")


def test_a_refusal_in_place_of_an_object_fails_with_its_words(sandbox: Sandbox) -> None:
    sandbox.set_default_script({"base": "instant", "steps": [{"refusal": "I will not say that."}]})
    task = attempts(text_format=Colour)
    with pytest.raises(AnswerFormatError, match=r"refused to answer as Colour: 'I will not say that\.'"):
        task.begin()
    assert (task.pushed["answer"], task.pushed["refusal"]) == (None, "I will not say that.")


def test_an_answer_without_a_refusal_says_so(sandbox: Sandbox) -> None:
    sandbox.set_default_script("instant")
    result = attempts().begin()
    assert (result["answer"], result["refusal"]) == ("The answer is 42.", None)


def test_an_unreadable_answer_is_quoted_cut_and_masked(sandbox: Sandbox) -> None:
    text = "Sure! The key is sk-abcdefgh1234. " + "Let me explain. " * 100
    sandbox.set_default_script({"base": "instant", "steps": [{"text": text}]})
    with pytest.raises(AnswerFormatError) as caught:
        attempts(text_format=Colour).begin()
    message = caught.value.message
    assert "The answer begins: 'Sure! The key is ***" in message
    assert "sk-abcdefgh1234" not in message
    assert len(message) < 500


def test_many_problems_of_an_answer_are_cut(sandbox: Sandbox) -> None:
    class Colours(BaseModel):
        names: list[int]

    text = '{"names": [' + ", ".join(['"red"'] * 1000) + "]}"
    sandbox.set_default_script({"base": "instant", "steps": [{"text": text}]})
    with pytest.raises(AnswerFormatError) as caught:
        attempts(text_format=Colours).begin()
    assert len(caught.value.message) < 1000
