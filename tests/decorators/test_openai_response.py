from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, task
from pydantic import BaseModel

from airflow_provider_openai_run.decorators.openai_response import openai_response_task
from airflow_provider_openai_run.exceptions import RunFailedError
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock

#: Airflow 3.1 warns of an import of its own when a decorator is first used.
pytestmark = pytest.mark.filterwarnings("ignore:The `airflow.operators")

MODES = {"holding a worker": False, "deferred": True}

#: Makes the task of a decorated function: ``decorated(function, *arguments, model=…)``.
Decorated = Callable[..., AirflowTask]


class Colour(BaseModel):
    name: str


@pytest.fixture(params=MODES)
def deferrable(request: pytest.FixtureRequest) -> bool:
    return MODES[request.param]


@pytest.fixture
def decorated(sandbox: Sandbox, fake_clock: FakeClock) -> Decorated:
    def make(
        function: Callable[..., Any],
        *arguments: Any,
        params: dict[str, Any] | None = None,
        map_index: int = -1,
        expand: dict[str, Any] | None = None,
        **options: Any,
    ) -> AirflowTask:
        options = {"model": "gpt-5.2", "deferrable": False, **options}

        def operator() -> Any:
            decorator = openai_response_task(**options)(function)
            result: Any = decorator.expand(**expand) if expand else decorator(*arguments)
            return result.operator

        return AirflowTask(operator, fake_clock, params=params, map_index=map_index)

    return make


def body_sent(sandbox: Sandbox) -> dict[str, Any]:
    (post,) = [request for request in sandbox.requests if request.method == "POST"]
    body: dict[str, Any] = post.body
    return body


def test_the_function_returns_the_input_and_the_task_the_answer(
    sandbox: Sandbox, decorated: Decorated, deferrable: bool
) -> None:
    def summarize(text: str) -> str:
        return f"The article: {text}"

    end = decorated(summarize, "Rain.", instructions="Be brief.", deferrable=deferrable).run_to_end()

    assert end.state == "success"
    assert end.xcoms["return_value"] == "The answer is 42."
    body = body_sent(sandbox)
    assert (body["model"], body["instructions"], body["input"]) == (
        "gpt-5.2",
        "Be brief.",
        "The article: Rain.",
    )


def test_the_attributes_of_the_response_are_pushed_under_their_keys(
    decorated: Decorated, deferrable: bool
) -> None:
    end = decorated(lambda: "Hi", task_id="greet", deferrable=deferrable).run_to_end()
    assert end.xcoms["status"] == "completed"
    assert end.xcoms["id"].startswith("resp_")
    assert end.xcoms["usage"]["total_tokens"] == 300
    assert end.xcoms["answer"] == end.xcoms["return_value"]


def test_nothing_is_pushed_if_that_is_switched_off(decorated: Decorated, deferrable: bool) -> None:
    end = decorated(lambda: "Hi", task_id="greet", deferrable=deferrable, do_xcom_push=False).run_to_end()
    assert (end.state, end.xcoms) == ("success", {})


def test_with_a_text_format_the_answer_is_the_parsed_object(
    sandbox: Sandbox, decorated: Decorated, deferrable: bool
) -> None:
    sandbox.set_default_script({"base": "completed", "steps": [{"text": '{"name": "red"}'}]})
    end = decorated(lambda: "Hi", task_id="task", text_format=Colour, deferrable=deferrable).run_to_end()
    assert end.xcoms["return_value"] == {"name": "red"}


def test_an_object_can_be_pushed_key_by_key(sandbox: Sandbox, decorated: Decorated) -> None:
    sandbox.set_default_script({"base": "completed", "steps": [{"text": '{"name": "red"}'}]})
    end = decorated(lambda: "Hi", task_id="task", text_format=Colour, multiple_outputs=True).run_to_end()
    assert end.xcoms["name"] == "red"


def test_the_function_gets_the_context_and_may_return_items(sandbox: Sandbox, decorated: Decorated) -> None:
    def prompt_for(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return [{"role": "user", "content": (params or {})["question"]}]

    decorated(prompt_for, params={"question": "Why?"}).run_to_end()
    assert body_sent(sandbox)["input"] == [{"role": "user", "content": "Why?"}]


def test_arguments_are_rendered_and_the_input_is_not(sandbox: Sandbox, decorated: Decorated) -> None:
    def prompt_for(text: str) -> str:
        return text + " {{ params.secret }}"

    decorated(
        prompt_for,
        "{{ params.name }}",
        model="{{ params.model }}",
        params={"name": "Ann", "model": "m", "secret": 1},
    ).run_to_end()
    assert (body_sent(sandbox)["model"], body_sent(sandbox)["input"]) == ("m", "Ann {{ params.secret }}")


def test_the_function_is_not_called_again_after_a_deferral(decorated: Decorated) -> None:
    calls = []

    def prompt_for() -> str:
        calls.append("called")
        return "Hi"

    assert decorated(prompt_for, deferrable=True).run_to_end().state == "success"
    assert calls == ["called"]


def test_a_function_that_returns_none_fails_before_anything_is_sent(
    sandbox: Sandbox, decorated: Decorated
) -> None:
    def prompt_for() -> None:
        return None

    end = decorated(prompt_for).run_to_end()
    assert isinstance(end.error, ValueError)
    assert "prompt_for returned None" in str(end.error)
    assert sandbox.requests == []


def test_a_stored_prompt_needs_no_input(sandbox: Sandbox, decorated: Decorated) -> None:
    end = decorated(lambda: None, task_id="task", prompt={"id": "pmpt_1"}).run_to_end()
    assert end.state == "success"
    assert "input" not in body_sent(sandbox)


def test_a_failed_response_fails_the_task(sandbox: Sandbox, decorated: Decorated, deferrable: bool) -> None:
    sandbox.set_default_script("failed")
    end = decorated(lambda: "Hi", task_id="task", deferrable=deferrable).run_to_end()
    assert isinstance(end.error, RunFailedError)


def test_an_error_of_the_function_fails_the_task(sandbox: Sandbox, decorated: Decorated) -> None:
    def prompt_for() -> str:
        raise LookupError("no article")

    end = decorated(prompt_for).run_to_end()
    assert isinstance(end.error, LookupError)
    assert sandbox.requests == []


def test_it_can_be_mapped(sandbox: Sandbox, decorated: Decorated) -> None:
    def prompt_for(text: str) -> str:
        return f"About {text}"

    for index in (0, 1):
        decorated(prompt_for, expand={"text": ["rain", "snow"]}, map_index=index).run_to_end()
    inputs = [request.body["input"] for request in sandbox.requests if request.method == "POST"]
    assert inputs == ["About rain", "About snow"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"input": "Hi"}, "input is not an argument"), ({"model": None}, "needs a model")],
)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with DAG("parsed", schedule=None), pytest.raises(ValueError, match=message):
        openai_response_task(task_id="task", **{"model": "gpt-5.2", **arguments})(lambda: "Hi")()


def test_airflow_finds_it_by_its_name() -> None:
    assert task.openai_response is openai_response_task
    with DAG("named", schedule=None):

        @task.openai_response(model="gpt-5.2")
        def prompt_for() -> str:
            return "Hi"

        result: Any = prompt_for()
    assert result.operator.operator_name == "@task.openai_response"
    assert result.operator.multiple_outputs is False


def test_the_decorators_of_other_providers_still_work() -> None:
    with DAG("plain", schedule=None) as dag:

        @task
        def first() -> str:
            return "third"

        @task.branch
        def second(name: str) -> str:
            return name

        @task.bash
        def third() -> str:
            return "echo third"

        name: Any = first()
        second(name) >> third()

    assert sorted(dag.task_ids) == ["first", "second", "third"]
