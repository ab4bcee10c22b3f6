"""The trouble-shooting page and the package say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_openai_run import exceptions
from tests.docs.messages import complaints, literals

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
#: A message stands at the beginning of an item, and may be followed by others that mean the same.
MESSAGES = re.findall(r"^(?:- |  )`([^`]+)`\\?$", PAGE, re.MULTILINE)

UNSEEN = {
    # For programmers of this package: an API is used beyond its capabilities.
    "has no list of steps",
    "does not list runs",
    "creates no runs here",
    "takes no tool outputs",
    "a blocking send cannot suspend",
    "JSON nested too deeply",  # reported as "a body that is not valid JSON"
}


def test_there_are_messages_on_the_page() -> None:
    assert len(MESSAGES) > 100


@pytest.mark.parametrize("message", sorted(set(MESSAGES)))
def test_every_message_on_the_page_stands_in_the_source(message: str) -> None:
    parts = [part.strip() for part in message.split("…")]

    assert [part for part in parts if not any(part in text for text in literals())] == []


def test_every_message_in_the_source_stands_on_the_page() -> None:
    missing = [
        f"{module}: {text}" for module, text in complaints() if text not in PAGE and text not in UNSEEN
    ]

    assert missing == []


@pytest.mark.parametrize(
    "name", sorted(name for name, held in vars(exceptions).items() if name.endswith("Error"))
)
def test_every_error_has_its_place_on_the_page(name: str) -> None:
    assert f"exceptions.{name}`" in PAGE
