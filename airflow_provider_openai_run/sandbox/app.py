"""The ASGI application: the APIs and the admin API behind the fault middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider_openai_run.sandbox.admin import admin_routes
from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.fault_middleware import FaultMiddleware, ServerState
from airflow_provider_openai_run.sandbox.routes import api_routes

if TYPE_CHECKING:
    from airflow_provider_openai_run.sandbox.store import Store


def build_app(store: Store, server_state: ServerState) -> FaultMiddleware:
    """
    Return the application.

    :param store: the sandbox's data.
    :param server_state: the API key, faults, rate limit and request log.
    """
    app = FastAPI(title="openai-run sandbox", openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(api_routes(store), prefix="/v1")
    app.include_router(admin_routes(store, server_state), prefix="/_sandbox")

    @app.exception_handler(APIError)
    async def handle_api_error(request: Request, error: APIError) -> JSONResponse:
        del request
        return JSONResponse(error.body(), status_code=error.status)

    @app.exception_handler(HTTPException)
    async def handle_unknown_path(request: Request, error: HTTPException) -> JSONResponse:
        message = f"Invalid URL ({request.method} {request.url.path})"
        return JSONResponse(APIError(error.status_code, message).body(), status_code=error.status_code)

    @app.exception_handler(RequestValidationError)
    async def handle_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
        del request
        return JSONResponse(APIError(400, str(error)).body(), status_code=400)

    return FaultMiddleware(app, server_state)
