"""
The page's HTTP routes, served by Airflow's API server.

They require the same permissions as Airflow's own routes for a task instance and its XComs, and read only
what those show. XCom values are untrusted: they are escaped, links lead to the web and nowhere else, and the
Content-Security-Policy allows only the page's own scripts and styles.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep  # noqa: TC002 - FastAPI reads the annotation
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Response

from airflow_provider_openai_run.run_page.formatting import format_json
from airflow_provider_openai_run.run_page.queries import XComQueries
from airflow_provider_openai_run.run_page.rendering import find_text, render
from airflow_provider_openai_run.run_page.step_list import search_steps
from airflow_provider_openai_run.run_page.task_instance import Iteration
from airflow_provider_openai_run.run_page.view import RunView, build_view
from airflow_provider_openai_run.run_page.xcom_backend import read_values
from airflow_provider_openai_run.run_page.xcom_data import read_xcoms

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PACKAGE = "airflow_provider_openai_run.run_page"
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_SECURITY_HEADERS = (
    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_SCRIPTS = (
    "theme.js",
    "page.js",
    "server.js",
    "steps.js",
    "copy.js",
    "times.js",
    "links.js",
    "iterations.js",
)
_STYLESHEETS = ("page.css", "lists.css", "runs.css", "markdown.css")
_STATIC_MEDIA_TYPES = {
    **dict.fromkeys(_STYLESHEETS, "text/css"),
    **dict.fromkeys(_SCRIPTS, "text/javascript"),
    "icon.svg": "image/svg+xml",
    "icon-dark.svg": "image/svg+xml",
}

router = APIRouter(
    prefix="/{dag_id}/{run_id}/{task_id}/{map_index}",
    dependencies=[
        Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.TASK_INSTANCE)),
        Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM)),
    ],
)


def build_app() -> FastAPI:
    """Return the app that serves the page, without FastAPI's documentation routes."""
    app = FastAPI(title="OpenAI run page", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    for path in ("/static/{name}", "/static/{digest}/{name}"):
        app.add_api_route(path, _get_static_file, methods=["GET"])
    app.add_middleware(_SecurityHeadersMiddleware)
    return app


class _SecurityHeadersMiddleware:
    """Add the security headers to every response, and forbid caching where a route does not allow it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *_SECURITY_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _queries(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str,
    session: SessionDep,
    region_id: UUID | None = None,
    region_index: int | None = None,
) -> XComQueries:
    # Airflow's UI does not replace the placeholder {MAP_INDEX} if the task is not mapped.
    index = int(map_index) if map_index.isdecimal() and len(map_index) < 10 else -1
    iteration = None
    if region_id is not None and region_index is not None:
        iteration = Iteration(str(region_id), region_index)
    return XComQueries(
        session, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=index, iteration=iteration
    )


Queries = Annotated[XComQueries, Depends(_queries)]


@router.get("")
def page(queries: Queries) -> Response:
    """Return the page."""
    version = queries.version()
    return _html_response(
        "page.html", version=version, view=_view(queries), static=f"../../../static/{_static_digest()}"
    )


@router.get("/state")
def state(queries: Queries) -> dict[str, Any]:
    """Return the version of the page's data and whether it can still change; the page polls this."""
    task = queries.task_instance()
    return {"version": queries.version(), "is_live": task is not None and task.is_live}


@router.get("/step/{number}")
def step(queries: Queries, number: int) -> Response:
    """Return the content of a step as an HTML fragment."""
    steps = _view(queries).steps or ()
    if not 1 <= number <= len(steps):
        raise HTTPException(404, "Step not found")
    return _html_response("step.html", step=steps[number - 1])


@router.get("/search")
def search(queries: Queries, text: Annotated[str, Query(max_length=200)]) -> list[int]:
    """Return the numbers of the steps that contain a text."""
    return search_steps(_view(queries).steps or (), text)


@router.get("/text/{name}")
def text(queries: Queries, name: str) -> Response:
    """Return the full text of a block that the page shortens."""
    full_text = find_text(_view(queries), name)
    if full_text is None:
        raise HTTPException(404, "Text not found")
    return Response(full_text.encode(errors="replace"), media_type="text/plain; charset=utf-8")


@router.get("/raw")
def raw(queries: Queries) -> Response:
    """Return the run's XComs as JSON."""
    data = read_xcoms(*read_values(queries, include_large=True))
    return Response(format_json(data.to_json()), media_type="application/json")


def _get_static_file(name: str) -> Response:
    if name not in _STATIC_MEDIA_TYPES:
        raise HTTPException(404, "File not found")
    return Response(
        _read_static_file(name),
        media_type=_STATIC_MEDIA_TYPES[name],
        headers={"cache-control": "public, max-age=3600"},
    )


@cache
def _static_digest() -> str:
    """Return a part of the URLs of stylesheets and scripts: those of another version are not from a cache."""
    content = b"".join(map(_read_static_file, (*_STYLESHEETS, *_SCRIPTS)))
    return hashlib.sha256(content).hexdigest()[:12]


@cache
def _read_static_file(name: str) -> bytes:
    return resources.files(_PACKAGE).joinpath("static", name).read_bytes()


def _view(queries: XComQueries) -> RunView:
    task = queries.task_instance()
    if task is None:
        raise HTTPException(404, "Task instance not found")
    values, unreadable = read_values(queries)
    rendered = queries.rendered_fields()
    return build_view(values, task, time.time(), rendered=rendered, unreadable=unreadable)


def _html_response(template: str, **values: Any) -> Response:
    return Response(render(template, time.time(), **values), media_type="text/html; charset=utf-8")
