"""Arguments that belong to another API: the error names the right one wherever the argument is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_openai_run.exceptions import InvalidRunReferenceError
from airflow_provider_openai_run.operators._owned_run import OwnedRunOperator
from airflow_provider_openai_run.operators.openai_run import (
    OpenAICancelRunOperator,
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAIGetRunOperator,
    OpenAISubmitToolOutputsOperator,
)
from airflow_provider_openai_run.sensors.openai_run import OpenAIRunSensor

# Airflow 3.1 warns of one of its own imports when it creates the decorator.
pytestmark = pytest.mark.filterwarnings("ignore:The `airflow.operators")

RESPONSE: dict[str, Any] = {"task_id": "task", "model": "gpt-5.2"}
#: A wrong name, and the beginning of what the error says to use.
WRONG = [("max_tokens", "max_output_tokens"), ("messages", "input"), ("response_format", "text_format")]


def says(wrong: str, right: str, of: str = "OpenAICreateResponseOperator") -> str:
    return f"^{of} has no argument '{wrong}'; use {right}"


@pytest.mark.parametrize(("wrong", "right"), WRONG)
def test_partial_names_the_right_argument(wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=says(wrong, right)):
        OpenAICreateResponseOperator.partial(**RESPONSE, **{wrong: 1})


@pytest.mark.filterwarnings("ignore:Task 'task' was never mapped")
@pytest.mark.parametrize(("wrong", "right"), WRONG)
def test_a_mapped_argument_names_the_right_one(wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=says(wrong, right)):
        OpenAICreateResponseOperator.partial(**RESPONSE).expand(**{wrong: ["a"]})
    with pytest.raises(TypeError, match=says(wrong, right)):
        OpenAICreateResponseOperator.partial(**RESPONSE).expand_kwargs([{"input": "a"}, {wrong: "a"}])


def test_a_run_names_its_own_arguments_in_partial() -> None:
    right = says("max_tokens", "max_completion_tokens", of="OpenAICreateRunOperator")
    with pytest.raises(TypeError, match=right):
        OpenAICreateRunOperator.partial(task_id="task", max_tokens=1)


def test_an_argument_that_no_api_has_keeps_the_error_of_airflow() -> None:
    with pytest.raises(TypeError, match=r"partial\(\) got an unexpected keyword argument 'colour'"):
        OpenAICreateResponseOperator.partial(**RESPONSE, colour="red")


@pytest.mark.parametrize(("wrong", "right"), WRONG)
def test_the_decorator_names_the_right_argument_before_it_is_called(wrong: str, right: str) -> None:
    arguments: dict[str, Any] = {wrong: 1}
    with pytest.raises(TypeError, match=says(wrong, right, of="@task.openai_response")):
        task.openai_response(model="gpt-5.2", **arguments)


def test_mapping_over_the_right_arguments_works() -> None:
    with DAG("dag", schedule=None) as dag:
        OpenAICreateResponseOperator.partial(task_id="a", model="gpt-5.2").expand(input=["Hi", "Ho"])
        OpenAICreateResponseOperator.partial(task_id="b", model="gpt-5.2").expand_kwargs([{"input": "Hi"}])

    assert [type(mapped).__name__ for mapped in dag.tasks] == ["MappedOperator"] * 2


@pytest.mark.parametrize(
    ("operator", "arguments", "key"),
    [
        (OpenAICreateResponseOperator, {"model": "gpt-5.2", "input": "Hi"}, "id"),
        (OpenAICreateRunOperator, {"assistant_id": "asst_1"}, "id"),
        (OpenAIGetRunOperator, {"run_id": "resp_1"}, "id"),
        (OpenAIRunSensor, {"run_id": "resp_1"}, "run_id"),
        (OpenAICancelRunOperator, {"run_id": "resp_1"}, "run_id"),
    ],
)
@pytest.mark.parametrize(
    "waiting",
    [
        OpenAIRunSensor,
        OpenAIGetRunOperator,
        OpenAICancelRunOperator,
        lambda **run: OpenAISubmitToolOutputsOperator(**run, approvals=[{}]),
    ],
    ids=["sensor", "get", "cancel", "submit"],
)
def test_a_whole_output_is_refused_when_the_dag_is_parsed(
    waiting: Any, operator: Any, arguments: dict[str, Any], key: str
) -> None:
    op = operator(task_id="op", **arguments)
    for whole in (op, op.output):
        with pytest.raises(InvalidRunReferenceError, match=rf"run_id .* pass \.output\['{key}'\]"):
            waiting(task_id="waiting", run_id=whole)


@pytest.mark.parametrize("key", ["id", "run_id"])
def test_one_key_of_an_output_is_accepted(key: str) -> None:
    with DAG("dag", schedule=None):
        first = OpenAICreateResponseOperator(task_id="first", model="gpt-5.2", input="Hi")
        output: Any = first.output
        arguments: dict[str, Any] = {"run_id": output[key]}
        OpenAIRunSensor(task_id="wait", **arguments)

    assert first.downstream_task_ids == {"wait"}


@pytest.mark.parametrize(
    ("name", "key"), [("previous_response_id", "id"), ("conversation", "conversation_id")]
)
def test_a_whole_output_is_no_previous_response(name: str, key: str) -> None:
    first = OpenAICreateResponseOperator(task_id="first", model="gpt-5.2", input="Hi")
    arguments: dict[str, Any] = {name: first.output}
    with pytest.raises(InvalidRunReferenceError, match=rf"{name} .* pass \.output\['{key}'\]"):
        OpenAICreateResponseOperator(**RESPONSE, input="Hi", **arguments)


def test_an_operator_with_another_return_value_can_be_passed_whole() -> None:
    class ReturnsId(OpenAICreateResponseOperator):  # its execute returns the id alone
        OUTPUT_KEYS = ()

    with DAG("dag", schedule=None) as dag:
        first = ReturnsId(task_id="first", model="gpt-5.2", input="Hi")
        arguments: dict[str, Any] = {"run_id": first.output}
        OpenAIRunSensor(task_id="wait", **arguments)

    assert dag.get_task("wait").upstream_task_ids == {"first"}


@pytest.mark.parametrize("value", ["5", 0, -1, True, float("nan"), timedelta(0), [5]])
def test_a_wrong_poke_interval_is_refused_under_its_own_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^poke_interval must be more than 0 seconds"):
        OpenAIRunSensor(task_id="wait", run_id="resp_1", poke_interval=value)


@pytest.mark.parametrize("value", ["5", 0, -1, True])
@pytest.mark.parametrize("name", ["poll_interval", "max_poll_interval"])
def test_a_wrong_poll_interval_is_refused_under_its_own_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be more than 0 seconds"):
        OpenAIRunSensor(task_id="wait", run_id="resp_1", **{name: value})


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (OpenAICreateResponseOperator, {"model": "gpt-5.2", "input": "Hi"}),
        (OpenAICreateRunOperator, {"assistant_id": "asst_1"}),
    ],
)
def test_a_timeout_of_the_default_arguments_bounds_a_created_run(
    operator: type[OwnedRunOperator], arguments: dict[str, Any]
) -> None:
    with DAG("limited", schedule=None, default_args={"timeout": 60}):
        bounded = operator(task_id="task", **arguments)

    assert bounded.time_limit() == ("timeout", 60.0)
    assert bounded.cancel_on_timeout
