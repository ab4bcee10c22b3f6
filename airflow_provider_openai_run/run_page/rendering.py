"""The page as HTML: the templates, and the texts that they show the beginning of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_openai_run.run_page import formatting
from airflow_provider_openai_run.run_page.view import RunView

#: Of how much of a text the page shows the beginning, in characters; all of it is a click away.
MOST_TEXT = 4_000

#: With how many steps the page holds what they hold; with more, each is fetched when it is opened.
MOST_STEPS = 30


def rendered(name: str, now: float, **values: Any) -> bytes:
    """
    Give a page, or a piece of one.

    :param name: of its template.
    :param now: epoch seconds.
    :param values: what the template shows.
    """
    html = _templates().get_template(name).render(now=now, **values)
    # A database can hold half of a surrogate pair, which no encoding takes.
    return html.encode(errors="replace")


def text_of(view: RunView, name: str) -> str | None:
    """
    Give a text of the page in full.

    :param view: the page.
    :param name: as the template names it: ``answer``, ``error-0``, ``call-0``, ``step-3-0``.
    """
    kind, *numbers = name.split("-")
    if not all(number.isdecimal() and len(number) < 7 for number in numbers):
        return None
    places = [int(number) for number in numbers]
    texts: dict[tuple[str, int], Callable[[], str | None]] = {
        ("answer", 0): lambda: view.answer.text if view.answer else None,
        ("error", 1): lambda: view.troubles[places[0]].message,
        ("call", 1): lambda: view.pending.calls[places[0]].arguments if view.pending else None,
        ("step", 2): lambda: _block(view, *places),
    }
    try:
        return texts[kind, len(places)]() or None
    except (KeyError, IndexError):
        return None


def _block(view: RunView, number: int, place: int) -> str | None:
    step = next((step for step in view.steps or () if step.number == number), None)
    return step.content.blocks[place].text if step else None


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("airflow_provider_openai_run.run_page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.globals.update(most_text=MOST_TEXT, most_steps=MOST_STEPS)
    templates.filters.update(
        {name: getattr(formatting, name) for name in ("clock", "duration", "iso", "plural", "size")}
    )
    return templates
