"""The page over HTTP: who may see what, and how it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api import security
from airflow.models.dag import DagModel
from sqlalchemy.orm import Session

from airflow_provider_openai_run.run_page.routes import build_app
from tests.run_page.page_client import LOGGED_IN, AuthManager, add_task, add_xcoms, database, get, login
from tests.run_page.pages import RUN

HERE = "/dag/manual__1+1/task/-1"
PATHS = [HERE, f"{HERE}/state", f"{HERE}/step/1", f"{HERE}/text/answer", f"{HERE}/raw"]
STEPS = [{"details": json.dumps({"type": "message", "content": [{"type": "output_text", "text": "Hello"}]})}]
BOTH = frozenset({("dag", DagAccessEntity.TASK_INSTANCE), ("dag", DagAccessEntity.XCOM)})


@pytest.fixture
def session() -> Iterator[Session]:
    yield from database()


@pytest.fixture
def auth_manager(monkeypatch: pytest.MonkeyPatch) -> AuthManager:
    manager = AuthManager(BOTH)
    monkeypatch.setattr(security, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(DagModel, "get_team_name", mock.Mock(return_value=None))
    return manager


@pytest.fixture
def app(session: Session, auth_manager: AuthManager) -> Any:
    app = build_app()
    app.dependency_overrides[_get_session] = lambda: session
    return app


@pytest.fixture
def shown(app: Any, session: Session) -> Any:
    """The app, with a task whose run has completed."""
    add_task(session)
    add_xcoms(session, return_value={**RUN, "steps": STEPS, "answer": "42"}, other="secret of another")
    return app


@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_nothing_is_told(shown: Any, path: str) -> None:
    assert get(shown, path).status == 401
    assert get(shown, path, login("bad")).status == 403


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
def test_without_both_rights_to_the_dag_nothing_is_told(
    shown: Any, auth_manager: AuthManager, path: str, readable: frozenset[Any]
) -> None:
    auth_manager.readable = readable
    answer = get(shown, path, LOGGED_IN)
    assert answer.status == 403
    assert "gpt-5.2" not in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_with_both_rights_it_is_told_with_headers_that_bind_the_browser(
    shown: Any, auth_manager: AuthManager, path: str
) -> None:
    answer = get(shown, path, LOGGED_IN)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert auth_manager.asked == [
        ("GET", DagAccessEntity.TASK_INSTANCE, "dag"),
        ("GET", DagAccessEntity.XCOM, "dag"),
    ]


def test_the_page_has_the_run(shown: Any) -> None:
    answer = get(shown, HERE, LOGGED_IN)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "gpt-5.2" in answer.text
    assert "secret of another" not in answer.text


def test_the_page_is_found_where_the_ui_leaves_its_placeholder(shown: Any) -> None:
    assert "gpt-5.2" in get(shown, "/dag/manual__1+1/task/{MAP_INDEX}", LOGGED_IN).text


def test_the_instances_of_a_mapped_task_are_told_apart(app: Any, session: Session) -> None:
    for map_index in (0, 1):
        add_task(session, map_index=map_index)
        add_xcoms(session, map_index=map_index, return_value={**RUN, "model": f"model-{map_index}"})
    pages = [get(app, f"/dag/manual__1+1/task/{map_index}", LOGGED_IN).text for map_index in (0, 1)]
    assert [f"model-{index}" in page for index, page in enumerate(pages)] == [True, True]
    assert "model-1" not in pages[0]
    assert get(app, HERE, LOGGED_IN).status == 404


def test_addresses_in_the_page_are_relative_so_that_any_base_path_will_do(shown: Any) -> None:
    text = get(shown, HERE, LOGGED_IN).text
    assert 'href="../../../static/page.css"' in text
    assert 'src="../../../static/page.js"' in text
    assert 'src="/' not in text
    assert 'href="/' not in text


def test_the_state_changes_with_the_xcoms_and_with_the_task(app: Any, session: Session) -> None:
    add_task(session, state="deferred")
    states = [get(app, f"{HERE}/state", LOGGED_IN).json()]
    add_xcoms(session, model="gpt-5.2")
    states.append(get(app, f"{HERE}/state", LOGGED_IN).json())
    assert states[0]["version"] != states[1]["version"]
    assert [state["is_live"] for state in states] == [True, True]


def test_a_task_that_has_ended_has_no_more_news(shown: Any) -> None:
    assert get(shown, f"{HERE}/state", LOGGED_IN).json()["is_live"] is False


def test_texts_and_steps_are_sent_as_what_they_are(shown: Any) -> None:
    text = get(shown, f"{HERE}/text/answer", LOGGED_IN)
    assert (text.text, text.headers["content-type"]) == ("42", "text/plain; charset=utf-8")
    assert "Hello" in get(shown, f"{HERE}/step/1", LOGGED_IN).text


@pytest.mark.parametrize("path", ["/step/0", "/step/2", "/text/nothing", "/text/step-9-9"])
def test_what_is_not_there_is_404(shown: Any, path: str) -> None:
    assert get(shown, HERE + path, LOGGED_IN).status == 404


def test_the_raw_json_is_all_that_xcom_tells_of_the_run(shown: Any, session: Session) -> None:
    add_xcoms(session, token_usage={"rounds": 1})
    raw = get(shown, f"{HERE}/raw", LOGGED_IN).json()
    assert raw["run"]["model"] == "gpt-5.2"
    assert (raw["answer"], raw["token_usage"]) == ("42", {"rounds": 1})


def test_what_stands_under_keys_of_its_own_is_not_read_twice(app: Any, session: Session) -> None:
    add_task(session)
    add_xcoms(session, **{**RUN, "steps": STEPS}, return_value={"id": "the whole, which is not looked at"})
    assert "run_1" in get(app, HERE, LOGGED_IN).text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("theme.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_the_pages_own_files_are_anybodys(app: Any, name: str, kind: str) -> None:
    answer = get(app, f"/static/{name}")
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["page.py", "..%2fpage.py", "../page.py", "nothing"])
def test_no_other_file_is(app: Any, name: str) -> None:
    assert get(app, f"/static/{name}").status == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/"])
def test_nothing_else_is_served(app: Any, path: str) -> None:
    assert get(app, path, LOGGED_IN).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(shown: Any, method: str) -> None:
    assert get(shown, HERE, LOGGED_IN, method=method).status == 405
