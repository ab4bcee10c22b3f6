"""The page's HTTP routes: permissions, headers and content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api import security
from airflow.models.dag import DagModel
from sqlalchemy.orm import Session

from airflow_provider_openai_run.run_page.routes import build_app
from tests.run_page.page_client import (
    HAS_LOOPS,
    LOGGED_IN,
    AuthManager,
    add_rendered_fields,
    add_task,
    add_xcoms,
    get,
    login_headers,
    open_database,
)
from tests.run_page.pages import RUN

PAGE = "/dag/manual__1+1/task/-1"
ROUTES = ("", "/state", "/step/1", "/text/answer", "/raw", "/search?text=hello")
PATHS = [PAGE + route for route in ROUTES]
STEPS = [{"details": json.dumps({"type": "message", "content": [{"type": "output_text", "text": "Hello"}]})}]
ALL_PERMISSIONS = frozenset({("dag", DagAccessEntity.TASK_INSTANCE), ("dag", DagAccessEntity.XCOM)})

needs_loops = pytest.mark.skipif(not HAS_LOOPS, reason="Airflow has loops from 3.4 on")


@pytest.fixture
def session() -> Iterator[Session]:
    yield from open_database()


@pytest.fixture
def auth_manager(monkeypatch: pytest.MonkeyPatch) -> AuthManager:
    manager = AuthManager(ALL_PERMISSIONS)
    monkeypatch.setattr(security, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(DagModel, "get_team_name", mock.Mock(return_value=None))
    return manager


@pytest.fixture
def app(session: Session, auth_manager: AuthManager) -> Any:
    app = build_app()
    app.dependency_overrides[_get_session] = lambda: session
    return app


@pytest.fixture
def app_with_run(app: Any, session: Session) -> Any:
    """The app, with a task whose run has completed."""
    add_task(session)
    add_xcoms(session, return_value={**RUN, "steps": STEPS, "answer": "42"}, other="secret of another")
    return app


@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_there_is_no_access(app_with_run: Any, path: str) -> None:
    assert get(app_with_run, path).status == 401
    assert get(app_with_run, path, login_headers("bad")).status == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "readable",
    [
        frozenset(),
        frozenset({("dag", DagAccessEntity.TASK_INSTANCE)}),
        frozenset({("dag", DagAccessEntity.XCOM)}),
        frozenset({("other", DagAccessEntity.TASK_INSTANCE), ("other", DagAccessEntity.XCOM)}),
    ],
)
def test_without_both_permissions_there_is_no_access(
    app_with_run: Any, auth_manager: AuthManager, path: str, readable: frozenset[Any]
) -> None:
    auth_manager.readable = readable
    response = get(app_with_run, path, LOGGED_IN)
    assert response.status == 403
    assert "gpt-5.2" not in response.text


@pytest.mark.parametrize("path", PATHS)
def test_with_both_permissions_responses_have_security_headers(
    app_with_run: Any, auth_manager: AuthManager, path: str
) -> None:
    response = get(app_with_run, path, LOGGED_IN)
    assert response.status == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert auth_manager.requests == [
        ("GET", DagAccessEntity.TASK_INSTANCE, "dag"),
        ("GET", DagAccessEntity.XCOM, "dag"),
    ]


def test_the_page_shows_the_run_and_no_other_xcom(app_with_run: Any) -> None:
    response = get(app_with_run, PAGE, LOGGED_IN)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "gpt-5.2" in response.text
    assert "secret of another" not in response.text


def test_the_map_index_placeholder_means_a_task_that_is_not_mapped(app_with_run: Any) -> None:
    assert "gpt-5.2" in get(app_with_run, "/dag/manual__1+1/task/{MAP_INDEX}", LOGGED_IN).text


def test_each_mapped_task_instance_has_its_own_page(app: Any, session: Session) -> None:
    for map_index in (0, 1):
        add_task(session, map_index=map_index)
        add_xcoms(session, map_index=map_index, return_value={**RUN, "model": f"model-{map_index}"})
    pages = [get(app, f"/dag/manual__1+1/task/{map_index}", LOGGED_IN).text for map_index in (0, 1)]
    assert [f"model-{index}" in page for index, page in enumerate(pages)] == [True, True]
    assert "model-1" not in pages[0]
    assert get(app, PAGE, LOGGED_IN).status == 404


def loop_address(region: int, index: int) -> str:
    return f"region_id={UUID(int=region)}&region_index={index}"


@pytest.fixture
def app_with_loop(app: Any, session: Session) -> Any:
    """The app, with a task in the third iteration of a loop whose last two were created again."""
    for region, index in ((2, 1), (1, 0), (2, 2)):
        add_task(session, map_index=index, region_id=UUID(int=region))
        add_xcoms(
            session,
            map_index=index,
            region_id=UUID(int=region),
            return_value={**RUN, "steps": STEPS, "model": f"model-{index}", "answer": f"answer {index}"},
        )
    return app


@needs_loops
@pytest.mark.parametrize(("region", "index"), [(1, 0), (2, 1), (2, 2)])
def test_each_iteration_of_a_loop_has_its_own_page(app_with_loop: Any, region: int, index: int) -> None:
    address = loop_address(region, index)
    paths = ("", "/raw", "/step/1")
    page, raw, step = (get(app_with_loop, f"{PAGE}{path}?{address}", LOGGED_IN) for path in paths)
    assert f"model-{index}" in page.text
    assert f"<span>Iteration {index}</span>" in page.text
    assert raw.json()["answer"] == f"answer {index}"
    assert step.status == 200


@needs_loops
def test_a_page_of_a_loop_links_the_iterations_beside_it(app_with_loop: Any) -> None:
    queries = ("", f"?{loop_address(2, 1)}")
    last, middle = (get(app_with_loop, f"{PAGE}{query}", LOGGED_IN).text for query in queries)
    assert "model-2" in last
    assert [text in last for text in (">previous</a>", ">next</a>")] == [True, False]
    for region, index in ((1, 0), (2, 2)):
        assert loop_address(region, index).replace("&", "&amp;") in middle


@needs_loops
@pytest.mark.parametrize(
    ("address", "status"),
    [(loop_address(1, 7), 404), ("region_id=x&region_index=1", 422), ("region_id=x", 422)],
)
def test_an_unknown_iteration_has_no_page(app_with_loop: Any, address: str, status: int) -> None:
    assert get(app_with_loop, f"{PAGE}?{address}", LOGGED_IN).status == status


def test_a_task_outside_of_loops_has_no_links_to_iterations(app_with_run: Any) -> None:
    assert "Iteration" not in get(app_with_run, PAGE, LOGGED_IN).text


def test_urls_on_the_page_are_relative(app_with_run: Any) -> None:
    text = get(app_with_run, PAGE, LOGGED_IN).text
    assert re.search(r'href="../../../static/[0-9a-f]{12}/page.css"', text)
    assert re.search(r'src="../../../static/[0-9a-f]{12}/page.js"', text)
    assert 'href="../../../../dags/dag/runs/manual__1%2B1/tasks/task"' in text
    assert 'src="/' not in text
    assert 'href="/' not in text


def test_the_version_changes_with_the_xcoms(app: Any, session: Session) -> None:
    add_task(session, state="deferred")
    states = [get(app, f"{PAGE}/state", LOGGED_IN).json()]
    add_xcoms(session, model="gpt-5.2")
    states.append(get(app, f"{PAGE}/state", LOGGED_IN).json())
    assert states[0]["version"] != states[1]["version"]
    assert [state["is_live"] for state in states] == [True, True]


def test_a_task_that_has_ended_is_not_live(app_with_run: Any) -> None:
    assert get(app_with_run, f"{PAGE}/state", LOGGED_IN).json()["is_live"] is False


def test_full_texts_are_plain_text_and_steps_are_html(app_with_run: Any) -> None:
    text = get(app_with_run, f"{PAGE}/text/answer", LOGGED_IN)
    assert (text.text, text.headers["content-type"]) == ("42", "text/plain; charset=utf-8")
    assert "Hello" in get(app_with_run, f"{PAGE}/step/1", LOGGED_IN).text


def test_a_search_returns_the_numbers_of_steps(app_with_run: Any) -> None:
    assert get(app_with_run, f"{PAGE}/search?text=hello", LOGGED_IN).json() == [1]
    assert get(app_with_run, f"{PAGE}/search?text=nothing", LOGGED_IN).json() == []
    assert get(app_with_run, f"{PAGE}/search?text={'x' * 201}", LOGGED_IN).status == 422


def test_the_prompt_is_that_of_the_rendered_template(app_with_run: Any, session: Session) -> None:
    add_rendered_fields(session, input="What is it?")
    assert "What is it?" in get(app_with_run, PAGE, LOGGED_IN).text


@pytest.mark.parametrize("path", ["/step/0", "/step/2", "/text/nothing", "/text/step-9-9"])
def test_an_unknown_step_or_text_returns_404(app_with_run: Any, path: str) -> None:
    assert get(app_with_run, PAGE + path, LOGGED_IN).status == 404


def test_the_raw_json_has_all_xcoms_of_the_run(app_with_run: Any, session: Session) -> None:
    add_xcoms(session, token_usage={"rounds": 1}, cancel_reason="timeout")
    raw = get(app_with_run, f"{PAGE}/raw", LOGGED_IN).json()
    assert raw["run"]["model"] == "gpt-5.2"
    assert (raw["answer"], raw["token_usage"], raw["cancel_reason"]) == ("42", {"rounds": 1}, "timeout")


def test_the_return_value_is_ignored_if_attributes_have_their_own_keys(app: Any, session: Session) -> None:
    add_task(session)
    add_xcoms(session, **{**RUN, "steps": STEPS}, return_value={"id": "ignored"})
    assert "run_1" in get(app, PAGE, LOGGED_IN).text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("theme.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_static_files_need_no_login(app: Any, name: str, kind: str) -> None:
    for path in (f"/static/{name}", f"/static/0123456789ab/{name}"):
        response = get(app, path)
        assert (response.status, response.headers["content-type"]) == (200, kind)
        assert "max-age" in response.headers["cache-control"]


@pytest.mark.parametrize("name", ["page.py", "..%2fpage.py", "../page.py", "nothing"])
def test_other_files_are_not_served(app: Any, name: str) -> None:
    assert get(app, f"/static/{name}").status == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/"])
def test_other_routes_do_not_exist(app: Any, path: str) -> None:
    assert get(app, path, LOGGED_IN).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_not_allowed(app_with_run: Any, method: str) -> None:
    assert get(app_with_run, PAGE, LOGGED_IN, method=method).status == 405
