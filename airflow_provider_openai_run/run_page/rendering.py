"""HTML from the templates, and the full texts that the page shortens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_openai_run.run_page import formatting
from airflow_provider_openai_run.run_page.rounds import AnsweredCall
from airflow_provider_openai_run.run_page.view import RunView

#: The length to which the page shortens a text, in characters; a button loads all of it.
MAX_TEXT_LENGTH = 4_000

#: Up to this many steps, the page includes their content; with more, each is loaded when it is opened.
MAX_INLINE_STEPS = 30

#: From this many steps on, the list has filters.
MIN_STEPS_WITH_FILTERS = 10

_FILTERS = ("format_count", "format_duration", "format_iso", "format_size", "format_time", "pluralize")


def render(template: str, now: float, **values: Any) -> bytes:
    """
    Return the HTML of a template.

    :param template: its file name.
    :param now: epoch seconds.
    :param values: the template's variables.
    """
    html = _environment().get_template(template).render(now=now, **values)
    # A database can hold lone surrogates, which UTF-8 cannot encode.
    return html.encode(errors="replace")


def find_text(view: RunView, name: str) -> str | None:
    """
    Return the full text of a block of the page; None if there is no such block.

    :param name: the block's name in the template: ``answer``, ``refusal``, ``error-0``, ``call-0``,
        ``input-0``, ``arguments-0-0`` and ``output-0-0`` of a round's call, ``step-3-0``.
    """
    kind, *parts = name.split("-")
    if not all(part.isdecimal() and len(part) < 7 for part in parts):
        return None
    indexes = [int(part) for part in parts]
    readers: dict[tuple[str, int], Callable[[], str | None]] = {
        ("answer", 0): lambda: view.answer.text if view.answer else None,
        ("refusal", 0): lambda: view.refusal,
        ("input", 1): lambda: view.input[indexes[0]].text,
        ("arguments", 2): lambda: _answered_call(view, *indexes).arguments,
        ("output", 2): lambda: _answered_call(view, *indexes).output,
        ("error", 1): lambda: view.errors[indexes[0]].message,
        ("call", 1): lambda: _call_arguments(view, *indexes),
        ("step", 2): lambda: _step_block(view, *indexes),
    }
    try:
        return readers[kind, len(indexes)]() or None
    except (KeyError, IndexError):
        return None


def _call_arguments(view: RunView, index: int) -> str | None:
    return view.required_action.calls[index].arguments if view.required_action else None


def _answered_call(view: RunView, number: int, index: int) -> AnsweredCall:
    return view.rounds[number].calls[index]


def _step_block(view: RunView, number: int, index: int) -> str | None:
    step = next((step for step in view.steps or () if step.number == number), None)
    return step.content.blocks[index].text if step else None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("airflow_provider_openai_run.run_page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(
        max_text_length=MAX_TEXT_LENGTH,
        max_inline_steps=MAX_INLINE_STEPS,
        min_steps_with_filters=MIN_STEPS_WITH_FILTERS,
    )
    environment.filters.update({name: getattr(formatting, name) for name in _FILTERS})
    return environment
