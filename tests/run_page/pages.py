"""Views of runs, and the page's HTML as a parser sees it."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from airflow_provider_openai_run.run_page.rendering import rendered
from airflow_provider_openai_run.run_page.task_instance import TaskInstanceInfo
from airflow_provider_openai_run.run_page.view import RunView, view_of

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


def task(**facts: Any) -> TaskInstanceInfo:
    """A task instance of ours that has succeeded."""
    known = {"dag_id": "dag", "run_id": "manual__1", "task_id": "task", "state": "success"}
    return TaskInstanceInfo(**{**known, "operator": "OpenAIGetRunOperator", "try_number": 1, **facts})


def view(
    xcoms: Mapping[str, Any] | None = None, *, facts: TaskInstanceInfo | None = None, **run: Any
) -> RunView:
    """The view of a run that differs from the usual one, or of any XComs."""
    return view_of({"return_value": {**RUN, **run}} if xcoms is None else xcoms, facts or task(), NOW)


class Page(HTMLParser):
    """
    What a browser would make of a page.

    :param shown: the view.
    """

    def __init__(self, shown: RunView) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.html = rendered("page.html", NOW, view=shown, version="1", static="static").decode()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data
