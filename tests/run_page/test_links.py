from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_openai_run.run_page.links import console_url_of, is_web_url, task_links, task_url
from airflow_provider_openai_run.run_page.task_instance import Iteration
from tests.run_page.pages import make_task

CONSOLE = "https://platform.example/logs/resp_1"


def test_the_links_of_a_task_are_relative_and_its_ids_are_quoted() -> None:
    task = make_task(dag_id="a/b", run_id="manual__2026-01-01T00:00:00+00:00", task_id="group.task")
    url = "../../../../dags/a%2Fb/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/group.task"
    assert task_url(task) == url
    assert task_url(make_task(map_index=3)).endswith("/tasks/task/mapped/3")
    loop = (Iteration("a", 0), Iteration("b", 1))
    url = task_url(make_task(iteration=1, iterations=loop), "/xcom")
    assert url.endswith("/tasks/task/xcom?region_id=b&region_index=1")


def test_a_task_links_to_its_log_its_xcoms_and_the_console() -> None:
    links = task_links(make_task(), CONSOLE)
    assert [link.label for link in links] == ["Task log", "XComs", "Vendor's console"]
    assert [link.is_external for link in links] == [False, False, True]


def test_a_parked_task_links_to_its_required_action_first() -> None:
    link = task_links(make_task(state="awaiting_input"), None)[0]
    assert link.url.endswith("/tasks/task/required_actions")


@pytest.mark.parametrize(
    "value",
    [
        *(None, 7, {}, "", "resp_1", "/relative", "//host/x", "https://", "javascript:alert(1)"),
        *("data:text/html,x", "java\nscript:alert(1)", " https://a.example", "https://a b", "http://[::1"),
        "https://a.example/" + "x" * 2_000,
    ],
)
def test_a_value_that_is_no_url_of_the_web_is_no_link(value: Any) -> None:
    assert not is_web_url(value)
    assert len(task_links(make_task(), value)) == 2


def test_the_console_url_of_another_run_has_its_id() -> None:
    assert console_url_of("resp_0", "resp_1", CONSOLE) == "https://platform.example/logs/resp_0"
    assert console_url_of("../x?", "resp_1", CONSOLE) == "https://platform.example/logs/..%2Fx%3F"


@pytest.mark.parametrize(
    ("other_id", "run_id", "url"),
    [
        ("resp_0", "resp_1", None),
        ("resp_0", "resp_1", "https://platform.example/logs"),
        (None, "resp_1", CONSOLE),
        ("resp_0", "", CONSOLE),
        ("resp_0", "o", CONSOLE),
    ],
)
def test_a_console_url_that_cannot_be_derived_is_none(other_id: Any, run_id: Any, url: Any) -> None:
    assert console_url_of(other_id, run_id, url) is None
