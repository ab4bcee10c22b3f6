"""The arguments that ``masked_fields`` names are rendered and sent, and not stored by Airflow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, task
from airflow.sdk.execution_time import comms

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
    OpenAISubmitToolOutputsOperator,
)
from airflow_provider_openai_run.sandbox import Sandbox
from tests.airflow_task import AirflowTask
from tests.fake_clock import FakeClock
from tests.owned_runs.task_attempts import bodies

SECRET = "the price of the merger"


def rendered_fields(make: Any, clock: FakeClock, **params: Any) -> tuple[dict[str, Any], AirflowTask]:
    """Return what Airflow stores of a task's arguments, and the task."""
    airflow_task = AirflowTask(make, clock, params=params)
    ti = airflow_task._task_instance(None, None)
    context = ti.get_template_context()
    ti.render_templates(context=context)
    from airflow.sdk.execution_time import task_runner

    stored: Any = comms.SetRenderedFields(rendered_fields=task_runner._serialize_rendered_fields(ti.task))
    return stored.rendered_fields, airflow_task


def test_a_masked_prompt_is_sent_and_not_stored(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    sandbox.set_default_script("completed")

    def make() -> BaseOperator:
        return OpenAICreateResponseOperator(
            task_id="task",
            model="gpt-5.2",
            input=[{"role": "user", "content": "Guess {{ params.secret }}, {{ params.more }}"}],
            instructions="Keep {{ params.secret }}",
            metadata={"topic": "{{ params.more }}"},
            masked_fields=("input", "instructions", "prompt"),
            poll_interval=1,
        )

    fields, airflow_task = rendered_fields(make, fake_clock, secret=SECRET, more="twice")
    assert (fields["input"], fields["instructions"]) == ("***", "***")
    assert (fields["prompt"], fields["metadata"]) == (None, {"topic": "twice"})
    assert SECRET not in json.dumps(fields)
    assert airflow_task.run_to_end().state == "success"
    (body,) = bodies(sandbox, "/responses")
    assert body["input"] == [{"role": "user", "content": f"Guess {SECRET}, twice"}]
    assert body["instructions"] == f"Keep {SECRET}"


def test_without_it_airflow_stores_the_prompt(fake_clock: FakeClock) -> None:
    def make() -> BaseOperator:
        return OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", input="{{ params.secret }}")

    fields, _ = rendered_fields(make, fake_clock, secret=SECRET)
    assert fields["input"] == SECRET


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_other_operators_mask_too(sandbox: Sandbox, fake_clock: FakeClock, deferrable: bool) -> None:
    sandbox.set_default_script({"base": "completed", "seconds": 30})

    def make() -> BaseOperator:
        return OpenAICreateRunOperator(
            task_id="task",
            assistant_id="asst_1",
            thread={"messages": [{"role": "user", "content": "{{ params.secret }}"}]},
            additional_instructions="{{ params.secret }}",
            masked_fields={"thread", "additional_instructions"},
            deferrable=deferrable,
        )

    fields, airflow_task = rendered_fields(make, fake_clock, secret=SECRET)
    assert (fields["thread"], fields["additional_instructions"]) == ("***", "***")
    assert airflow_task.run_to_end().state == "success"
    # Before Airflow 3.3 the thread is created with the run.
    thread = next(iter(bodies(sandbox, "/threads")), None) or bodies(sandbox, "/threads/runs")[0]["thread"]
    assert thread["messages"][0]["content"] == SECRET
    submit = OpenAISubmitToolOutputsOperator(
        task_id="task", run_id="resp_1", tool_outputs=[{"a": 1}], masked_fields=["tool_outputs"]
    )
    assert str(submit.tool_outputs) == "***"


def test_the_output_of_another_task_can_be_masked(sandbox: Sandbox) -> None:
    with DAG("masked", schedule=None) as dag:

        @task
        def prompt() -> str:
            return SECRET

        OpenAICreateResponseOperator(
            task_id="response", model="gpt-5.2", input=prompt(), masked_fields=("input",)
        )

    assert dag.get_task("response").upstream_task_ids == {"prompt"}


def test_a_mapped_input_is_masked_and_not_rendered_again(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    sandbox.set_default_script("completed")
    with DAG("masked", schedule=None):
        mapped = OpenAICreateResponseOperator.partial(
            task_id="response",
            model="gpt-5.2",
            instructions="{{ 1 + 1 }}",
            masked_fields=("input", "instructions"),
        ).expand(input=["{{ 2 + 2 }}"])
    value = "{{ 2 + 2 }}"
    unmapped: Any = mapped.unmap({"input": value})
    # As Airflow's MappedOperator renders it: what was expanded is not a template.
    unmapped._do_render_template_fields(
        parent=unmapped,
        template_fields=unmapped.template_fields,
        context={},
        jinja_env=unmapped.get_template_env(),
        seen_oids={id(value)},
    )
    assert str(unmapped.input) == "***"
    assert (unmapped.input.value, unmapped.instructions.value) == (value, "2")


@pytest.mark.parametrize(
    ("masked_fields", "message"),
    [
        ("input", r"masked_fields is a collection of names, such as \('input',\)"),
        (("inptu",), "masked_fields must be some of .*, not 'inptu'"),
        (("conn_id",), "masked_fields must be some of .*, not 'conn_id'"),
    ],
)
def test_names_are_checked(masked_fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAICreateResponseOperator(task_id="t", model="m", input="Hi", masked_fields=masked_fields)


def test_the_decorator_masks_what_is_not_its_function_s(sandbox: Sandbox, fake_clock: FakeClock) -> None:
    sandbox.set_default_script("completed")

    def make() -> BaseOperator:
        @task.openai_response(
            model="gpt-5.2", instructions="{{ params.secret }}", masked_fields=("instructions",)
        )
        def question() -> str:
            return SECRET

        operator: BaseOperator = question().operator  # type: ignore[attr-defined]
        return operator

    fields, airflow_task = rendered_fields(make, fake_clock, secret=SECRET)
    assert SECRET not in json.dumps(fields)
    assert airflow_task.run_to_end().state == "success"
    (body,) = bodies(sandbox, "/responses")
    assert (body["input"], body["instructions"]) == (SECRET, SECRET)
