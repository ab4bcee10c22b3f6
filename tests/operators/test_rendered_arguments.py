"""Arguments of the create operators as templates render them, sent to the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor
from tests.owned_runs.fresh_runs import _runs_end_at_once  # noqa: F401 - a fixture
from tests.owned_runs.task_attempts import TaskAttempts, bodies
from tests.task_log import TaskLog


def response_task(**rendered: Any) -> OpenAICreateResponseOperator:
    """Return the task as it is once its templates are rendered."""
    task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="Hi")
    for name, value in rendered.items():
        setattr(task, name, value)
    return task


def run_task(**rendered: Any) -> OpenAICreateRunOperator:
    task = OpenAICreateRunOperator(task_id="task", assistant_id="asst_1")
    for name, value in rendered.items():
        setattr(task, name, value)
    return task


@pytest.mark.parametrize("name", ["instructions", "input", "model", "user", "service_tier", "tool_choice"])
def test_none_from_a_template_is_refused_before_a_response(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} rendered to 'None'"):
        TaskAttempts(response_task(**{name: " None"})).begin()
    assert sandbox.requests == []


@pytest.mark.parametrize("name", ["assistant_id", "instructions", "model", "additional_instructions"])
def test_none_from_a_template_is_refused_before_a_run(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} rendered to 'None'"):
        TaskAttempts(run_task(**{name: "None"})).begin()
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("rendered", "message"),
    [
        ({"input": None}, "needs an input"),
        ({"input": None, "previous_response_id": "None"}, "needs an input"),
        ({"model": None}, "needs a model"),
        ({"prompt": {"id": "None"}}, "prompt\\['id'\\] rendered to 'None'"),
        ({"extra_params": {"tier": "None"}}, "tier rendered to 'None'"),
        ({"input": {"id": "resp_1", "answer": "42"}}, "input must be a text or a list of items"),
        ({"previous_response_id": {"id": "resp_1"}}, "pass .output\\['id'\\]"),
        ({"conversation": {"id": "resp_1", "conversation_id": None}}, "pass .output\\['conversation_id'\\]"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "exclude each other"),
    ],
)
def test_what_cannot_be_meant_is_refused(sandbox: Sandbox, rendered: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskAttempts(response_task(**rendered)).begin()
    assert sandbox.requests == []


@pytest.mark.parametrize("absent", ["None", "", None, {"id": "None"}])
def test_an_absent_conversation_is_left_out(sandbox: Sandbox, absent: Any) -> None:
    previous = None if isinstance(absent, dict) else absent
    TaskAttempts(response_task(conversation=absent, previous_response_id=previous)).begin()
    assert {"conversation", "previous_response_id"} & set(bodies(sandbox, "/responses")[0]) == set()


@pytest.mark.parametrize("absent", ["None", "", None])
def test_an_absent_thread_creates_one(sandbox: Sandbox, absent: str | None) -> None:
    result = TaskAttempts(run_task(thread_id=absent)).begin()
    assert result["thread_id"].startswith("thread_")


@pytest.mark.parametrize(("value", "text"), [(2024, "2024"), (1.5, "1.5"), (True, "True")])
def test_numbers_become_text_where_only_text_is_valid(sandbox: Sandbox, value: Any, text: str) -> None:
    TaskAttempts(response_task(input=value, instructions=value, model=value, user=value)).begin()
    body = bodies(sandbox, "/responses")[0]
    assert [body[name] for name in ("input", "instructions", "model", "user")] == [text] * 4


def test_numbers_stay_numbers_where_they_are_valid(sandbox: Sandbox) -> None:
    TaskAttempts(response_task(max_output_tokens=100, temperature=0.5, parallel_tool_calls=True)).begin()
    body = bodies(sandbox, "/responses")[0]
    assert (body["max_output_tokens"], body["temperature"], body["parallel_tool_calls"]) == (100, 0.5, True)


def test_lists_of_input_items_stay_lists(sandbox: Sandbox) -> None:
    items = [{"role": "user", "content": "None"}]
    TaskAttempts(response_task(input=items)).begin()
    assert bodies(sandbox, "/responses")[0]["input"] == items


def test_numbers_in_a_run_become_text_too(sandbox: Sandbox) -> None:
    TaskAttempts(run_task(instructions=2024, additional_instructions=7, metadata={"year": 2024})).begin()
    body = bodies(sandbox, "/runs")[0]
    assert (body["instructions"], body["additional_instructions"]) == ("2024", "7")
    assert body["metadata"]["year"] == "2024"


def test_metadata_values_become_text(sandbox: Sandbox) -> None:
    TaskAttempts(response_task(metadata={"year": 2024, "draft": True, "price": 1.5, 7: "key"})).begin()
    metadata = bodies(sandbox, "/responses")[0]["metadata"]
    assert {key: value for key, value in metadata.items() if not key.startswith("airflow_")} == {
        "year": "2024",
        "draft": "True",
        "price": "1.5",
        "7": "key",
    }


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"a": None}, "the value must be text, not NoneType"),
        ({"a": ["b"]}, "the value must be text, not list"),
        ({"a": "b" * 513}, "the value has 513 characters"),
        ({"a" * 65: "b"}, "the key has 65 characters"),
        ("text", "metadata must be an object, not 'text'"),
    ],
)
def test_wrong_metadata_is_refused_with_the_reason(sandbox: Sandbox, metadata: Any, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        TaskAttempts(response_task(metadata=metadata)).begin()
    assert sandbox.count("POST") == 0


def test_a_run_id_of_digits_can_be_a_number(sandbox: Sandbox) -> None:
    sandbox.seed_response({"id": "2024", "object": "response", "status": "completed", "output": []})
    task = OpenAIGetRunOperator(task_id="task", run_id="{{ params.id }}")
    task.run_id = 2024  # type: ignore[assignment]
    assert task.execute({})["id"] == "2024"


@pytest.mark.parametrize("operator", [OpenAIRunSensor, OpenAIGetRunOperator, OpenAICancelRunOperator])
@pytest.mark.parametrize("key", ["id", "run_id"])
def test_a_whole_output_as_run_id_names_the_key_to_pass(operator: Any, key: str) -> None:
    task = operator(task_id="task", run_id="{{ ti.xcom_pull('op') }}")
    task.run_id = {key: "resp_1", "status": "completed"}
    with pytest.raises(InvalidRunReferenceError, match=rf"run_id must be .* pass \.output\['{key}'\]"):
        task.execute({})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("messages", "input"),
        ("response_format", "text_format"),
        ("reasoning_effort", "reasoning="),
    ],
)
def test_an_argument_of_another_api_names_the_right_one(wrong: str, right: str) -> None:
    arguments: dict[str, Any] = {wrong: 1}
    with pytest.raises(TypeError, match=f"no argument '{wrong}'; use {right}"):
        OpenAICreateResponseOperator(task_id="task", model="m", input="Hi", **arguments)


@pytest.mark.parametrize(
    ("wrong", "right"), [("max_tokens", "max_completion_tokens"), ("text_format", "response_format")]
)
def test_a_run_names_the_right_argument_too(wrong: str, right: str) -> None:
    arguments: dict[str, Any] = {wrong: 1}
    with pytest.raises(TypeError, match=f"no argument '{wrong}'; use {right}"):
        OpenAICreateRunOperator(task_id="task", assistant_id="asst_1", **arguments)


def test_the_ids_of_created_runs_are_logged(sandbox: Sandbox, task_log: TaskLog) -> None:
    response = TaskAttempts(response_task()).begin()
    run = TaskAttempts(run_task()).begin()
    lines = task_log.everything().splitlines()
    for expected in (response["id"], run["id"], run["thread_id"]):
        assert any("Created" in line and expected in line for line in lines), expected
    assert sandbox.count("POST") == 3
