"""The routes of the APIs, under ``/v1``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_openai_run.sandbox import assistants, batches, files, responses, threads
from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.paging import Cursor
from airflow_provider_openai_run.sandbox.scripts import JsonObject
from airflow_provider_openai_run.sandbox.store import Store

_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5.2")


async def json_body(request: Request) -> JsonObject:
    """
    Return the JSON object of a request; an empty body counts as ``{}``.

    :param request: the request.
    :raises APIError: 400 if the body is not a JSON object.
    """
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        raise APIError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise APIError(400, "The JSON body of your request is not an object.")
    return body


def api_routes(store: Store) -> APIRouter:
    """
    Return the router of all paths under ``/v1``.

    :param store: the sandbox's data.
    """
    router = APIRouter()

    def respond(operation: Callable[..., JsonObject], *arguments: Any) -> JSONResponse:
        with store.lock:
            return JSONResponse(operation(store, *arguments))

    _add_assistants(router, respond)
    _add_runs(router, respond)
    _add_responses(router, respond)
    _add_files(router, respond, store)
    _add_batches(router, respond)

    @router.get("/models")
    async def list_models() -> JSONResponse:
        return JSONResponse({"object": "list", "data": [_model(name) for name in _MODELS]})

    @router.get("/models/{model}")
    async def get_model(model: str) -> JSONResponse:
        return JSONResponse(_model(model))

    return router


def _model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 1715367049, "owned_by": "system"}


def _add_assistants(router: APIRouter, respond: Callable[..., JSONResponse]) -> None:
    @router.post("/assistants")
    async def create_assistant(request: Request) -> JSONResponse:
        return respond(threads.create_assistant, await json_body(request))

    @router.get("/assistants/{assistant_id}")
    async def get_assistant(assistant_id: str) -> JSONResponse:
        return respond(threads.get_assistant, assistant_id)

    @router.post("/threads")
    async def create_thread(request: Request) -> JSONResponse:
        return respond(threads.create_thread, await json_body(request))

    @router.post("/threads/runs")
    async def create_thread_and_run(request: Request) -> JSONResponse:
        return respond(assistants.create_thread_and_run, await json_body(request))

    @router.get("/threads/{thread_id}")
    async def get_thread(thread_id: str) -> JSONResponse:
        return respond(lambda store: threads.find_thread(store, thread_id).body)

    @router.delete("/threads/{thread_id}")
    async def delete_thread(thread_id: str) -> JSONResponse:
        return respond(threads.delete_thread, thread_id)

    @router.post("/threads/{thread_id}/messages")
    async def create_message(request: Request, thread_id: str) -> JSONResponse:
        return respond(threads.create_message, thread_id, await json_body(request))

    @router.get("/threads/{thread_id}/messages")
    async def list_messages(request: Request, thread_id: str) -> JSONResponse:
        return respond(threads.list_messages, thread_id, Cursor.of(request.query_params))


def _add_runs(router: APIRouter, respond: Callable[..., JSONResponse]) -> None:
    runs = "/threads/{thread_id}/runs"
    run = runs + "/{run_id}"

    @router.post(runs)
    async def create_run(request: Request, thread_id: str) -> JSONResponse:
        return respond(assistants.create_run, thread_id, await json_body(request))

    @router.get(runs)
    async def list_runs(request: Request, thread_id: str) -> JSONResponse:
        return respond(assistants.list_runs, thread_id, Cursor.of(request.query_params))

    @router.get(run)
    async def get_run(thread_id: str, run_id: str) -> JSONResponse:
        return respond(assistants.get_run, thread_id, run_id)

    @router.post(run)
    async def update_run(request: Request, thread_id: str, run_id: str) -> JSONResponse:
        return respond(assistants.update_run, thread_id, run_id, await json_body(request))

    @router.get(run + "/steps")
    async def list_steps(request: Request, thread_id: str, run_id: str) -> JSONResponse:
        return respond(assistants.list_steps, thread_id, run_id, Cursor.of(request.query_params))

    @router.get(run + "/steps/{step_id}")
    async def get_step(thread_id: str, run_id: str, step_id: str) -> JSONResponse:
        return respond(assistants.get_step, thread_id, run_id, step_id)

    @router.post(run + "/cancel")
    async def cancel_run(thread_id: str, run_id: str) -> JSONResponse:
        return respond(assistants.cancel_run, thread_id, run_id)

    @router.post(run + "/submit_tool_outputs")
    async def submit_tool_outputs(request: Request, thread_id: str, run_id: str) -> JSONResponse:
        return respond(assistants.submit_tool_outputs, thread_id, run_id, await json_body(request))


def _add_responses(router: APIRouter, respond: Callable[..., JSONResponse]) -> None:
    @router.post("/responses")
    async def create_response(request: Request) -> JSONResponse:
        key = request.headers.get("idempotency-key")
        return respond(responses.create_response_once, await json_body(request), key)

    @router.get("/responses/{response_id}")
    async def get_response(request: Request, response_id: str) -> JSONResponse:
        names = (*request.query_params.getlist("include[]"), *request.query_params.getlist("include"))
        return respond(responses.get_response, response_id, names)

    @router.delete("/responses/{response_id}")
    async def delete_response(response_id: str) -> JSONResponse:
        return respond(responses.delete_response, response_id)

    @router.post("/responses/{response_id}/cancel")
    async def cancel_response(response_id: str) -> JSONResponse:
        return respond(responses.cancel_response, response_id)

    @router.get("/responses/{response_id}/input_items")
    async def list_input_items(request: Request, response_id: str) -> JSONResponse:
        return respond(responses.list_input_items, response_id, Cursor.of(request.query_params))

    @router.post("/conversations")
    async def create_conversation(request: Request) -> JSONResponse:
        return respond(responses.create_conversation, await json_body(request))

    @router.get("/conversations/{conversation_id}")
    async def get_conversation(conversation_id: str) -> JSONResponse:
        return respond(responses.get_conversation, conversation_id)


def _add_files(router: APIRouter, respond: Callable[..., JSONResponse], store: Store) -> None:
    @router.post("/files")
    async def create_file(request: Request) -> JSONResponse:
        return respond(files.create_file, await request.body(), request.headers.get("content-type", ""))

    @router.get("/files")
    async def list_files(request: Request) -> JSONResponse:
        query = request.query_params
        return respond(files.list_files, Cursor.of(query), query.get("purpose"))

    @router.get("/files/{file_id}")
    async def get_file(file_id: str) -> JSONResponse:
        return respond(lambda store: files.find_file(store, file_id).body)

    @router.get("/files/{file_id}/content")
    async def get_file_content(file_id: str) -> Response:
        with store.lock:
            content = files.find_file(store, file_id).content
        return Response(content, media_type="application/octet-stream")

    @router.delete("/files/{file_id}")
    async def delete_file(file_id: str) -> JSONResponse:
        return respond(files.delete_file, file_id)


def _add_batches(router: APIRouter, respond: Callable[..., JSONResponse]) -> None:
    @router.post("/batches")
    async def create_batch(request: Request) -> JSONResponse:
        return respond(batches.create_batch, await json_body(request))

    @router.get("/batches")
    async def list_batches(request: Request) -> JSONResponse:
        return respond(batches.list_batches, Cursor.of(request.query_params))

    @router.get("/batches/{batch_id}")
    async def get_batch(batch_id: str) -> JSONResponse:
        return respond(batches.get_batch, batch_id)

    @router.post("/batches/{batch_id}/cancel")
    async def cancel_batch(batch_id: str) -> JSONResponse:
        return respond(batches.cancel_batch, batch_id)
