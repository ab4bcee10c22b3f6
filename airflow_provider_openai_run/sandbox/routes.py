"""The addresses of both APIs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from airflow_provider_openai_run.sandbox import assistants, responses, threads
from airflow_provider_openai_run.sandbox.errors import APIError
from airflow_provider_openai_run.sandbox.paging import Cursor
from airflow_provider_openai_run.sandbox.scripts import Json
from airflow_provider_openai_run.sandbox.store import Store

_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5.2")


async def json_body(request: Request) -> Json:
    """
    Read the JSON of a request; none is an empty object.

    :param request: the request.
    :raises APIError: 400 when it is no JSON object.
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
    Give all addresses under ``/v1``.

    :param store: what the sandbox remembers.
    """
    router = APIRouter()

    def answer(operation: Callable[..., Json], *arguments: Any) -> JSONResponse:
        with store.lock:
            return JSONResponse(operation(store, *arguments))

    _add_assistants(router, answer)
    _add_runs(router, answer)
    _add_responses(router, answer)

    @router.get("/models")
    async def list_models() -> JSONResponse:
        return JSONResponse({"object": "list", "data": [_model(name) for name in _MODELS]})

    @router.get("/models/{model}")
    async def get_model(model: str) -> JSONResponse:
        return JSONResponse(_model(model))

    return router


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1715367049, "owned_by": "system"}


def _add_assistants(router: APIRouter, answer: Callable[..., JSONResponse]) -> None:
    @router.post("/assistants")
    async def create_assistant(request: Request) -> JSONResponse:
        return answer(threads.create_assistant, await json_body(request))

    @router.get("/assistants/{assistant_id}")
    async def get_assistant(assistant_id: str) -> JSONResponse:
        return answer(threads.get_assistant, assistant_id)

    @router.post("/threads")
    async def create_thread(request: Request) -> JSONResponse:
        return answer(threads.create_thread, await json_body(request))

    @router.post("/threads/runs")
    async def create_thread_and_run(request: Request) -> JSONResponse:
        return answer(assistants.create_thread_and_run, await json_body(request))

    @router.get("/threads/{thread_id}")
    async def get_thread(thread_id: str) -> JSONResponse:
        return answer(lambda store: threads.find_thread(store, thread_id).body)

    @router.delete("/threads/{thread_id}")
    async def delete_thread(thread_id: str) -> JSONResponse:
        return answer(threads.delete_thread, thread_id)

    @router.post("/threads/{thread_id}/messages")
    async def create_message(request: Request, thread_id: str) -> JSONResponse:
        return answer(threads.create_message, thread_id, await json_body(request))

    @router.get("/threads/{thread_id}/messages")
    async def list_messages(request: Request, thread_id: str) -> JSONResponse:
        return answer(threads.list_messages, thread_id, Cursor.of(request.query_params))


def _add_runs(router: APIRouter, answer: Callable[..., JSONResponse]) -> None:
    runs = "/threads/{thread_id}/runs"
    run = runs + "/{run_id}"

    @router.post(runs)
    async def create_run(request: Request, thread_id: str) -> JSONResponse:
        return answer(assistants.create_run, thread_id, await json_body(request))

    @router.get(runs)
    async def list_runs(request: Request, thread_id: str) -> JSONResponse:
        return answer(assistants.list_runs, thread_id, Cursor.of(request.query_params))

    @router.get(run)
    async def get_run(thread_id: str, run_id: str) -> JSONResponse:
        return answer(assistants.get_run, thread_id, run_id)

    @router.post(run)
    async def update_run(request: Request, thread_id: str, run_id: str) -> JSONResponse:
        return answer(assistants.update_run, thread_id, run_id, await json_body(request))

    @router.get(run + "/steps")
    async def list_steps(request: Request, thread_id: str, run_id: str) -> JSONResponse:
        return answer(assistants.list_steps, thread_id, run_id, Cursor.of(request.query_params))

    @router.get(run + "/steps/{step_id}")
    async def get_step(thread_id: str, run_id: str, step_id: str) -> JSONResponse:
        return answer(assistants.get_step, thread_id, run_id, step_id)

    @router.post(run + "/cancel")
    async def cancel_run(thread_id: str, run_id: str) -> JSONResponse:
        return answer(assistants.cancel_run, thread_id, run_id)

    @router.post(run + "/submit_tool_outputs")
    async def submit_tool_outputs(request: Request, thread_id: str, run_id: str) -> JSONResponse:
        return answer(assistants.submit_tool_outputs, thread_id, run_id, await json_body(request))


def _add_responses(router: APIRouter, answer: Callable[..., JSONResponse]) -> None:
    @router.post("/responses")
    async def create_response(request: Request) -> JSONResponse:
        return answer(responses.create_response, await json_body(request))

    @router.get("/responses/{response_id}")
    async def get_response(response_id: str) -> JSONResponse:
        return answer(responses.get_response, response_id)

    @router.delete("/responses/{response_id}")
    async def delete_response(response_id: str) -> JSONResponse:
        return answer(responses.delete_response, response_id)

    @router.post("/responses/{response_id}/cancel")
    async def cancel_response(response_id: str) -> JSONResponse:
        return answer(responses.cancel_response, response_id)

    @router.get("/responses/{response_id}/input_items")
    async def list_input_items(request: Request, response_id: str) -> JSONResponse:
        return answer(responses.list_input_items, response_id, Cursor.of(request.query_params))

    @router.post("/conversations")
    async def create_conversation(request: Request) -> JSONResponse:
        return answer(responses.create_conversation, await json_body(request))

    @router.get("/conversations/{conversation_id}")
    async def get_conversation(conversation_id: str) -> JSONResponse:
        return answer(responses.get_conversation, conversation_id)
