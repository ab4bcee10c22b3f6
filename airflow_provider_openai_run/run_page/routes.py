"""The page over HTTP, inside Airflow's API server.

It asks for the same rights as Airflow's own addresses for a task instance and its XComs, reads nothing but
XCom, and trusts nothing in it: all of it is escaped, no link is made of it, and the page may run no script,
show no image and load no style but its own.
"""

from __future__ import annotations

import time
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep  # noqa: TC002 - FastAPI reads the annotation
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Response

from airflow_provider_openai_run.run_page.formatting import pretty
from airflow_provider_openai_run.run_page.queries import XComQueries
from airflow_provider_openai_run.run_page.rendering import rendered, text_of
from airflow_provider_openai_run.run_page.view import RunView, view_of
from airflow_provider_openai_run.run_page.xcom_data import read_xcoms

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PACKAGE = "airflow_provider_openai_run.run_page"
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = (
    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_STATIC = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "theme.js": "text/javascript",
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
    """Give the app that serves the page; without the pages FastAPI would add to it."""
    app = FastAPI(title="OpenAI run page", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    app.add_api_route("/static/{name}", _static, methods=["GET"])
    app.add_middleware(_SafeHeaders)
    return app


class _SafeHeaders:
    """Adds to each answer what keeps a browser from taking it for anything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_safely)


def _xcoms(dag_id: str, run_id: str, task_id: str, map_index: str, session: SessionDep) -> XComQueries:
    # Airflow's UI leaves the placeholder where a task is not mapped.
    number = int(map_index) if map_index.isdecimal() and len(map_index) < 10 else -1
    return XComQueries(session, dag_id, run_id, task_id, number)


XComs = Annotated[XComQueries, Depends(_xcoms)]


@router.get("")
def page(xcoms: XComs) -> Response:
    """The whole page."""
    version = xcoms.version()
    return _html("page.html", version=version, view=_view(xcoms), static="../../../static")


@router.get("/state")
def state(xcoms: XComs) -> dict[str, Any]:
    """Whether there are news, for the page that asks again and again: cheap."""
    task = xcoms.task()
    return {"version": xcoms.version(), "is_live": task is not None and task.is_live}


@router.get("/step/{number}")
def step(xcoms: XComs, number: int) -> Response:
    """What a step holds, as a piece of the page."""
    steps = _view(xcoms).steps or ()
    if not 1 <= number <= len(steps):
        raise HTTPException(404, "There is no such step")
    return _html("step.html", step=steps[number - 1])


@router.get("/text/{name}")
def text(xcoms: XComs, name: str) -> Response:
    """A text in full, of which the page shows the beginning."""
    found = text_of(_view(xcoms), name)
    if found is None:
        raise HTTPException(404, "There is no such text")
    return Response(found.encode(errors="replace"), media_type="text/plain; charset=utf-8")


@router.get("/raw")
def raw(xcoms: XComs) -> Response:
    """All that XCom tells of the run, as JSON."""
    told = read_xcoms(xcoms.values(everything=True))
    return Response(pretty(told.to_json()), media_type="application/json")


def _static(name: str) -> Response:
    if name not in _STATIC:
        raise HTTPException(404, "There is no such file")
    return Response(
        _static_file(name), media_type=_STATIC[name], headers={"cache-control": "public, max-age=3600"}
    )


@cache
def _static_file(name: str) -> bytes:
    return resources.files(_PACKAGE).joinpath("static", name).read_bytes()


def _view(xcoms: XComQueries) -> RunView:
    task = xcoms.task()
    if task is None:
        raise HTTPException(404, "There is no such task instance")
    return view_of(xcoms.values(), task, time.time())


def _html(name: str, **values: Any) -> Response:
    return Response(rendered(name, time.time(), **values), media_type="text/html; charset=utf-8")
