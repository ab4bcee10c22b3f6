"""Send requests to the page's app, with a database and an auth manager in place of Airflow's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api import security
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool


def login_headers(token: str) -> dict[str, str]:
    """Return the headers of a login: a cookie, or a bearer token on Airflow 3.1.0, which reads no cookie."""
    takes_cookies = hasattr(security, "COOKIE_NAME_JWT_TOKEN")
    return {"cookie": f"_token={token}"} if takes_cookies else {"authorization": f"Bearer {token}"}


LOGGED_IN = login_headers("good")


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
    """Send a request to an ASGI app and return the response."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

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
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    asyncio.run(app(scope, receive, send))
    start, *rest = messages
    response_headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return PageResponse(
        start["status"], response_headers, b"".join(message.get("body", b"") for message in rest)
    )


def open_database() -> Iterator[Session]:
    """Yield a session of an in-memory database with the two tables that the page reads."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel

    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with Session(engine) as session:
        for model in (TaskInstance, XComModel):
            # Column names without constraints: the tables they refer to are not needed.
            columns = ", ".join(f'"{column.name}"' for column in model.__table__.columns)
            session.execute(text(f"CREATE TABLE {model.__tablename__} ({columns})"))
        yield session
    engine.dispose()


def add_task(session: Session, *, map_index: int = -1, state: str | None = "success", **values: Any) -> None:
    """Insert a task instance of the DAG ``dag``."""
    from airflow.models.taskinstance import TaskInstance

    row = {
        "dag_id": "dag",
        "run_id": "manual__1+1",
        "task_id": "task",
        "map_index": map_index,
        "state": state,
    }
    table: Any = TaskInstance.__table__
    defaults = {"pool": "default_pool", "operator": "OpenAIGetRunOperator", "try_number": 1}
    session.execute(table.insert().values(**{**defaults, **row, **values}))
    session.commit()


def add_xcoms(session: Session, *, map_index: int = -1, **xcoms: Any) -> None:
    """Insert XComs of the same task instance."""
    from airflow.models.xcom import XComModel

    table: Any = XComModel.__table__
    task_key = {
        "dag_run_id": 1,
        "dag_id": "dag",
        "run_id": "manual__1+1",
        "task_id": "task",
        "map_index": map_index,
    }
    for key, value in xcoms.items():
        session.execute(table.insert().values(key=key, value=value, **task_key))
    session.commit()
