"""Prompts in files: which texts are file names, and which are sent as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_openai_run.operators.openai_run import (
    OpenAICreateResponseOperator,
    OpenAICreateRunOperator,
)


def rendered(folder: Path, **arguments: Any) -> Any:
    """Return the task as Airflow prepares it: files are read at parse time, templates when it runs."""
    with DAG("prompts", schedule=None, template_searchpath=str(folder)) as dag:
        task = OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", **arguments)
    dag.resolve_template_files()
    task.render_template_fields({"params": {"city": "Oslo"}})
    return task


@pytest.mark.parametrize("ending", ["j2", "jinja", "jinja2"])
def test_a_file_is_the_template_of_a_prompt(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"weather.md.{ending}").write_text("# Task\n\nThe weather in {{ params.city }}, please.\n")

    task = rendered(tmp_path, input=f"weather.md.{ending}", instructions=f"weather.md.{ending}")

    assert task.input.rstrip() == "# Task\n\nThe weather in Oslo, please."
    assert task.instructions == task.input


def test_a_text_inside_a_list_can_be_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "weather.j2").write_text("The weather in {{ params.city }}")

    task = rendered(tmp_path, input=[{"role": "user", "content": "weather.j2"}])

    assert task.input == [{"role": "user", "content": "The weather in Oslo"}]


@pytest.mark.parametrize(
    "text",
    [
        "Summarize README.md",
        "Which licence is in LICENSE.txt",
        "A line.\nnotes.md",
        "https://example.com/notes.txt",
        "Write a template called page.j2 ",
    ],
)
def test_an_ordinary_text_that_ends_like_a_file_is_sent_as_it_is(tmp_path: Path, text: str) -> None:
    assert rendered(tmp_path, input=text, instructions=text).input == text


def test_a_file_name_inside_an_object_is_sent_as_it_is(tmp_path: Path) -> None:
    items = [{"type": "input_file", "filename": "notes.txt"}, {"type": "input_text", "text": "report.md"}]
    task = rendered(tmp_path, input=[{"role": "user", "content": items}], metadata={"source": "q3.md"})
    assert task.input == [{"role": "user", "content": items}]
    assert task.metadata == {"source": "q3.md"}


@pytest.mark.parametrize("name", ["prompts/weather.md", "weather.txt", "weather.prompt"])
@pytest.mark.parametrize("argument", ["input", "instructions"])
def test_a_file_that_would_not_be_read_is_refused(argument: str, name: str) -> None:
    arguments: dict[str, Any] = {"input": "Hi", argument: name}
    with pytest.raises(ValueError, match=rf"^{argument} would be sent as the text '{name}'.*'{name}\.j2'"):
        OpenAICreateResponseOperator(task_id="task", model="gpt-5.2", **arguments)


@pytest.mark.parametrize("argument", ["instructions", "additional_instructions"])
def test_a_run_refuses_a_file_that_would_not_be_read(argument: str) -> None:
    arguments: dict[str, Any] = {argument: "rules.md"}
    with pytest.raises(ValueError, match=rf"^{argument} would be sent"):
        OpenAICreateRunOperator(task_id="task", assistant_id="asst_1", **arguments)


def test_a_file_name_from_a_template_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret.j2").write_text("secret")

    assert rendered(tmp_path, input="{{ 'secret' ~ '.' ~ 'j2' }}").input == "secret.j2"
