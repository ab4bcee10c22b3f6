"""Send requests to the page's app, with a database and an auth manager in place of Airflow's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import jwt
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api import security
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel  # noqa: F401 - defines the table
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool


def login_headers(token: str) -> dict[str, str]:
    """Return the headers of a login: a cookie, or a bearer token on Airflow 3.1.0, which reads no cookie."""
    takes_cookies = hasattr(security, "COOKIE_NAME_JWT_TOKEN")
    return {"cookie": f"_token={token}"} if takes_cookies else {"authorization": f"Bearer {token}"}


LOGGED_IN = login_headers("good")


#: Whether this Airflow has loops (3.4).
HAS_LOOPS = hasattr(TaskInstance, "region_id")


@dataclass
class AuthManager:
    """
    An auth manager with one user.

    :param readable: the DAGs and entities that the user may read.
    """

    readable: frozenset[tuple[str | None, DagAccessEntity | None]]
    requests: list[tuple[str, DagAccessEntity | None, str | None]] = field(default_factory=list)

    async def get_user_from_token(self, token: str) -> str:
        if token != "good":
            raise jwt.InvalidTokenError
        return "user"

    def is_authorized_dag(
        self,
        *,
        method: str,
        user: Any,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        dag_id = details.id if details else None
        self.requests.append((method, access_entity, dag_id))
        return user == "user" and (dag_id, access_entity) in self.readable


@dataclass
class PageResponse:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


def get(app: Any, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> PageResponse:
    """Send a request to an ASGI app and return the response; ``path`` may have a query."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    asyncio.run(app(scope, receive, send))
    start, *rest = messages
    response_headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return PageResponse(
        start["status"], response_headers, b"".join(message.get("body", b"") for message in rest)
    )


#: The region of a task instance that is neither mapped nor in a loop.
NO_REGION = UUID(int=0)


def open_database() -> Iterator[Session]:
    """Yield a session of an in-memory database with the tables that the page reads."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with Session(engine) as session:
        for table in {_table("task_instance"), _xcom_table(), rendered_fields_table(), *_tables_of_loops()}:
            # Column names without constraints: the tables they refer to are not needed.
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            session.execute(text(f"CREATE TABLE {table.name} ({columns})"))
        yield session
    engine.dispose()


def add_task(
    session: Session,
    *,
    map_index: int = -1,
    state: str | None = "success",
    region_id: UUID = NO_REGION,
    **values: Any,
) -> None:
    """
    Insert a task instance of the DAG ``dag``.

    :param map_index: in a region, the index of the loop's iteration.
    :param region_id: the region of Airflow 3.4; other versions have none.
    """
    row = {
        "dag_id": "dag",
        "run_id": "manual__1+1",
        "task_id": "task",
        "state": state,
        "pool": "default_pool",
        "operator": "OpenAIGetRunOperator",
        "try_number": 1,
    }
    key: dict[str, Any] = {"map_index": map_index}
    if HAS_LOOPS:
        key = {"region_id": region_id, "region_index": map_index, "id": _id_of_task(map_index, region_id)}
    session.execute(_table("task_instance").insert().values(**{**row, **key, **values}))
    if HAS_LOOPS and session.scalar(text("SELECT count(*) FROM dag_run")) == 0:
        session.execute(text("INSERT INTO dag_run (id, dag_id, run_id) VALUES (1, 'dag', 'manual__1+1')"))
    session.commit()


def add_xcoms(session: Session, *, map_index: int = -1, region_id: UUID = NO_REGION, **xcoms: Any) -> None:
    """Insert XComs of the same task instance."""
    table = _xcom_table()
    task_key: dict[str, Any] = {
        "dag_run_id": 1,
        "dag_id": "dag",
        "run_id": "manual__1+1",
        "task_id": "task",
        "map_index": map_index,
        "task_instance_id": _id_of_task(map_index, region_id),
    }
    known = {name: value for name, value in task_key.items() if name in table.columns}
    for key, value in xcoms.items():
        session.execute(table.insert().values(key=key, value=value, **known))
    session.commit()


def _id_of_task(map_index: int, region_id: UUID) -> UUID:
    return uuid5(region_id, str(map_index))


def _table(name: str) -> Any:
    return TaskInstance.metadata.tables[name]


def _xcom_table() -> Any:
    """Return the table that Airflow writes; from 3.4 on, the model is a view of two tables."""
    return _table("xcom_v2" if HAS_LOOPS else "xcom")


def rendered_fields_table() -> Any:
    """Return the table with the rendered template fields."""
    return RenderedTaskInstanceFields.__table__


def add_rendered_fields(session: Session, **fields: Any) -> None:
    """Insert the rendered template fields of the task instance."""
    table = rendered_fields_table()
    task_key = {
        "dag_id": "dag",
        "run_id": "manual__1+1",
        "task_id": "task",
        "map_index": -1,
        "id": uuid5(NO_REGION, "rendered"),
        "task_instance_id": _id_of_task(-1, NO_REGION),
    }
    known = {name: value for name, value in task_key.items() if name in table.columns}
    session.execute(table.insert().values(rendered_fields=fields, **known))
    session.commit()


def _tables_of_loops() -> list[Any]:
    if not HAS_LOOPS:
        return []
    return [_table(name) for name in ("xcom_v1", "legacy_task_data_owner", "dag_run", "dynamic_region")]
