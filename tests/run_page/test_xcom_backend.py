"""XComs that a backend stores elsewhere: Airflow's own object storage backend, on a local folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.io.xcom import backend as common_io
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time import xcom
from sqlalchemy.orm import Session

from airflow_provider_openai_run.run_page import xcom_backend
from airflow_provider_openai_run.run_page.queries import XComQueries
from airflow_provider_openai_run.run_page.view import RunView, build_view
from airflow_provider_openai_run.run_page.xcom_backend import read_values
from tests.run_page.page_client import add_task, add_xcoms, open_database
from tests.run_page.pages import NOW, RUN, make_task

# Of the library below the oldest backend.
pytestmark = pytest.mark.filterwarnings("ignore:in a future version of UPath:PendingDeprecationWarning")

STEPS = [{"details": json.dumps({"type": "message", "content": [{"type": "output_text", "text": "Hello"}]})}]
VALUES = {**RUN, "steps": STEPS, "answer": "42"}


@pytest.fixture
def session() -> Iterator[Session]:
    yield from open_database()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Airflow's object storage backend stores all values in."""
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{tmp_path}")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "0")
    caches: list[Any] = [common_io._get_base_path, common_io._get_threshold, common_io._get_compression]
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(xcom, "XCom", common_io.XComObjectStorageBackend)
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def store_xcoms(session: Session, **values: Any) -> None:
    """Insert what the backend leaves in Airflow's database in place of values."""
    serialize: Any = common_io.XComObjectStorageBackend.serialize_value
    stored = {
        key: serialize(value, key=key, dag_id="dag", run_id="manual__1+1", task_id="task")
        for key, value in values.items()
    }
    assert all(str(value).startswith("file://") for value in stored.values())
    add_xcoms(session, **stored)


def queries_of(session: Session) -> XComQueries:
    add_task(session)
    return XComQueries(session, dag_id="dag", run_id="manual__1+1", task_id="task", map_index=-1)


def view_of(queries: XComQueries) -> RunView:
    values, unreadable = read_values(queries)
    return build_view(values, make_task(), NOW, unreadable=unreadable)


def test_values_in_object_storage_are_shown(session: Session, store: Path) -> None:
    queries = queries_of(session)
    store_xcoms(session, **VALUES, return_value=VALUES, token_usage={"rounds": 1})
    view = view_of(queries)
    assert (view.status, view.data.attributes["model"]) == ("completed", "gpt-5.2")
    assert view.steps is not None
    assert view.answer is not None
    assert (view.steps[0].content.title, view.answer.text) == ("Hello", "42")
    assert view.data.token_usage == {"rounds": 1}
    assert "file://" not in str(view.data.to_json())


def test_attributes_without_a_return_value_are_read_one_by_one(session: Session, store: Path) -> None:
    queries = queries_of(session)
    store_xcoms(session, **VALUES)
    assert view_of(queries).status == "completed"


def test_a_return_value_in_object_storage_spares_its_attributes(session: Session, store: Path) -> None:
    queries = queries_of(session)
    store_xcoms(session, return_value=VALUES)
    gone: dict[str, Any] = {key: f"file://{store}/gone/{key}" for key in RUN}
    add_xcoms(session, **gone)
    assert view_of(queries).status == "completed"


def test_values_that_are_gone_give_a_notice(session: Session, store: Path) -> None:
    queries = queries_of(session)
    gone: dict[str, Any] = {key: f"file://{store}/gone/{key}" for key in (*RUN, "return_value")}
    add_xcoms(session, **gone)
    view = view_of(queries)
    assert view.has_run
    assert "could not read" in view.notices[0]
    assert "file://" not in str(view.attributes)


def test_a_backend_that_fails_gives_a_notice(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(BaseXCom):
        @staticmethod
        def deserialize_value(result: Any) -> Any:
            raise PermissionError("no access to the bucket, key=hidden")

    monkeypatch.setattr(xcom, "XCom", Failing)
    queries = queries_of(session)
    add_xcoms(session, **VALUES)
    view = view_of(queries)
    assert "PermissionError" in view.notices[0]
    assert "hidden" not in str(view)


def test_a_store_that_hangs_gives_a_notice(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    class Hanging(BaseXCom):
        @staticmethod
        def deserialize_value(result: Any) -> Any:
            end.wait(60)

    monkeypatch.setattr(xcom, "XCom", Hanging)
    monkeypatch.setattr(xcom_backend, "TIMEOUT", 0.1)
    queries = queries_of(session)
    add_xcoms(session, **VALUES)
    try:
        assert "no reply within" in view_of(queries).notices[0]
    finally:
        end.set()


def test_values_that_are_not_json_are_read_as_text(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    class Decoding(BaseXCom):
        @staticmethod
        def deserialize_value(result: Any) -> Any:
            return {"a", "b"} if result.key == "metadata" else result.value

    monkeypatch.setattr(xcom, "XCom", Decoding)
    queries = queries_of(session)
    add_xcoms(session, **VALUES, metadata=1)
    assert view_of(queries).input


def test_airflows_own_backend_reads_no_values(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xcom, "XCom", BaseXCom)
    assert xcom_backend.custom_backend() is None
    queries = queries_of(session)
    add_xcoms(session, **VALUES, return_value={"id": "not read"})
    values, unreadable = read_values(queries)
    assert (values["id"], unreadable) == ("run_1", {})
    assert "return_value" not in values
