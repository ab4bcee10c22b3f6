"""The application: both APIs and the sandbox's own addresses behind one gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider_openai_run.sandbox.admin import admin_routes
from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.fault_middleware import FaultMiddleware, ServerControls
from airflow_provider_openai_run.sandbox.routes import api_routes

if TYPE_CHECKING:
    from airflow_provider_openai_run.sandbox.store import Store


def build_app(store: Store, door: ServerControls) -> FaultMiddleware:
    """
    Put the application together.

    :param store: what the sandbox remembers.
    :param door: what its gate goes by.
    """
    app = FastAPI(title="openai-run sandbox", openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(api_routes(store), prefix="/v1")
    app.include_router(admin_routes(store, door), prefix="/_sandbox")

    @app.exception_handler(APIError)
    async def answer_error(request: Request, error: APIError) -> JSONResponse:
        del request
        return JSONResponse(error.body(), status_code=error.status)

    @app.exception_handler(HTTPException)
    async def answer_unknown_address(request: Request, error: HTTPException) -> JSONResponse:
        message = f"Invalid URL ({request.method} {request.url.path})"
        return JSONResponse(APIError(error.status_code, message).body(), status_code=error.status_code)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        del request
        return JSONResponse(APIError(400, str(error)).body(), status_code=400)

    return FaultMiddleware(app, door)
