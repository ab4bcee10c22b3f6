"""Views of runs, and the page's parsed HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from airflow_provider_openai_run.run_page.rendering import render
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.view import RunView, build_view

NOW = 1_795_000_000.0
RUN: dict[str, Any] = {
    "id": "run_1",
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "model": "gpt-5.2",
    "object": "thread.run",
    "status": "completed",
    "created_at": NOW - 100,
    "started_at": NOW - 95,
    "completed_at": NOW - 40,
    "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000},
    "steps": [],
    "last_error": None,
    "required_action": None,
}


def make_task(**values: Any) -> TaskInstanceInfo:
    """Return a task instance of OpenAIGetRunOperator that has succeeded, with other values where given."""
    defaults = {"dag_id": "dag", "run_id": "manual__1", "task_id": "task", "state": "success"}
    return TaskInstanceInfo(**{**defaults, "operator": "OpenAIGetRunOperator", "try_number": 1, **values})


def make_view(
    xcoms: Mapping[str, Any] | None = None, *, task: TaskInstanceInfo | None = None, **attributes: Any
) -> RunView:
    """Return the view of some XComs; without XComs, of the run RUN with other attributes where given."""
    xcoms = {"return_value": {**RUN, **attributes}} if xcoms is None else xcoms
    return build_view(xcoms, task or make_task(), NOW)


class ParsedPage(HTMLParser):
    """
    The page of a view: its HTML, tags, attributes and text.

    :param view: the view to render.
    """

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        #: The attributes of each ``a`` element.
        self.links: list[dict[str, str | None]] = []
        self.text = ""
        self.html = render("page.html", NOW, view=view, version="1", static="static").decode()
        self.feed(self.html)

    @property
    def links_to_web(self) -> list[str]:
        """The links that leave Airflow."""
        return [str(link["href"]) for link in self.links if str(link["href"]).startswith("http")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "a":
            self.links.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data
