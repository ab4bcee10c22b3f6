"""The troubleshooting page and the package have the same messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_openai_run import exceptions
from tests.docs.messages import literals, messages, messages_in

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
#: A message begins a list item; others with the same meaning may follow it.
MESSAGES = re.findall(r"^(?:- |  )`([^`]+)`\\?$", PAGE, re.MULTILINE)

NOT_ON_THE_PAGE = {
    # For programmers of this package: an API is used beyond its capabilities.
    "has no list of steps",
    "does not list runs",
    "creates no runs here",
    "takes no tool outputs",
    "a blocking send cannot suspend",
    "begin_pass was not called",
    "JSON nested too deeply",  # reported as "a body that is not valid JSON"
}


def test_there_are_messages_on_the_page() -> None:
    assert len(MESSAGES) > 100


@pytest.mark.parametrize("message", sorted(set(MESSAGES)))
def test_every_message_on_the_page_is_in_the_source(message: str) -> None:
    parts = [part.strip() for part in message.split("…")]

    assert [part for part in parts if not any(part in text for text in literals())] == []


def test_every_message_in_the_source_is_on_the_page() -> None:
    missing = [
        f"{module}: {text}" for module, text in messages() if text not in PAGE and text not in NOT_ON_THE_PAGE
    ]

    assert missing == []


ERRORS = sorted(name for name in vars(exceptions) if name.endswith("Error"))


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_a_section_of_its_name(name: str) -> None:
    """The anchor of a section is its heading in lower case."""
    assert re.findall(rf"^### {name}\n\n(.*)", PAGE, re.MULTILINE) != []
    section = PAGE.partition(f"### {name}\n\n")[2]
    assert section.startswith(f"{{py:exc}}`~airflow_provider_openai_run.exceptions.{name}`")


def test_there_are_errors_on_the_list() -> None:
    assert len(ERRORS) > 15


def test_no_two_sections_have_the_same_heading() -> None:
    headings = re.findall(r"^#+ (.+)", PAGE, re.MULTILINE)

    assert len(headings) == len(set(headings))


@pytest.mark.parametrize(
    "code",
    [
        'raise ValueError("a message of five words")',
        'raise RunError(f"a message of five words {run}")',
        'log.warning("a message of five words", run)',
        'anything = "a message of five words"\nraise RunError(anything)',
        'anything = f"a message of five words {run}"\nreturn RunError(f"{anything}.")',
        'anything = "a message of five words"\nreturn type(error)(anything)',
    ],
)
def test_a_message_is_found_wherever_it_is_written(code: str) -> None:
    lines = "\n".join(f"    {line}" for line in code.splitlines())

    assert "a message of five words" in list(messages_in(f"def function():\n{lines}\n"))


@pytest.mark.parametrize("code", ['log.info("a text of five words")', 'message = "a text of five words"'])
def test_a_text_that_is_not_a_message_is_not_found(code: str) -> None:
    assert list(messages_in(f"def function():\n    {code}\n")) == []
